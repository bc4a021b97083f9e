// Steps that are taken without asking, because they repeat, against the same steps taken one by one: reports and all that is
// told of every step are equal to the last bit, whatever the deployment.

import {
  BATCHING_POLICIES,
  type BatchingName,
  type BatchingPolicy,
  type CreateBatchingPolicy,
  createStepTimer,
  findModel,
  findProfile,
  gpuFacts,
  type ReplayOptions,
  type RouterName,
  replay,
  type Step,
  type StepTimer,
  type StepTimerKind,
  traceOf,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BoundaryWheel } from "../../packages/simulator/src/boundary-wheel.ts";
import { timerOf } from "./helpers.ts";

const profile = findProfile("h100-sxm");

/** A policy that is asked about every step. */
function asked(create: CreateBatchingPolicy): CreateBatchingPolicy {
  return (context) => {
    const policy = create(context);
    return {
      get waitingCount() {
        return policy.waitingCount;
      },
      get runningCount() {
        return policy.runningCount;
      },
      enqueue: (slot) => policy.enqueue(slot),
      schedule: (step) => policy.schedule(step),
      finish: (slot) => policy.finish(slot),
    } satisfies BatchingPolicy;
  };
}

/** A timer that is asked for the whole of every step. */
function whole(timer: StepTimer): StepTimer {
  return { name: timer.name, time: (step) => timer.time(step) };
}

/** Everything but how long it took, and what was told of each step. */
async function everythingOf(options: Omit<ReplayOptions, "onStep" | "generator">): Promise<string> {
  const steps: string[] = [];
  const { wallClock: _, ...report } = await replay({
    ...options,
    generator: { version: "0", command: "replay", seed: 0 },
    onStep: (step) => steps.push(JSON.stringify(step)),
  });
  return `${JSON.stringify(report)}\n${steps.join("\n")}`;
}

const law = timerOf(({ tokens, kvLens, count }) => {
  let us = 90 + tokens * 7;
  for (let i = 0; i < count; i++) us += kvLens[i]! / 3;
  return us;
});

const timers: Readonly<Record<StepTimerKind | "law", (model: ReturnType<typeof findModel>, tp: number) => StepTimer>> =
  {
    analytic: (model, tensorParallel) => createStepTimer({ kind: "analytic", model, profile, tensorParallel }),
    kernel: (model, tensorParallel) => createStepTimer({ kind: "kernel", model, profile, tensorParallel }),
    law: () => law,
  };

