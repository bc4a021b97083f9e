import { createPlanner } from "@isochron/planner";
import type { ModelConfig, Step, StepTiming } from "@isochron/simulator";
import {
  createStepTimer,
  findModel,
  findProfile,
  plannerDevice,
  RandomStream,
  StepTimerError,
  simulateKernel,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LLAMA_8B_ATTENTION } from "./hand-made-plans.ts";

const profile = findProfile("h100-sxm");
const model = findModel("llama-3.1-8b");

function step(qoLens: number[], kvLens: number[], sampled = qoLens.length): Step {
  return {
    count: qoLens.length,
    // Longer than the batch, as the engine's arrays are: entries behind `count` must not matter.
    qoLens: Int32Array.from([...qoLens, 999, 999]),
    kvLens: Int32Array.from([...kvLens, 99_999, 99_999]),
    tokens: qoLens.reduce((sum, qoLen) => sum + qoLen, 0),
    sampled,
  };
}

const decodes = (count: number, kvLen: number) => step(new Array(count).fill(1), new Array(count).fill(kvLen));

const stepArbitrary: fc.Arbitrary<Step> = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 600 })),
      fc.integer({ min: 0, max: 5000 }),
    ),
    { minLength: 1, maxLength: 30 },
  )
  .map((requests) =>
    step(
      requests.map(([qoLen]) => qoLen),
      requests.map(([qoLen, history]) => qoLen + history),
    ),
  );

describe.each(["analytic", "kernel"] as const)("the %s timer", (kind) => {
  const timer = createStepTimer({ kind, model, profile });

  test("says where all of a step's time goes, whatever it timed before", () => {
    const fresh = () => createStepTimer({ kind, model, profile });
    fc.assert(
      fc.property(stepArbitrary, (one) => {
        const timing = { ...timer.time(one) };
        const { attentionUs, gemmUs, collectiveUs, otherUs, hostUs, durationUs } = timing;
        expect(attentionUs + gemmUs + collectiveUs + otherUs + hostUs).toBeCloseTo(durationUs, 6);
        for (const us of [attentionUs, gemmUs, otherUs, hostUs]) expect(us).toBeGreaterThan(0);
        expect(collectiveUs).toBe(0);
        expect({ ...timer.time(one) }).toEqual(timing);
        expect({ ...fresh().time(one) }).toEqual(timing);
      }),
      { numRuns: 100 },
    );
  });

  test("charges the output head for sampled tokens only", () => {
    const head = (sampled: number) => timer.time(step([512, 512], [512, 512], sampled)).gemmUs;
    // 128,256 × 4096, measured: 371.21 µs for one token.
    expect(head(1) - head(0)).toBeCloseTo(371.2, 0);
    const chunk = { ...timer.time(step([512], [512], 0)) };
    expect(chunk.otherUs).toBeLessThan(timer.time(step([512], [512], 1)).otherUs);
  });

  test("takes GEMM times from the measured table where there is one", () => {
    const rowsOf = (n: number, k: number) => profile.gemm.shapes.find((shape) => shape.n === n && shape.k === k)!.rows;
    const at = (n: number, k: number, m: number) => rowsOf(n, k).find((row) => row[0] === m)![1];
    const layerUs = at(6144, 4096, 64) + at(4096, 4096, 64) + at(28_672, 4096, 64) + at(4096, 14_336, 64);
    expect(timer.time(decodes(64, 100)).gemmUs).toBeCloseTo(32 * layerUs + at(128_256, 4096, 64), 3);
  });

  test("shares a layer's work over a tensor-parallel group and pays for two all-reduces", () => {
    const one = { ...timer.time(decodes(64, 4096)) };
    const two = { ...createStepTimer({ kind, model, profile, tensorParallel: 2 }).time(decodes(64, 4096)) };
    expect(two.attentionUs / one.attentionUs).toBeGreaterThan(0.45);
    expect(two.attentionUs / one.attentionUs).toBeLessThan(0.6);
    expect(two.gemmUs).toBeLessThan(0.65 * one.gemmUs);
    const bytes = 64 * 4096 * 2;
    const measured = profile.allReduce.find((table) => table.gpus === 2)!.rows.find((row) => row[0] === bytes)![1];
    expect(two.collectiveUs).toBeCloseTo(32 * 2 * measured, 6);
  });

  test("has a time for mixtures of experts, latent attention and GPUs without measurements", () => {
    const moe: ModelConfig = {
      ...model,
      name: "a mixture",
      moe: { experts: 64, expertsPerToken: 4, expertIntermediateSize: 2048, sharedExperts: 1, denseLayers: 1 },
    };
    const latent: ModelConfig = {
      ...moe,
      name: "a latent",
      queryHeads: 128,
      kvHeads: 128,
      mla: { queryRank: 1536, kvRank: 512, ropeHeadDim: 64, nopeHeadDim: 128, valueHeadDim: 128 },
    };
    for (const other of [moe, latent]) {
      for (const name of ["h100-sxm", "b200", "rtx-4090"]) {
        for (const tensorParallel of [1, 4]) {
          const times = createStepTimer({ kind, model: other, profile: findProfile(name), tensorParallel });
          const few = times.time(decodes(2, 1000)).durationUs;
          expect(Number.isFinite(few)).toBe(true);
          expect(times.time(decodes(64, 1000)).durationUs).toBeGreaterThan(few);
        }
      }
    }
  });
});

function pick({ attentionUs, attentionImbalance, smBusyFraction }: StepTiming) {
  return { attentionUs, attentionImbalance, smBusyFraction };
}

