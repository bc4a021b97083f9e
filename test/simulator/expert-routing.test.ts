// The expectation of what the busiest rank does, held against tokens that really choose experts.

import type { ModelConfig } from "@isochron/simulator";
import {
  createStepTimer,
  ExpertRouting,
  findModel,
  findProfile,
  RandomStream,
  StepTimerError,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

/** Mean over many steps of what one rank with all experts sees: experts visited, rows. Each token draws k different experts. */
function drawn(shares: Float64Array, k: number, tokens: number, ranks: number, steps: number) {
  const random = new RandomStream(1, "experts");
  let [visited, busiest] = [0, 0];
  for (let step = 0; step < steps; step++) {
    const rows = new Int32Array(shares.length);
    for (let token = 0; token < tokens; token++) {
      // Systematic sampling: every expert is chosen with probability k × share, exactly, and k of them in all.
      const order = Array.from(shares.keys());
      for (let i = order.length - 1; i > 0; i--) {
        const j = random.integer(i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      let mark = random.uniform();
      let passed = 0;
      for (const expert of order) {
        passed += k * shares[expert]!;
        if (passed > mark) {
          rows[expert]!++;
          mark++;
        }
      }
    }
    visited += rows.filter((count) => count > 0).length;
    const byRank = new Float64Array(ranks);
    rows.forEach((count, e) => {
      const at = e % (2 * ranks);
      byRank[at < ranks ? at : 2 * ranks - 1 - at]! += count;
    });
    busiest += Math.max(...byRank);
  }
  return { visited: visited / steps, busiest: busiest / steps };
}

describe("routing to experts", () => {
  test("shares add up to one, fall, and have the asked spread where no expert meets every token", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 256 }),
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (experts, k, cv) => {
          const perToken = Math.min(k, experts);
          const { shares } = new ExpertRouting(experts, perToken, 1, cv);
          expect(sum(shares)).toBeCloseTo(1, 9);
          for (let e = 1; e < experts; e++) expect(shares[e]!).toBeLessThanOrEqual(shares[e - 1]! + 1e-12);
          expect(shares[0]! * perToken).toBeLessThanOrEqual(1 + 1e-9);
        },
      ),
      { numRuns: 1000 },
    );
    const { shares } = new ExpertRouting(256, 8, 1, 0.5);
    const mean = 1 / 256;
    expect(Math.sqrt(sum(shares.map((share) => (share / mean - 1) ** 2)) / 256)).toBeCloseTo(0.5, 1);
  });

  test.each([
    [8, 2, 1, 0.35],
    [8, 2, 40, 0.35],
    [128, 8, 7, 0.35],
    [128, 8, 100, 0],
    [128, 8, 100, 1],
  ])(
    "of %i experts, %i a token, visits as many with %i tokens as tokens do that choose (spread %f)",
    (experts, k, tokens, cv) => {
      const routing = new ExpertRouting(experts, k, 1, cv);
      const { visited, rows, paddedRows } = routing.load(tokens);
      expect(visited / drawn(routing.shares, k, tokens, 1, 300).visited).toBeCloseTo(1, 1);
      expect(rows).toBeCloseTo(tokens * k, 6);
      expect(paddedRows).toBeGreaterThanOrEqual(rows);
    },
  );

  test.each([
    [8, 2, 2, 64, 0.35],
    [128, 8, 8, 64, 0.35],
    [128, 8, 8, 1000, 1],
    [256, 8, 8, 16, 0.35],
  ])(
    "of %i experts, %i a token, gives the busiest of %i ranks what it gets from %i tokens (spread %f)",
    (experts, k, ranks, tokens, cv) => {
      const routing = new ExpertRouting(experts, k, ranks, cv);
      const { busiest } = drawn(routing.shares, k, tokens, ranks, 300);
      expect(Math.abs(routing.load(tokens).rows / busiest - 1)).toBeLessThan(0.08);
    },
  );
});

