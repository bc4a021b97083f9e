// The `measured` step timer: layers as they were measured, attention as its plan is simulated, times what measurements of
// even batches say the simulation leaves out.
//
// Steps that a captured graph replays are padded to its size; those of decodes alone also run the attention that was
// captured. Measurements are of eager launches, so the ratio is taken against the plan of an eager launch.

import type { AttentionShape, Planner, PolicyName } from "@isochron/planner";
import { createPlanner } from "@isochron/planner";
import { extrapolate } from "../gpu/curve.ts";
import { plannerDevice } from "../gpu/planner-device.ts";
import type { CurveTable, GpuProfile } from "../gpu/profile.ts";
import { KernelSimulator } from "../kernel/kernel-simulator.ts";
import { AttentionRatios } from "../layer-times/attention-ratios.ts";
import type { AttentionTime, LayerTimes } from "../layer-times/layer-times.ts";
import { LayerTimesError } from "../layer-times/layer-times.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { emptyTiming } from "./timing.ts";

export interface MeasuredTimerOptions {
  /** Policy of eager launches, which is what was measured. */
  readonly eager: PolicyName;
  /** Policy of captured decodes. */
  readonly graph: PolicyName;
  /** Largest number of tokens that a graph was captured for (vLLM: twice max_num_seqs, at most 512); 0: no graphs. */
  readonly graphTokens: number;
}

/** Layers of a transformer block, and how often each runs in it. The first group counts as GEMMs. */
const BLOCK_GEMMS: Readonly<Record<string, number>> = { qkv_proj: 1, o_proj: 1, gate_up_proj: 1, down_proj: 1 };
const BLOCK_OTHERS: Readonly<Record<string, number>> = { layernorm: 2, qk_norm: 1, rotary_emb: 1, act_fn: 1 };
const EDGES: readonly string[] = ["embedding", "final_layernorm"];

export class MeasuredTimer implements StepTimer {
  readonly name = "measured";
  private readonly layers: number;
  private readonly profile: GpuProfile;
  private readonly graphTokens: number;
  private readonly blockGemms: readonly CurveTable["rows"][];
  private readonly blockOthers: readonly (readonly [CurveTable["rows"], number])[];
  private readonly edges: readonly CurveTable["rows"][];
  private readonly head: CurveTable["rows"];
  private readonly sampler: CurveTable["rows"];
  private readonly eager: Planner;
  private readonly graph: Planner;
  private readonly simulator: KernelSimulator;
  private readonly ratios: AttentionRatios;
  private readonly timing: StepTiming = emptyTiming();

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    attention: AttentionShape,
    times: LayerTimes,
    options: MeasuredTimerOptions,
  ) {
    this.layers = model.layers;
    this.profile = profile;
    this.graphTokens = options.graphTokens;
    const find = (tables: LayerTimes["byTokens"], name: string): CurveTable["rows"] => {
      const rows = tables.get(name);
      if (rows === undefined) throw new LayerTimesError(times.origin, 0, `has no times of the layer ${name}`);
      return rows;
    };
    this.blockGemms = Object.keys(BLOCK_GEMMS).map((name) => find(times.byTokens, name));
    this.blockOthers = Object.entries(BLOCK_OTHERS)
      .filter(([name]) => name !== "qk_norm" || model.queryKeyNorm === true)
      .map(([name, runs]) => [find(times.byTokens, name), runs]);
    this.edges = EDGES.map((name) => find(times.byTokens, name));
    this.head = find(times.bySequences, "lm_head");
    this.sampler = find(times.bySequences, "sampler");
    const device = plannerDevice(profile);
    this.eager = createPlanner({ attention, device, policy: options.eager });
    this.graph = createPlanner({ attention, device, policy: options.graph });
    this.simulator = new KernelSimulator(profile);
    this.ratios = new AttentionRatios(times.attention, (shape) => this.simulateShape(shape));
  }

  time(step: Step): StepTiming {
    const { timing, layers } = this;
    const tokens = step.tokens <= this.graphTokens ? capturedTokens(step.tokens) : step.tokens;
    timing.attentionUs = layers * this.attentionUs(step);
    let gemmUs = 0;
    for (const rows of this.blockGemms) gemmUs += extrapolate(rows, tokens);
    timing.gemmUs = layers * gemmUs + (step.sampled === 0 ? 0 : extrapolate(this.head, step.sampled));
    let otherUs = 0;
    for (const [rows, runs] of this.blockOthers) otherUs += runs * extrapolate(rows, tokens);
    let edgeUs = step.sampled === 0 ? 0 : extrapolate(this.sampler, step.sampled);
    for (const rows of this.edges) edgeUs += extrapolate(rows, tokens);
    timing.otherUs = layers * otherUs + edgeUs;
    const { stepUs, requestUs } = this.profile.host;
    timing.hostUs = stepUs.value + step.count * requestUs.value;
    timing.durationUs = timing.attentionUs + timing.gemmUs + timing.otherUs + timing.hostUs;
    return timing;
  }

  /** One layer's launch. */
  private attentionUs(step: Step): number {
    const { timing, simulator } = this;
    let prefillTokens = 0;
    let historyProduct = 0;
    let decodes = 0;
    let decodeKv = 0;
    for (let i = 0; i < step.count; i++) {
      const qoLen = step.qoLens[i]!;
      const kvLen = step.kvLens[i]!;
      if (qoLen === 1) {
        decodes++;
        decodeKv += kvLen;
      } else {
        prefillTokens += qoLen;
        historyProduct += qoLen * (kvLen - qoLen);
      }
    }
    const isReplayed = prefillTokens === 0 && step.tokens <= this.graphTokens;
    const qoLens = step.qoLens.subarray(0, step.count);
    const kvLens = step.kvLens.subarray(0, step.count);
    const plan = (isReplayed ? this.graph : this.eager).plan({ qoLens, kvLens });
    simulator.run(plan);
    const { durationUs } = simulator;
    timing.attentionImbalance = durationUs / simulator.lowerBoundUs;
    timing.smBusyFraction = simulator.busyFraction;
    const history = prefillTokens === 0 ? 0 : historyProduct / prefillTokens;
    return durationUs * this.ratios.at(prefillTokens, history, decodes, decodes === 0 ? 0 : decodeKv / decodes);
  }

  private simulateShape({ prefillTokens, prefillHistory, decodes, decodeKv }: AttentionTime): number {
    const prefills = prefillTokens === 0 ? 0 : 1;
    const count = prefills + decodes;
    const qoLens = new Int32Array(count).fill(1);
    const kvLens = new Int32Array(count).fill(decodeKv);
    if (prefills === 1) {
      qoLens[0] = prefillTokens;
      kvLens[0] = prefillTokens + prefillHistory;
    }
    this.simulator.run(this.eager.plan({ qoLens, kvLens }));
    return this.simulator.durationUs;
  }
}

/** vLLM captures 1, 2, 4, multiples of 8 up to 256, multiples of 16 beyond. */
function capturedTokens(tokens: number): number {
  if (tokens <= 2) return tokens;
  if (tokens <= 4) return 4;
  const step = tokens <= 256 ? 8 : 16;
  return Math.ceil(tokens / step) * step;
}
