// Layers split over stages: what a pipeline is by arithmetic, and against an engine written a second time.

import {
  createStepTimer,
  type DeploymentOptions,
  findModel,
  findProfile,
  type GpuProfile,
  gpuFacts,
  MeasuredTimer,
  ReplayTraceEvents,
  type Report,
  rankAttention,
  rankKvBytesPerToken,
  rankWeightBytes,
  replay,
  resolveDeployment,
  type Step,
  type StepTimer,
  type StepTiming,
  traceOf,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { modelStages } from "../../packages/simulator/src/model/model-stages.ts";
import { gpu, timerOf, tinyModel } from "./helpers.ts";
import { type NaiveRequest, type NaiveTimes, naiveEngine } from "./naive-engine.ts";
import { scenario } from "./scenario.ts";

type CollectiveTables = GpuProfile["allToAll"];

const deepModel = { ...tinyModel, layers: 8 };

function stagedTimer(timesOf: (qoLens: number[], kvLens: number[]) => NaiveTimes) {
  const steps: { qoLens: number[]; kvLens: number[] }[] = [];
  const timer: StepTimer = {
    name: "staged",
    time(step: Step): StepTiming {
      const qoLens = Array.from(step.qoLens.subarray(0, step.count));
      const kvLens = Array.from(step.kvLens.subarray(0, step.count));
      steps.push({ qoLens, kvLens });
      const { hostUs, stageUs, transferUs } = timesOf(qoLens, kvLens);
      const gemmUs = stageUs.reduce((sum, us) => sum + us, 0);
      const collectiveUs = (stageUs.length - 1) * transferUs;
      return {
        durationUs: hostUs + gemmUs + collectiveUs,
        attentionUs: 0,
        gemmUs,
        collectiveUs,
        otherUs: 0,
        hostUs,
        attentionImbalance: Number.NaN,
        smBusyFraction: Number.NaN,
        ...(stageUs.length === 1 ? {} : { stageUs: Float64Array.from(stageUs), transferUs }),
      };
    },
  };
  return { timer, steps };
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

function run(
  requests: readonly NaiveRequest[],
  stages: number,
  timer: StepTimer,
  options: Partial<DeploymentOptions> = {},
  onStep?: Parameters<typeof replay>[0]["onStep"],
): Promise<Report> {
  return replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: {
      model: deepModel,
      gpu,
      attention: "balanced",
      kvBlocks: 10_000,
      maxContextTokens: 4000,
      pipelineParallel: stages,
      ...options,
    },
    stepTimer: timer,
    onStep,
  });
}

