// Experts spread over the GPUs of replicas: what is sent, who waits for whom, and what fits beside the weights.

import {
  createStepTimer,
  type DeploymentOptions,
  EXPERT_SHARE_CV,
  ExpertRouting,
  findModel,
  findProfile,
  gpuFacts,
  type ModelConfig,
  RandomStream,
  type ReplayedStep,
  rankWeightBytes,
  replay,
  resolveDeployment,
  type Step,
  type StepGroup,
  type StepTiming,
  traceOf,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, timerOf, tinyModel } from "./helpers.ts";

const mixture: ModelConfig = {
  ...tinyModel,
  moe: { experts: 16, expertsPerToken: 2, sharedExperts: 0, expertIntermediateSize: 64, denseLayers: 0 },
};

interface Request {
  readonly arrivalUs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Of a step by itself, from what it sees of the others. */
const law = (tokens: number, { tokens: all, mostTokens }: StepGroup): number => 100 + 9 * tokens + 2 * all + mostTokens;

async function run(
  requests: readonly Request[],
  options: Partial<DeploymentOptions>,
  onStep?: (s: ReplayedStep) => void,
) {
  const steps: { replica: number; startUs: number; durationUs: number; tokens: number }[] = [];
  const groups: (StepGroup | undefined)[] = [];
  const report = await replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: { model: mixture, gpu, attention: "balanced", kvBlocks: 2000, maxContextTokens: 4000, ...options },
    stepTimer: timerOf((step) => {
      groups.push(step.group === undefined ? undefined : { ...step.group });
      return law(step.tokens, step.group ?? { tokens: step.tokens, mostTokens: step.tokens });
    }),
    onStep: (step) => {
      onStep?.(step);
      steps.push({
        replica: step.replica,
        startUs: step.startUs,
        durationUs: step.timing.durationUs,
        tokens: step.tokens,
      });
    },
  });
  return { report, steps, groups };
}

const requestList = fc
  .array(
    fc.record({
      gapUs: fc.constantFrom(0, 0, 70, 900, 20_000),
      inputTokens: fc.integer({ min: 1, max: 90 }),
      outputTokens: fc.integer({ min: 1, max: 12 }),
    }),
    { minLength: 1, maxLength: 25, size: "max" },
  )
  .map((drawn) => {
    let arrivalUs = 0;
    return drawn.map(({ gapUs, ...lengths }) => {
      arrivalUs += gapUs;
      return { arrivalUs, ...lengths };
    });
  });