describe("the two timers", () => {
  const analytic = createStepTimer({ kind: "analytic", model, profile });
  const kernel = createStepTimer({ kind: "kernel", model, profile });

  test.each([
    [1, 1024],
    [1, 8192],
    [16, 1024],
    [32, 2048],
    [64, 1024],
    [64, 8192],
    [128, 600],
    [256, 1024],
    [256, 8192],
  ])("agree on %i even decodes of %i tokens", (count, kvLen) => {
    const optimist = analytic.time(decodes(count, kvLen)).attentionUs;
    expect(Math.abs(optimist / kernel.time(decodes(count, kvLen)).attentionUs - 1)).toBeLessThan(0.08);
  });

  test.each([2048, 8192])("agree on one prompt of %i tokens", (tokens) => {
    const prompt = step([tokens], [tokens]);
    const optimist = analytic.time(prompt).attentionUs;
    expect(Math.abs(optimist / kernel.time(prompt).attentionUs - 1)).toBeLessThan(0.05);
  });

  test("only the kernel timer sees that one long request stays on few workers when nothing is split", () => {
    const unsplit = createStepTimer({ kind: "kernel", model, profile, attentionPolicy: "none" });
    const uneven = step(new Array(64).fill(1), [100_000, ...new Array(63).fill(512)]);
    const even = analytic.time(uneven).attentionUs;
    expect({ ...unsplit.time(uneven) }.attentionUs).toBeGreaterThan(4 * even);
    expect(unsplit.time(uneven).attentionImbalance).toBeGreaterThan(4);
    expect(kernel.time(uneven).attentionImbalance).toBeLessThan(1.2);
    expect(analytic.time(uneven).attentionImbalance).toBeNaN();
  });

  test("the kernel timer's attention is its plan's simulated time, once for each layer", () => {
    const batch = { qoLens: [1, 1, 200], kvLens: [5000, 70, 900] };
    const plan = createPlanner({ attention: LLAMA_8B_ATTENTION, device: plannerDevice(profile) }).plan(batch);
    const { durationUs } = simulateKernel(plan, profile);
    const exact = createStepTimer({ kind: "kernel", model, profile, exactLengths: true });
    expect(exact.time(step(batch.qoLens, batch.kvLens)).attentionUs).toBe(32 * durationUs);
    expect(kernel.time(step(batch.qoLens, batch.kvLens)).attentionUs / (32 * durationUs)).toBeCloseTo(1, 2);
  });

  test("lengths that the kernel timer rounds hardly change a step, and nothing on average", () => {
    const exact = createStepTimer({ kind: "kernel", model, profile, exactLengths: true });
    const random = new RandomStream(7, "lengths");
    const errors = Array.from({ length: 400 }, () => {
      const count = 1 + Math.floor(60 * random.uniform());
      const kvLens = Array.from({ length: count }, () => 1 + Math.floor(30_000 * random.uniform() ** 3));
      const decode = step(new Array(count).fill(1), kvLens);
      return kernel.time(decode).attentionUs / exact.time(decode).attentionUs - 1;
    });
    const sizes = errors.map(Math.abs).sort((a, b) => a - b);
    expect(sizes[Math.floor(0.98 * sizes.length)]).toBeLessThan(0.01);
    expect(Math.abs(errors.reduce((sum, error) => sum + error, 0) / errors.length)).toBeLessThan(0.001);
  });

  test("what the kernel timer says of a step does not depend on the steps before it", () => {
    const warm = createStepTimer({ kind: "kernel", model, profile });
    const random = new RandomStream(8, "lengths");
    for (let i = 0; i < 300; i++) {
      const kvLens = Array.from({ length: 1 + (i % 5) }, () => 1 + Math.floor(9000 * random.uniform()));
      const decode = step(new Array(kvLens.length).fill(1), kvLens);
      const cold = createStepTimer({ kind: "kernel", model, profile });
      const { attentionUs, attentionImbalance, smBusyFraction } = warm.time(decode);
      expect({ attentionUs, attentionImbalance, smBusyFraction }).toEqual({ ...pick(cold.time(decode)) });
      // Again, from the memo.
      expect(pick(warm.time(decode))).toEqual(pick(cold.time(decode)));
    }
  });
});

test("a timer that cannot be made says which option is wrong", () => {
  const make = (options: object) => () => createStepTimer({ kind: "kernel", model, profile, ...options } as never);
  expect(make({ kind: "guess" })).toThrow(StepTimerError);
  expect(make({ kind: "guess" })).toThrow(/"guess", expected one of analytic, kernel/);
  expect(make({ tensorParallel: 3 })).toThrow(/tensorParallel is 3, expected a divisor of the 32 query heads/);
  expect(make({ tensorParallel: 0 })).toThrow(StepTimerError);
  expect(make({ attentionPolicy: "fastest" })).toThrow(/fastest/);
});

test("takes the attention of a step from the runner that it is given, and all else from the profile", () => {
  const asked: number[][] = [];
  const runner = {
    timeUs(qoLens: Int32Array, kvLens: Int32Array): number {
      asked.push([...qoLens, ...kvLens]);
      return 10;
    },
  };
  const hardware = createStepTimer({ kind: "analytic", model, profile, runner });
  const step = decodes(3, 100);
  const timed = { ...hardware.time(step) };
  const modelled = { ...createStepTimer({ kind: "analytic", model, profile }).time(step) };
  expect(hardware.name).toBe("cuda");
  expect(asked).toEqual([[1, 1, 1, 100, 100, 100]]);
  expect(timed.attentionUs).toBe(10 * model.layers);
  expect([timed.gemmUs, timed.otherUs]).toEqual([modelled.gemmUs, modelled.otherUs]);
  hardware.time(step);
  expect(asked.length).toBe(1);
});