describe("a pipeline", () => {
  it("makes the same steps, preemptions and times as a second engine, whatever its stages take", async () => {
    let preemptions = 0;
    let overlaps = 0;
    const pipeline = fc.record({
      hostUs: fc.constantFrom(0, 10, 300),
      perStage: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 4 }),
      transferUs: fc.constantFrom(0, 5, 200),
    });
    await fc.assert(
      fc.asyncProperty(scenario, pipeline, async (s, { hostUs, perStage, transferUs }) => {
        const times = (qoLens: readonly number[], kvLens: readonly number[]): NaiveTimes => ({
          hostUs,
          transferUs,
          stageUs: perStage.map((tokenUs) => 20 + tokenUs * total(qoLens) + total(kvLens)),
        });
        const expected = naiveEngine(s.requests, { ...s, times, stages: perStage.length });
        const { timer, steps } = stagedTimer(times);
        const report = await replay({
          trace: traceOf(s.requests, { blockTokens: s.traceBlockTokens }),
          deployment: {
            model: deepModel,
            gpu,
            attention: "balanced",
            pipelineParallel: perStage.length,
            ...s.deployment,
          },
          stepTimer: timer,
        });
        expect(steps).toEqual(expected.steps.map(({ qoLens, kvLens }) => ({ qoLens, kvLens })));
        const { requests, metrics } = report;
        expect(requests!.firstTokenUs).toEqual(expected.requests.map((r) => r.tokenTimes[0]));
        expect(requests!.endUs).toEqual(expected.requests.map((r) => r.tokenTimes.at(-1)));
        expect(requests!.preemptions).toEqual(expected.requests.map((r) => r.preemptions));
        expect(expected.freeBlocks).toBe(s.blocks);
        preemptions += metrics.preemptions;
        if (metrics.stepTimeShare.wait! > 0) overlaps++;
      }),
      { numRuns: 2000 },
    );
    expect(preemptions).toBeGreaterThan(500);
    expect(overlaps).toBeGreaterThan(500);
  });

  it("takes one request through host, stages and hand-overs one after the other", async () => {
    const { timer } = stagedTimer(() => ({ hostUs: 7, stageUs: [100, 200, 50], transferUs: 11 }));
    const { metrics } = await run([{ arrivalUs: 0, inputTokens: 30, outputTokens: 20 }], 3, timer);
    const tokenMs = (7 + 100 + 11 + 200 + 11 + 50) / 1000;
    expect(metrics.ttftMs.max).toBeCloseTo(tokenMs, 9);
    expect(metrics.itlMs.min).toBeCloseTo(tokenMs, 9);
    expect(metrics.itlMs.max).toBeCloseTo(tokenMs, 9);
    // Each stage works its part of every step and idles for the rest.
    [100, 200, 50].forEach((us, stage) => {
      expect(metrics.stageIdle![stage]).toBeCloseTo(1 - us / (tokenMs * 1000), 9);
    });
    expect(metrics.stepTimeShare.wait).toBeCloseTo(0, 9);
    expect(metrics.stepTimeShare.collective).toBeCloseTo(22 / (tokenMs * 1000), 9);
  });

  it("is as fast as its slowest stage when it is full", async () => {
    // Four times as many requests as fit into one step: every step is full, and none waits for another's token for long.
    const requests = Array.from({ length: 16 }, () => ({ arrivalUs: 0, inputTokens: 4, outputTokens: 500 }));
    const slowestUs = 200;
    const { timer } = stagedTimer(() => ({ hostUs: 7, stageUs: [100, 150, slowestUs, 50], transferUs: 11 }));
    const { metrics, deployment } = await run(requests, 4, timer, { maxBatchedTokens: 4 });
    const steps = metrics.steps;
    const fillUs = 7 + 100 + 11 + 150 + 11 + 11 + 50;
    expect(metrics.durationS * 1e6).toBeGreaterThanOrEqual(steps * slowestUs);
    expect(metrics.durationS * 1e6).toBeLessThanOrEqual(1.01 * (steps * slowestUs + fillUs));
    expect(metrics.stageIdle![2]).toBeLessThan(0.01);
    expect(metrics.stageIdle![0]).toBeCloseTo(0.5, 2);
    expect(deployment).toMatchObject({ pipelineParallel: 4, gpus: 4 });
    // One stage that takes the sum of theirs has no hand-overs, and is that much slower all the same.
    const { timer: whole } = stagedTimer(() => ({ hostUs: 7, stageUs: [500], transferUs: 0 }));
    const alone = await run(requests, 1, whole, { maxBatchedTokens: 4 });
    expect(alone.metrics.durationS / metrics.durationS).toBeGreaterThan(2.4);
  });

  it("of one stage is the engine without a pipeline", async () => {
    const requests = Array.from({ length: 40 }, (_, i) => ({
      arrivalUs: 3000 * i,
      inputTokens: 10 + 7 * i,
      outputTokens: 1 + i,
    }));
    const timer = () => timerOf((step) => 500 + 10 * step.tokens);
    const { wallClock: _, ...piped } = await run(requests, 1, timer());
    const { wallClock: __, ...plain } = await run(requests, 1, timer(), { pipelineParallel: undefined });
    expect(piped).toEqual(plain);
    expect(piped.metrics).not.toHaveProperty("stageIdle");
    expect(piped.deployment).not.toHaveProperty("pipelineParallel");
  });

  it("shows in trace events which step each stage has when", async () => {
    let text = "";
    const events = new ReplayTraceEvents((part) => {
      text += part;
    });
    const requests = Array.from({ length: 9 }, (_, i) => ({ arrivalUs: 90 * i, inputTokens: 3, outputTokens: 12 }));
    const { timer } = stagedTimer((qoLens) => ({ hostUs: 5, stageUs: [40 * qoLens.length, 70, 30], transferUs: 8 }));
    const report = await run(requests, 3, timer, { maxRunningRequests: 9, maxBatchedTokens: 3 }, (step) =>
      events.step(step),
    );
    events.end(report);
    interface Event {
      readonly ph: string;
      readonly tid: number;
      readonly cat?: string;
      readonly ts: number;
      readonly dur: number;
      readonly args: { readonly name?: string; readonly step?: number };
    }
    const { traceEvents } = JSON.parse(text) as { traceEvents: Event[] };
    const names = traceEvents.filter(({ ph, args }) => ph === "M" && args.name?.startsWith("stage"));
    expect([...new Set(names.map(({ args }) => args.name))]).toEqual(["stage 1 of 3", "stage 2 of 3", "stage 3 of 3"]);
    const passes = traceEvents.filter(({ cat }) => cat === "step" || cat === "host");
    expect(passes).toHaveLength(4 * report.metrics.steps);
    const endOf = new Map(passes.map(({ tid, ts, dur, args }) => [`${args.step} ${tid}`, ts + dur]));
    for (const { tid, ts, args } of passes) {
      const step = args.step!;
      // Behind the step before it, and behind its own stage before this one and the transfer between them.
      expect(ts).toBeGreaterThanOrEqual(step === 0 ? 0 : endOf.get(`${step - 1} ${tid}`)!);
      if (tid > 0) expect(ts).toBeGreaterThanOrEqual(endOf.get(`${step} ${tid - 1}`)! + (tid > 1 ? 8 : 0) - 1e-3);
    }
    // And stages do work at the same time on different steps.
    const busyUs = total(passes.filter(({ cat }) => cat === "step").map(({ dur }) => dur));
    expect(busyUs).toBeGreaterThan(1.2 * report.metrics.durationS * 1e6);
  });

  it("hands requests over to decode replicas, and goes on after it was idle", async () => {
    const requests = [0, 100, 5_000_000, 5_000_100].map((arrivalUs) => ({
      arrivalUs,
      inputTokens: 50,
      outputTokens: 10,
    }));
    const { timer } = stagedTimer(() => ({ hostUs: 5, stageUs: [40, 70], transferUs: 8 }));
    const { metrics } = await run(requests, 2, timer, {
      replicas: 2,
      disaggregation: { prefillReplicas: 1, kvTransferGBps: 10 },
    });
    expect(metrics.completed).toBe(4);
  });
});