describe("replicas that share experts", () => {
  it("step together, as long as the slowest of them, and see how many tokens the others have", async () => {
    let together = 0;
    await fc.assert(
      fc.asyncProperty(requestList, fc.constantFrom(2, 4), fc.constantFrom(1, 2), async (requests, size, groups) => {
        const replicas = size * groups;
        const { report, steps } = await run(requests, { replicas, expertParallel: size, maxBatchedTokens: 64 });
        expect(report.metrics.completed).toBe(requests.length);
        const rounds = new Map<string, typeof steps>();
        for (const step of steps) {
          const key = `${Math.floor(step.replica / size)} ${step.startUs}`;
          rounds.set(key, [...(rounds.get(key) ?? []), step]);
        }
        const endOf = new Map<string, number>();
        for (const [key, members] of rounds) {
          const [group] = key.split(" ");
          const tokens = members.reduce((sum, step) => sum + step.tokens, 0);
          const mostTokens = Math.max(...members.map((step) => step.tokens));
          const slowest = Math.max(...members.map((step) => law(step.tokens, { tokens, mostTokens })));
          expect(new Set(members.map(({ replica }) => replica)).size).toBe(members.length);
          for (const { durationUs } of members) expect(durationUs).toBe(slowest);
          // Rounds of one group follow one another.
          const { startUs } = members[0]!;
          expect(startUs).toBeGreaterThanOrEqual(endOf.get(group!) ?? 0);
          endOf.set(group!, startUs + slowest);
          if (members.length > 1) together++;
        }
        // Who arrives is in the first round that begins then or later: there is room for everybody.
        const { scheduledUs, arrivalUs, replica } = report.requests!;
        for (let i = 0; i < requests.length; i++) {
          const group = Math.floor(replica[i]! / size);
          const first = [...rounds.values()]
            .filter(([member]) => Math.floor(member!.replica / size) === group && member!.startUs >= arrivalUs[i]!)
            .reduce((earliest, [member]) => Math.min(earliest, member!.startUs), Number.POSITIVE_INFINITY);
          // The token budget may be spent by those before it.
          expect(scheduledUs[i]!).toBeGreaterThanOrEqual(first);
          if (requests.length === 1) expect(scheduledUs[i]!).toBe(first);
        }
      }),
      { numRuns: 1000 },
    );
    expect(together).toBeGreaterThan(1000);
  });

  it("with the same requests each are one replica whose experts see all of their tokens", async () => {
    const requests = Array.from({ length: 20 }, (_, i) => ({
      arrivalUs: 700 * i,
      inputTokens: 5 + 3 * i,
      outputTokens: 1 + (i % 7),
    }));
    const tripled = requests.flatMap((request) => [request, request, request]);
    const { report } = await run(tripled, { replicas: 3, expertParallel: 3, router: "round-robin" });
    const single = await replay({
      trace: traceOf(requests, { blockTokens: 16 }),
      deployment: { model: mixture, gpu, attention: "balanced", kvBlocks: 2000, maxContextTokens: 4000 },
      stepTimer: timerOf(({ tokens }) => law(tokens, { tokens: 3 * tokens, mostTokens: tokens })),
    });
    const every3rd = (values: readonly number[]): number[] => values.filter((_, i) => i % 3 === 1);
    expect(every3rd(report.requests!.endUs)).toEqual(single.requests!.endUs);
    expect(report.metrics.steps).toBe(3 * single.metrics.steps);
    expect(report.metrics.stepTimeShare.wait).toBeCloseTo(0, 12);
  });

  it("are on their own where the GPUs of one replica have all experts", async () => {
    const requests = Array.from({ length: 9 }, (_, i) => ({ arrivalUs: 50 * i, inputTokens: 30, outputTokens: 5 }));
    const spread = await run(requests, { replicas: 2, tensorParallel: 2, expertParallel: 2 });
    const sliced = await run(requests, { replicas: 2, tensorParallel: 2 });
    expect(spread.groups.every((group) => group === undefined)).toBe(true);
    expect(spread.report.metrics).toEqual(sliced.report.metrics);
  });

  it("hand requests over from groups that compute prompts to groups that go on, in closed loop too", async () => {
    const requests = Array.from({ length: 40 }, (_, i) => ({ arrivalUs: 300 * i, inputTokens: 60, outputTokens: 9 }));
    const disaggregation = { prefillReplicas: 2, kvTransferGBps: 1 };
    const { report } = await run(requests, { replicas: 6, expertParallel: 2, disaggregation });
    expect(report.metrics.completed).toBe(40);
    const closed = await replay({
      trace: traceOf(requests),
      deployment: { model: mixture, gpu, attention: "balanced", kvBlocks: 500, replicas: 4, expertParallel: 4 },
      stepTimer: timerOf(() => 500),
      concurrency: 6,
    });
    expect(closed.metrics.completed).toBe(40);
    expect(closed.metrics.peakConcurrency).toBe(6);
  });

  it("are refused where they cannot be", () => {
    const refusal = (options: object) => () =>
      resolveDeployment({ model: mixture, gpu, attention: "balanced", kvBlocks: 100, ...options });
    expect(refusal({ expertParallel: 0 })).toThrow("expertParallel is 0");
    expect(refusal({ expertParallel: 2, model: tinyModel })).toThrow("expected a mixture of experts: tiny is dense");
    expect(refusal({ expertParallel: 2 })).toThrow("the 1 (of each kind) are a multiple of them, not of 2");
    expect(refusal({ expertParallel: 3, tensorParallel: 2 })).toThrow("expected a multiple of tensorParallel (2)");
    expect(refusal({ expertParallel: 2, replicas: 2, pipelineParallel: 2 })).toThrow("in a pipeline");
    const disaggregation = { prefillReplicas: 1, kvTransferGBps: 50 };
    expect(refusal({ expertParallel: 2, replicas: 4, disaggregation })).toThrow("of each kind");
  });
});

