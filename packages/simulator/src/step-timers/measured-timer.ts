// The `measured` step timer: layers as they were measured. Attention was measured on even batches; what unevenness adds is
// the difference of two simulated launches, the step's own and that of the even batch with the same sums.
//
// Steps that a captured graph replays are padded to its size; those of decodes alone also run the attention that was
// captured. Measurements are of eager launches, so the even batch is planned as one. In a pipeline each stage runs its share
// of the layers, and the profile's links say what lies between them.

import type { AttentionShape, Planner, PolicyName } from "@isochron/planner";
import { createPlanner } from "@isochron/planner";
import { extrapolate } from "../gpu/curve.ts";
import { plannerDevice } from "../gpu/planner-device.ts";
import type { CurveTable, GpuProfile } from "../gpu/profile.ts";
import { KernelSimulator } from "../kernel/kernel-simulator.ts";
import { AttentionGrid, type AttentionLaunch } from "../layer-times/attention-grid.ts";
import type { LayerTimes } from "../layer-times/layer-times.ts";
import { LayerTimesError } from "../layer-times/layer-times.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { type ModelStage, modelStages } from "../model/model-stages.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { StageTransfers } from "./stage-costs.ts";
import { emptyTiming } from "./timing.ts";

export interface MeasuredTimerOptions {
  /** Policy of eager launches, which is what was measured. Default fa2-paged. */
  readonly eager?: PolicyName | undefined;
  /** Policy of captured decodes. Default fa2-paged-graph. */
  readonly graph?: PolicyName | undefined;
  /** Largest number of tokens that a graph was captured for (vLLM: twice max_num_seqs, at most 512); 0: no graphs. */
  readonly graphTokens: number;
  /** Stages of a pipeline that the layers are split over. Default 1. */
  readonly pipelineParallel?: number | undefined;
  /** False: every batch takes as long as the even one. For showing what unevenness costs. Default true. */
  readonly seesUnevenness?: boolean | undefined;
}

/** Layers of a transformer block, and how often each runs in it. */
const BLOCK_GEMMS: readonly string[] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];
const BLOCK_OTHERS: Readonly<Record<string, number>> = { layernorm: 2, qk_norm: 1, rotary_emb: 1, act_fn: 1 };
type Rows = CurveTable["rows"];

export class MeasuredTimer implements StepTimer {
  readonly name = "measured";
  private readonly stages: readonly ModelStage[];
  private readonly transfers: StageTransfers;
  private readonly graphTokens: number;
  private readonly seesUnevenness: boolean;
  private readonly blockGemms: readonly Rows[];
  private readonly blockOthers: readonly (readonly [Rows, number])[];
  private readonly embedding: Rows;
  private readonly finalNorm: Rows;
  private readonly head: Rows;
  private readonly sampler: Rows;
  private readonly eager: Planner;
  private readonly graph: Planner;
  private readonly simulator: KernelSimulator;
  private readonly grid: AttentionGrid;
  private readonly timing: StepTiming;