describe("stages", () => {
  it("have every layer once, with what vLLM leaves over before the last one", () => {
    const layersOf = (stages: number) => modelStages({ ...tinyModel, layers: 30 }, stages).map(({ layers }) => layers);
    expect(layersOf(1)).toEqual([30]);
    expect(layersOf(4)).toEqual([7, 8, 8, 7]);
    expect(layersOf(7)).toEqual([4, 4, 4, 4, 5, 5, 4]);
    expect(layersOf(30)).toEqual(Array.from({ length: 30 }, () => 1));
  });

  it.each([
    ["llama-3.1-70b", 4],
    ["mixtral-8x7b", 2],
    ["deepseek-v3", 8],
  ])("hold the weights and the KV of %s together, each its own", (name, tensorParallel) => {
    const model = findModel(name);
    for (const count of [2, 3, 5]) {
      const stages = modelStages(model, count);
      const weights = total(stages.map((stage) => rankWeightBytes(model, tensorParallel, stage)));
      // Each stage is rounded up to whole bytes.
      expect(Math.abs(weights - rankWeightBytes(model, tensorParallel))).toBeLessThanOrEqual(count);
      const kv = total(stages.map((stage) => rankKvBytesPerToken(model, tensorParallel, stage)));
      expect(kv).toBe(rankKvBytesPerToken(model, tensorParallel));
      expect(stages.map(({ hasEmbedding }) => hasEmbedding).lastIndexOf(true)).toBe(0);
      expect(stages.map(({ hasHead }) => hasHead).indexOf(true)).toBe(count - 1);
    }
    expect(total(modelStages(findModel("deepseek-v3"), 5).map(({ denseLayers }) => denseLayers))).toBe(3);
  });

  it("leave as many KV blocks as fit into the fullest of them", () => {
    const model = findModel("llama-3.1-70b");
    const h100 = { ...gpu, memoryBytes: 80 * 2 ** 30 };
    const blocks = (pipelineParallel: number) =>
      resolveDeployment({ model, gpu: h100, attention: "balanced", tensorParallel: 2, pipelineParallel }).description
        .kvBlocks;
    // 80 layers on 3 stages: 27 and the embedding, 27, 26 and the head, which needs room for logits too.
    const blockBytes = (layers: number) => 16 * 2 * 4 * 128 * 2 * layers;
    const layerBytes = (70.553706496e9 - 2 * 128_256 * 8192) * (1 / 80);
    const freeBytes = 0.9 * h100.memoryBytes - 0.88e9 - 8192 * 2 * (3 * 8192 + 28_672);
    const tableBytes = 128_256 * 8192;
    const first = (freeBytes - 27 * layerBytes - tableBytes) / blockBytes(27);
    const last = (freeBytes - 26 * layerBytes - tableBytes - 1024 * 128_256 * 6) / blockBytes(26);
    expect(blocks(3) / Math.min(first, last)).toBeCloseTo(1, 3);
    expect(blocks(4)).toBeGreaterThan(blocks(3));
  });

  it("are refused where they cannot be", () => {
    const refusal = (options: object) => () =>
      resolveDeployment({ model: deepModel, gpu, attention: "balanced", kvBlocks: 100, ...options });
    expect(refusal({ pipelineParallel: 9 })).toThrow("pipelineParallel is 9, expected at most the 8 layers");
    expect(refusal({ pipelineParallel: 0 })).toThrow("pipelineParallel is 0");
    expect(refusal({ pipelineParallel: 1.5 })).toThrow("pipelineParallel is 1.5");
    expect(refusal({ pipelineParallel: 2, batching: "orca" })).toThrow("batching is orca, expected vllm-v1");
    const speculation = { tokens: 2, acceptanceRate: 0.5 };
    expect(refusal({ pipelineParallel: 2, speculation })).toThrow("expected 1 with speculative decoding");
  });

  it("must be as many as the step timer times", async () => {
    const { timer } = stagedTimer(() => ({ hostUs: 5, stageUs: [40, 70], transferUs: 8 }));
    const one = [{ arrivalUs: 0, inputTokens: 3, outputTokens: 3 }];
    await expect(run(one, 3, timer)).rejects.toThrow('pipelineParallel is 3, expected 2, what the step timer "staged"');
    await expect(run(one, 1, timer)).rejects.toThrow("pipelineParallel is 1, expected 2");
    await expect(
      run(
        one,
        2,
        timerOf(() => 5),
      ),
    ).rejects.toThrow("pipelineParallel is 2, expected 1");
  });
});