describe("what fits", () => {
  it("is more where each GPU has fewer experts: 256 of DeepSeek-V3 over 16 GPUs are 16 each", () => {
    const model = findModel("deepseek-v3");
    const routedBytes = 58 * 256 * 3 * 7168 * 2048 * (1 + 4 / 128 ** 2);
    const saved = rankWeightBytes(model, 1) - rankWeightBytes(model, 1, undefined, 16);
    expect(saved / (routedBytes * (15 / 16))).toBeCloseTo(1, 9);
    // Attention, dense layers and shared experts stay whole: under 20 GB of weights in 8 bits.
    expect(rankWeightBytes(model, 1) - routedBytes).toBeLessThan(20e9);
    const h200 = gpuFacts(findProfile("h200-sxm"));
    const blocks = (options: object) =>
      resolveDeployment({ model, gpu: h200, attention: "balanced", ...options }).description.kvBlocks;
    expect(() => blocks({ replicas: 16 })).toThrow("more memory or tensor, pipeline or expert parallelism");
    expect(blocks({ replicas: 16, expertParallel: 16 })).toBeGreaterThan(10_000);
  });
});

describe("experts' tokens", () => {
  /** Tokens choose experts one after the other by their shares, no expert twice. */
  function sample(routing: ExpertRouting, seed: number, tokens: number): { perToken: number; busiest: number } {
    const random = new RandomStream(seed, "visits");
    const { shares, ranks, expertsPerToken } = routing;
    const rankOf = (e: number) => (e % (2 * ranks) < ranks ? e % (2 * ranks) : 2 * ranks - 1 - (e % (2 * ranks)));
    const visits = new Float64Array(ranks);
    for (let t = 0; t < tokens; t++) {
      const chosen = new Set<number>();
      while (chosen.size < expertsPerToken) {
        let left = random.uniform();
        let e = 0;
        while (e < shares.length - 1 && left >= shares[e]!) left -= shares[e++]!;
        chosen.add(e);
      }
      for (const rank of new Set([...chosen].map(rankOf))) visits[rank]!++;
    }
    return { perToken: visits.reduce((a, b) => a + b) / tokens, busiest: Math.max(...visits) / tokens };
  }

  it.each([
    [256, 8, 16],
    [128, 8, 8],
    [8, 2, 4],
    [64, 6, 64],
  ])("of %i experts, %i a token, on %i GPUs, visit as many GPUs as drawing them says", (experts, perToken, gpus) => {
    for (const cv of [0, EXPERT_SHARE_CV]) {
      const routing = new ExpertRouting(experts, perToken, gpus, cv);
      const drawn = sample(routing, 7, 20_000);
      expect(Math.abs(routing.ranksPerToken / drawn.perToken - 1)).toBeLessThan(0.08);
      expect(Math.abs(routing.busiestRankChance / drawn.busiest - 1)).toBeLessThan(0.1);
    }
    // One GPU for each expert: as many visits as experts.
    expect(new ExpertRouting(experts, perToken, experts, 0.5).ranksPerToken).toBeCloseTo(perToken, 9);
  });

  const h100 = findProfile("h100-sxm");
  const stepOf = (tokens: number, group?: StepGroup): Step => ({
    count: tokens,
    qoLens: new Int32Array(tokens).fill(1),
    kvLens: new Int32Array(tokens).fill(1000),
    tokens,
    sampled: tokens,
    group,
  });

  it("are dispatched and combined over all-to-alls as NCCL was measured to do them", () => {
    // Even routing, one expert a GPU and a token: 4 GPUs with 1,024 tokens of 2,048 bf16 elements each send 3/4 of 4 MiB,
    // there and back, in each of 48 layers.
    const base = findModel("qwen3-30b-a3b");
    const model = { ...base, moe: { ...base.moe!, experts: 4, expertsPerToken: 1 } };
    const timer = createStepTimer({ kind: "analytic", model, profile: h100, expertParallel: 4, expertShareCv: 0 });
    const { collectiveUs } = timer.time(stepOf(1024, { tokens: 4096, mostTokens: 1024 }));
    const rows = h100.allToAll!.find(({ gpus }) => gpus === 4)!.rows;
    const measuredUs = rows.find(([bytes]) => bytes === 4 * 2 ** 20)![1];
    expect(collectiveUs / (48 * 2 * measuredUs)).toBeCloseTo(1, 6);
    // Not faster than the link of the data sheet.
    expect(measuredUs).toBeGreaterThan((0.75 * 4 * 2 ** 20) / 450e3);
  });

  it("wait for the replica with most of them, or the GPU that most go to", () => {
    const model = findModel("qwen3-30b-a3b");
    const us = (group: StepGroup, expertShareCv: number): number =>
      createStepTimer({ kind: "analytic", model, profile: h100, expertParallel: 8, expertShareCv }).time(
        stepOf(10, group),
      ).collectiveUs;
    const even = us({ tokens: 8000, mostTokens: 1000 }, 0);
    expect(us({ tokens: 8000, mostTokens: 4000 }, 0)).toBeGreaterThan(3 * even);
    expect(us({ tokens: 8000, mostTokens: 1000 }, 1)).toBeGreaterThan(1.02 * even);
    expect(us({ tokens: 8000, mostTokens: 1000 }, 1)).toBeLessThan(1.5 * even);
  });

  it("in 8 bits on the way there, cross in less time", () => {
    const us = (weightDtype: "bf16" | "fp8") =>
      createStepTimer({
        kind: "analytic",
        model: { ...findModel("deepseek-v3"), weightDtype },
        profile: h100,
        expertParallel: 8,
      }).time(stepOf(2048, { tokens: 8 * 2048, mostTokens: 2048 })).collectiveUs;
    expect(us("fp8") / us("bf16")).toBeCloseTo((1 + 1.03125 / 2) / 2, 1);
  });

  it("of more replicas read experts once: a group computes them faster than replicas by themselves", () => {
    const model = findModel("qwen3-30b-a3b");
    const time = (options: object, step: Step): StepTiming => ({
      ...createStepTimer({ kind: "analytic", model, profile: h100, ...options }).time(step),
    });
    const alone = time({}, stepOf(32));
    const spread = time({ expertParallel: 8 }, stepOf(32, { tokens: 256, mostTokens: 32 }));
    // 32 tokens visit 112 of 128 experts on one GPU; 256 visit the 16 of each.
    expect(spread.gemmUs).toBeLessThan(0.45 * alone.gemmUs);
    expect(alone.collectiveUs).toBe(0);
    expect(spread.attentionUs).toBe(alone.attentionUs);
    // On the GPUs of one tensor-parallel group nothing is dispatched, whatever their number.
    const grouped = time({ tensorParallel: 4, expertParallel: 4 }, stepOf(32));
    expect(grouped.collectiveUs).toBe(time({ tensorParallel: 4 }, stepOf(32)).collectiveUs);
  });

  it("are sent in parts by GPUs that share attention, and gathered again", () => {
    const model = findModel("qwen3-30b-a3b");
    const group = { tokens: 4096, mostTokens: 2048 };
    const us = (options: object) =>
      createStepTimer({ kind: "analytic", model, profile: h100, expertShareCv: 0, ...options }).time(
        stepOf(2048, group),
      ).collectiveUs;
    const reduced = us({ tensorParallel: 4 });
    const spread = us({ tensorParallel: 4, expertParallel: 8 });
    // One of two all-reduces is left: 2,048 tokens are 8 MiB.
    const allReduceUs = h100.allReduce.find(({ gpus }) => gpus === 4)!.rows.find(([bytes]) => bytes === 2 ** 23)![1];
    expect(reduced).toBeCloseTo(48 * 2 * allReduceUs, 6);
    // The rest: a gather, of half an all-reduce, and two all-to-alls.
    const rest = spread / 48 - 1.5 * allReduceUs;
    const routing = new ExpertRouting(128, 8, 8, 0);
    const bytes = 512 * routing.ranksPerToken * 2048 * 2;
    const rows = h100.allToAll!.find(({ gpus }) => gpus === 8)!.rows;
    const high = rows.findIndex(([size]) => size >= bytes);
    expect(rest).toBeGreaterThan(2 * rows[high - 1]![1]);
    expect(rest).toBeLessThan(2 * rows[high]![1]);
  });
});