describe("a mixture's step", () => {
  const profile = findProfile("h100-sxm");
  const gemmUs = (model: ModelConfig, tokens: number, options: object = {}) =>
    createStepTimer({ kind: "analytic", model, profile, ...options }).time({
      count: tokens,
      qoLens: new Int32Array(tokens).fill(1),
      kvLens: new Int32Array(tokens).fill(100),
      tokens,
      sampled: tokens,
    }).gemmUs;

  test("reads more experts with more tokens, until it reads all", () => {
    const model = findModel("qwen3-30b-a3b");
    const few = gemmUs(model, 1);
    const some = gemmUs(model, 16);
    const all = gemmUs(model, 512);
    expect(some).toBeGreaterThan(3 * few);
    expect(all).toBeGreaterThan(1.3 * some);
    // 128 of 128 experts, 57 GB of them, at no more than the bandwidth of the data sheet.
    expect(all).toBeGreaterThan((2 * 48 * 128 * 3 * 2048 * 768) / 3.35e6);
  });

  test("is as long with whole experts on each GPU as with slices where routing is even, and longer where it is not", () => {
    const model = findModel("mixtral-8x7b");
    const time = (isWhole: boolean, expertShareCv: number) =>
      gemmUs(model, 4096, { tensorParallel: 4, expertParallel: isWhole ? 4 : undefined, expertShareCv });
    expect(time(true, 0) / time(false, 0)).toBeCloseTo(1, 1);
    expect(time(true, 0.8)).toBeGreaterThan(1.1 * time(true, 0));
    expect(time(false, 0.8) / time(false, 0)).toBeCloseTo(1, 1);
  });

  test("is refused where experts do not divide, or there are none", () => {
    const refused = (name: string, tensorParallel: number, expertParallel: number) => () =>
      createStepTimer({ kind: "analytic", model: findModel(name), profile, tensorParallel, expertParallel });
    expect(refused("llama-3.1-8b", 2, 2)).toThrow(StepTimerError);
    expect(refused("mixtral-8x7b", 16, 16)).toThrow(/expected a divisor of the 8 experts/);
    expect(refused("mixtral-8x7b", 4, 2)).toThrow(/expected a multiple of the 4 GPUs/);
    expect(refused("mixtral-8x7b", 2, 3)).toThrow(/expected a multiple of the 2 GPUs/);
    expect(refused("mixtral-8x7b", 8, 8)).not.toThrow();
    expect(refused("mixtral-8x7b", 2, 8)).not.toThrow();
  });
});

describe("narrow weights", () => {
  const profile = findProfile("h100-sxm");
  const model = findModel("llama-3.1-8b");
  const gemmUs = (weightDtype: "bf16" | "fp8" | "int4", tokens: number, on = profile) =>
    createStepTimer({ kind: "analytic", model: { ...model, weightDtype }, profile: on }).time({
      count: 1,
      qoLens: Int32Array.of(tokens),
      kvLens: Int32Array.of(tokens),
      tokens,
      sampled: 0,
    }).gemmUs;

  test("take less time to read, in proportion to their bytes and no less", () => {
    expect(gemmUs("fp8", 1) / gemmUs("bf16", 1)).toBeGreaterThan(0.5);
    expect(gemmUs("fp8", 1) / gemmUs("bf16", 1)).toBeLessThan(0.7);
    expect(gemmUs("int4", 1)).toBeLessThan(gemmUs("fp8", 1));
    expect(gemmUs("int4", 1) / gemmUs("bf16", 1)).toBeGreaterThan(0.25);
  });

  test("compute faster only where the GPU has a rate for them", () => {
    expect(gemmUs("fp8", 8192) / gemmUs("bf16", 8192)).toBeCloseTo(0.5, 1);
    expect(gemmUs("int4", 8192)).toBeCloseTo(gemmUs("bf16", 8192), 6);
    const a100 = findProfile("a100-sxm");
    expect(gemmUs("fp8", 8192, a100)).toBeCloseTo(gemmUs("bf16", 8192, a100), 6);
  });

  test("leave 16-bit models as they were", () => {
    expect(gemmUs("bf16", 77)).toBe(
      createStepTimer({ kind: "analytic", model, profile }).time({
        count: 1,
        qoLens: Int32Array.of(77),
        kvLens: Int32Array.of(77),
        tokens: 77,
        sampled: 0,
      }).gemmUs,
    );
  });
});