describe("step timers of a pipeline", () => {
  const profile = findProfile("h100-sxm");
  const step: Step = {
    count: 3,
    qoLens: Int32Array.of(1, 1, 512),
    kvLens: Int32Array.of(900, 4000, 512),
    tokens: 514,
    sampled: 3,
  };

  it.each([
    ["analytic", "llama-3.1-70b", 4],
    ["kernel", "llama-3.1-8b", 1],
    ["analytic", "deepseek-v3", 8],
  ] as const)("%s: the stages of %s together do what one does, and transfers besides", (kind, name, tensorParallel) => {
    const model = findModel(name);
    const time = (pipelineParallel: number): StepTiming => ({
      ...createStepTimer({ kind, model, profile, tensorParallel, pipelineParallel }).time(step),
    });
    const whole = time(1);
    expect(whole).not.toHaveProperty("stageUs");
    for (const stages of [2, 3, 4]) {
      const split = time(stages);
      expect(split.stageUs).toHaveLength(stages);
      for (const part of ["attentionUs", "gemmUs", "otherUs", "hostUs"] as const) {
        expect(split[part] / whole[part]).toBeCloseTo(1, 9);
      }
      const transfersUs = (stages - 1) * split.transferUs!;
      expect(split.collectiveUs).toBeCloseTo(whole.collectiveUs + transfersUs, 6);
      expect(split.durationUs).toBeCloseTo(total([...split.stageUs!]) + transfersUs + split.hostUs, 6);
      expect(split.durationUs).toBeCloseTo(whole.durationUs + transfersUs, 6);
    }
  });

  it("transfer hidden state and residual, over links that all-to-alls were measured on", () => {
    const model = findModel("llama-3.1-70b");
    const us = (tokens: number, tensorParallel: number) =>
      createStepTimer({ kind: "analytic", model, profile, tensorParallel, pipelineParallel: 2 }).time({
        count: 1,
        qoLens: Int32Array.of(tokens),
        kvLens: Int32Array.of(tokens),
        tokens,
        sampled: 1,
      }).transferUs!;
    const row = (table: CollectiveTables, gpus: number, bytes: number): number =>
      table!.find((candidate) => candidate.gpus === gpus)!.rows.find(([size]) => size === bytes)![1];
    // Between two GPUs an all-to-all sends half of its bytes: 8192 tokens × 2 × 8192 × 2 bytes are half of 512 MiB.
    expect(us(8192, 1)).toBeCloseTo(row(profile.allToAll, 2, 2 ** 29), 6);
    // Not below what the data sheet's link takes.
    expect(us(8192, 1)).toBeGreaterThan((8192 * 2 * 8192 * 2) / 450e3);
    // Four ranks send a quarter each, and gather the rest: half of an all-reduce, of 128 MiB in place of 256.
    expect(us(8192, 4)).toBeCloseTo(row(profile.allToAll, 2, 2 ** 27) + row(profile.allReduce, 4, 2 ** 27), 6);
    expect(us(1, 1)).toBeGreaterThan(3);
    expect(us(1, 1)).toBeLessThan(15);
    // Without measurements: a fixed time and the data sheet's link.
    const { allReduce: _, allToAll: __, ...rest } = profile;
    const unmeasured = { ...rest, allReduce: [] };
    const fallback = createStepTimer({ kind: "analytic", model, profile: unmeasured, pipelineParallel: 2 }).time({
      count: 1,
      qoLens: Int32Array.of(64),
      kvLens: Int32Array.of(64),
      tokens: 64,
      sampled: 1,
    });
    expect(fallback.transferUs).toBeCloseTo(6 + (64 * 2 * 8192 * 2) / 450e3, 9);
  });

  it("measured: the stages of a model together do what its measured layers do", () => {
    const byLayer = (us: number) => [1, 64, 512].map((tokens) => [tokens, us + tokens / 10] as const);
    const names = [
      ["qkv_proj", 11],
      ["o_proj", 7],
      ["gate_up_proj", 23],
      ["down_proj", 13],
      ["layernorm", 2],
      ["rotary_emb", 1],
      ["act_fn", 3],
      ["embedding", 5],
      ["final_layernorm", 2],
    ] as const;
    const times = {
      origin: "test",
      byTokens: new Map(names.map(([name, us]) => [name, byLayer(us)])),
      bySequences: new Map([
        ["lm_head", byLayer(90)],
        ["sampler", byLayer(30)],
      ]),
      attention: [1, 4].flatMap((decodes) =>
        [16, 4096].map((decodeKv) => ({
          prefillTokens: 0,
          prefillHistory: 0,
          decodes,
          decodeKv,
          us: 5 + (decodes * decodeKv) / 1000,
        })),
      ),
    };
    const model = findModel("llama-3.1-8b");
    const attention = rankAttention(model, 1, 16);
    const decodes: Step = {
      count: 3,
      qoLens: Int32Array.of(1, 1, 1),
      kvLens: Int32Array.of(40, 900, 77),
      tokens: 3,
      sampled: 3,
    };
    const time = (pipelineParallel: number): StepTiming => {
      const timer = new MeasuredTimer(model, profile, attention, times, { graphTokens: 64, pipelineParallel });
      return { ...timer.time(decodes) };
    };
    const whole = time(1);
    const split = time(3);
    for (const part of ["attentionUs", "gemmUs", "otherUs"] as const) expect(split[part]).toBeCloseTo(whole[part], 6);
    expect(split.durationUs).toBeCloseTo(whole.durationUs + 2 * split.transferUs!, 6);
    expect(total([...split.stageUs!]) + 2 * split.transferUs!).toBeCloseTo(split.durationUs, 6);
    // 32 layers: 11, 11 and the embedding, 10 and the head.
    expect(split.stageUs![2]! - split.stageUs![1]!).toBeGreaterThan(0);
  });

  it("refuse more stages than layers", () => {
    const model = findModel("llama-3.1-8b");
    expect(() => createStepTimer({ kind: "analytic", model, profile, pipelineParallel: 33 })).toThrow(
      "pipelineParallel is 33, expected an integer from 1 to the 32 layers",
    );
  });

  it("serve a model that one GPU could not hold", async () => {
    const model = findModel("llama-3.1-70b");
    const timer = createStepTimer({ kind: "analytic", model, profile, pipelineParallel: 4 });
    const requests = Array.from({ length: 30 }, (_, i) => ({
      arrivalUs: 20_000 * i,
      inputTokens: 500,
      outputTokens: 50,
    }));
    const { metrics } = await run(requests, 4, timer, {
      model,
      gpu: gpuFacts(profile),
      kvBlocks: undefined,
      maxContextTokens: undefined,
    });
    expect(metrics.completed).toBe(30);
    for (const idle of metrics.stageIdle!) {
      expect(idle).toBeGreaterThan(0);
      expect(idle).toBeLessThan(1);
    }
    expect(metrics.mbu).toBeLessThan(1);
  });
});