const scenario = fc.record({
  batching: fc.constantFrom<BatchingName>("vllm-v1", "vllm-v1", "vllm-v1", "prefill-first", "orca", "static", "mlfq"),
  timer: fc.constantFrom<keyof typeof timers>("analytic", "analytic", "law", "kernel"),
  model: fc.constantFrom("llama-3.1-8b", "llama-3.1-8b", "mixtral-8x7b", "deepseek-v3"),
  replicas: fc.integer({ min: 1, max: 3 }),
  blockSizeTokens: fc.constantFrom(1, 4, 16, 16, 128),
  spareBlocks: fc.integer({ min: 0, max: 60 }),
  maxRunningRequests: fc.integer({ min: 1, max: 12 }),
  maxBatchedTokens: fc.constantFrom(3, 64, 512),
  prefixCaching: fc.boolean(),
  chunkedPrefill: fc.constantFrom(true, true, true, false),
  reserveFullInput: fc.constantFrom(true, true, false),
  watermark: fc.constantFrom(0, 0, 0.1),
  recordSteps: fc.array(fc.record({ replica: fc.integer({ min: 0, max: 2 }), step: fc.nat(90) }), { maxLength: 2 }),
  seriesLimit: fc.constantFrom(16, 20_000),
  concurrency: fc.constantFrom(undefined, undefined, undefined, 1, 4),
  prefillReplicas: fc.constantFrom(undefined, undefined, 1),
  router: fc.constantFrom<RouterName>("round-robin", "random", "least-kv", "prefix-aware"),
  routerStalenessMs: fc.constantFrom(0, 0, 7),
  requests: fc.array(
    fc.record({
      gapUs: fc.constantFrom(0, 0, 3000, 40_000, 400_000),
      inputTokens: fc.integer({ min: 1, max: 300 }),
      outputTokens: fc.integer({ min: 1, max: 90 }),
      content: fc.option(fc.array(fc.nat(3), { maxLength: 2 }), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 16 },
  ),
});

describe("steps that repeat", () => {
  it("are the steps that a policy and a timer that are asked every time give", async () => {
    let repeated = 0;
    let preemptions = 0;
    const counted = (timer: StepTimer): StepTimer => ({
      ...whole(timer),
      ...(timer.timeRepeated === undefined
        ? {}
        : {
            timeRepeated: (step: Step) => {
              repeated++;
              return timer.timeRepeated!(step);
            },
          }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async (drawn) => {
        const { blockSizeTokens, batching } = drawn;
        let arrivalUs = 0;
        const requests = drawn.requests.map(({ gapUs, content, inputTokens, outputTokens }) => {
          arrivalUs += gapUs;
          return { arrivalUs, inputTokens, outputTokens, ...(content === undefined ? {} : { content }) };
        });
        const most = Math.max(...requests.map((r) => r.inputTokens + r.outputTokens));
        const model = findModel(drawn.model);
        const tensorParallel = drawn.model === "deepseek-v3" ? 8 : 1;
        const stepTimer = timers[drawn.timer](model, tensorParallel);
        const options = (timer: StepTimer, create: CreateBatchingPolicy) => ({
          trace: traceOf(requests, { blockTokens: 128 }),
          deployment: {
            model,
            gpu: gpuFacts(profile),
            attention: "balanced" as const,
            tensorParallel,
            replicas: drawn.replicas,
            blockSizeTokens,
            kvBlocks: Math.ceil(most / blockSizeTokens) + 1 + drawn.spareBlocks,
            maxRunningRequests: drawn.maxRunningRequests,
            maxBatchedTokens: drawn.maxBatchedTokens,
            maxContextTokens: most,
            prefixCaching: drawn.prefixCaching,
            chunkedPrefill: drawn.chunkedPrefill || most > drawn.maxBatchedTokens,
            reserveFullInput: drawn.reserveFullInput,
            watermark: drawn.watermark,
            batching,
            router: drawn.router,
            routerStalenessMs: ["least-kv", "prefix-aware"].includes(drawn.router) ? drawn.routerStalenessMs : 0,
            disaggregation:
              drawn.prefillReplicas === undefined || drawn.replicas === 1 || batching !== "vllm-v1"
                ? undefined
                : { prefillReplicas: drawn.prefillReplicas, kvTransferGBps: 50 },
          },
          stepTimer: timer,
          batchingPolicy: { name: batching, create },
          concurrency: drawn.concurrency,
          recordSteps: drawn.recordSteps,
          seriesLimit: drawn.seriesLimit,
        });
        const { create } = BATCHING_POLICIES[batching];
        const found = await everythingOf(options(counted(stepTimer), create));
        const expected = await everythingOf(options(whole(stepTimer), asked(create)));
        expect(found).toBe(expected);
        preemptions += Number(/"preemptions":(\d+)/.exec(found)![1]);
      }),
      { numRuns: 1000 },
    );
    // The scenarios do reach what they are for.
    expect(repeated).toBeGreaterThan(20_000);
    expect(preemptions).toBeGreaterThan(100);
  });

  it("take as long in the end as timers say of each by itself, after other batches too", () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 40 });
    for (const [kind, name, tensorParallel] of [
      ["analytic", "llama-3.1-8b", 1],
      ["analytic", "deepseek-v3", 8],
      ["kernel", "qwen3-32b", 2],
    ] as const) {
      const model = findModel(name);
      const one = createStepTimer({ kind, model, profile, tensorParallel });
      const other = createStepTimer({ kind, model, profile, tensorParallel });
      fc.assert(
        fc.property(lengths, lengths, fc.integer({ min: 1, max: 300 }), (first, between, repeats) => {
          for (const [lens, times] of [
            [first, 3],
            [between, repeats],
          ] as const) {
            const step = {
              count: lens.length,
              qoLens: new Int32Array(lens.length).fill(1),
              kvLens: Int32Array.from(lens),
              tokens: lens.length,
              sampled: lens.length,
            };
            expect(one.time(step)).toEqual(other.time(step));
            for (let i = 0; i < times; i++) {
              for (let j = 0; j < lens.length; j++) step.kvLens[j]!++;
              expect((one.timeRepeated ?? one.time).call(one, step)).toEqual(other.time(step));
            }
          }
        }),
        { numRuns: kind === "kernel" ? 20 : 200 },
      );
    }
  });

  it("cross boundaries when a wheel says so", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.nat(100), { maxLength: 20 }),
        fc.nat(60),
        (period, lengths, steps) => {
          const wheel = new BoundaryWheel(period);
          for (const _ of [0, 1]) {
            wheel.clear();
            for (const length of lengths) wheel.add(period - (length % period));
            for (let step = 1; step <= steps; step++) {
              expect(wheel.next).toBe(lengths.filter((length) => (length + step) % period === 0).length);
              wheel.turn();
            }
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