  /** @throws LayerTimesError when a layer that the model has was not measured */
  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    attention: AttentionShape,
    times: LayerTimes,
    options: MeasuredTimerOptions,
  ) {
    const find = (tables: LayerTimes["byTokens"], name: string): Rows => {
      const rows = tables.get(name);
      if (rows === undefined) throw new LayerTimesError(times.origin, 0, `has no times of the layer ${name}`);
      return rows;
    };
    this.stages = modelStages(model, options.pipelineParallel ?? 1);
    this.transfers = new StageTransfers(model, profile, 1);
    this.timing = emptyTiming(this.stages.length);
    this.graphTokens = options.graphTokens;
    this.seesUnevenness = options.seesUnevenness ?? true;
    this.blockGemms = BLOCK_GEMMS.map((name) => find(times.byTokens, name));
    this.blockOthers = Object.entries(BLOCK_OTHERS)
      .filter(([name]) => name !== "qk_norm" || model.queryKeyNorm === true)
      .map(([name, runs]) => [find(times.byTokens, name), runs]);
    this.embedding = find(times.byTokens, "embedding");
    this.finalNorm = find(times.byTokens, "final_layernorm");
    this.head = find(times.bySequences, "lm_head");
    this.sampler = find(times.bySequences, "sampler");
    const device = plannerDevice(profile, attention);
    this.eager = createPlanner({ attention, device, policy: options.eager ?? "fa2-paged" });
    this.graph = createPlanner({ attention, device, policy: options.graph ?? "fa2-paged-graph" });
    this.simulator = new KernelSimulator(profile);
    this.grid = new AttentionGrid(times.attention);
  }

  time(step: Step): StepTiming {
    const { timing, stages } = this;
    const tokens = step.tokens <= this.graphTokens ? capturedTokens(step.tokens) : step.tokens;
    const layerAttentionUs = this.attentionUs(step);
    let layerGemmUs = 0;
    for (const rows of this.blockGemms) layerGemmUs += extrapolate(rows, tokens);
    let layerOtherUs = 0;
    for (const [rows, runs] of this.blockOthers) layerOtherUs += runs * extrapolate(rows, tokens);
    const headUs = step.sampled === 0 ? 0 : extrapolate(this.head, step.sampled);
    const samplerUs = step.sampled === 0 ? 0 : extrapolate(this.sampler, step.sampled);
    timing.attentionUs = timing.gemmUs = timing.otherUs = timing.collectiveUs = 0;
    for (const [s, { layers, hasEmbedding, hasHead }] of stages.entries()) {
      const attentionUs = layers * layerAttentionUs;
      const gemmUs = layers * layerGemmUs + (hasHead ? headUs : 0);
      let edgeUs = hasHead ? samplerUs : 0;
      if (hasEmbedding) edgeUs += extrapolate(this.embedding, tokens);
      if (hasHead) edgeUs += extrapolate(this.finalNorm, tokens);
      const otherUs = layers * layerOtherUs + edgeUs;
      timing.attentionUs += attentionUs;
      timing.gemmUs += gemmUs;
      timing.otherUs += otherUs;
      if (timing.stageUs !== undefined) timing.stageUs[s] = attentionUs + gemmUs + otherUs;
    }
    if (timing.stageUs !== undefined) {
      timing.transferUs = this.transfers.us(step.tokens);
      timing.collectiveUs = (stages.length - 1) * timing.transferUs;
    }
    timing.durationUs = timing.attentionUs + timing.gemmUs + timing.otherUs + timing.collectiveUs;
    return timing;
  }

  /** One layer's launch. */
  private attentionUs(step: Step): number {
    const even = this.grid.clamped(evenLaunch(step));
    const evenUs = this.grid.us(even);
    if (!this.seesUnevenness) return evenUs;
    const simulatedEvenUs = this.simulateEven(even);
    const { timing, simulator } = this;
    const isReplayed = even.prefillTokens === 0 && step.tokens <= this.graphTokens;
    const batch = { qoLens: step.qoLens.subarray(0, step.count), kvLens: step.kvLens.subarray(0, step.count) };
    simulator.run((isReplayed ? this.graph : this.eager).plan(batch));
    timing.attentionImbalance = simulator.durationUs / simulator.lowerBoundUs;
    timing.smBusyFraction = simulator.busyFraction;
    return Math.max(simulator.lowerBoundUs, evenUs + simulator.durationUs - simulatedEvenUs);
  }

  private simulateEven({ prefillTokens, prefillHistory, decodes, decodeKv }: AttentionLaunch): number {
    const prefills = prefillTokens === 0 ? 0 : 1;
    // The table's decodes are behind so many tokens, and see their own too.
    const kvLen = Math.round(decodeKv) + 1;
    const qoLens = new Int32Array(prefills + decodes).fill(1);
    const kvLens = new Int32Array(prefills + decodes).fill(kvLen);
    if (prefills === 1) {
      qoLens[0] = prefillTokens;
      kvLens[0] = prefillTokens + Math.round(prefillHistory);
    }
    this.simulator.run(this.eager.plan({ qoLens, kvLens }));
    return this.simulator.durationUs;
  }
}

/** The even batch with the same sums: all prompt chunks as one behind their mean history, decodes of mean length. */
function evenLaunch(step: Step): AttentionLaunch {
  let prefillTokens = 0;
  let historyProduct = 0;
  let decodes = 0;
  let decodeKv = 0;
  for (let i = 0; i < step.count; i++) {
    const qoLen = step.qoLens[i]!;
    const kvLen = step.kvLens[i]!;
    if (qoLen === 1) {
      decodes++;
      decodeKv += kvLen - 1;
    } else {
      prefillTokens += qoLen;
      historyProduct += qoLen * (kvLen - qoLen);
    }
  }
  return {
    prefillTokens,
    prefillHistory: prefillTokens === 0 ? 0 : historyProduct / prefillTokens,
    decodes,
    decodeKv: decodes === 0 ? 0 : decodeKv / decodes,
  };
}

/** vLLM captures 1, 2, 4, multiples of 8 up to 256, multiples of 16 beyond. */
function capturedTokens(tokens: number): number {
  if (tokens <= 2) return tokens;
  if (tokens <= 4) return 4;
  const step = tokens <= 256 ? 8 : 16;
  return Math.ceil(tokens / step) * step;
}
