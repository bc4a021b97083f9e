import {
  collectJobs,
  createPlanner,
  H100_SXM,
  Jobs,
  tileLowerBoundNs,
  verifyPlan,
  workerCount,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  area,
  attentionShapes,
  batches,
  CASES,
  decodes,
  devices,
  exhaustiveOptimum,
  LLAMA_8B,
  ONE_HEAD,
  unitDevice,
} from "./support.ts";

const tiny = fc.record({
  tiles: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
  workers: fc.integer({ min: 1, max: 3 }),
  piece: fc.integer({ min: 0, max: 4 }),
});

describe("tight", () => {
  test("keeps its makespan under area + A + c, and to jobs + P − 1 pieces and 2(P − 1) partial slots", () => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(20, 200, 20_000), (attention, device, batch) => {
        const { stats } = createPlanner({ attention, device, policy: "tight" }).plan(batch);
        const workers = workerCount(device);
        const { areaNs, pieceNs, kvTileNs, jobCount } = area(attention, device, batch);
        const makespanNs = Math.round(stats.makespanUs * 1000);
        expect(makespanNs).toBeGreaterThanOrEqual(Math.round(stats.lowerBoundUs * 1000));
        expect(makespanNs).toBeLessThanOrEqual(areaNs + pieceNs + kvTileNs);
        expect(stats.pieces).toBeLessThanOrEqual(jobCount + workers - 1);
        expect(stats.partialSlots).toBeLessThanOrEqual(2 * (workers - 1));
      }),
      { numRuns: CASES },
    );
  });

  test("exceeds the exhaustive optimum by at most A", () => {
    fc.assert(
      fc.property(tiny, ({ tiles, workers, piece }) => {
        const optimum = exhaustiveOptimum(tiles, workers, piece);
        const device = unitDevice(workers, piece);
        const { stats } = createPlanner({ attention: ONE_HEAD, device, policy: "tight" }).plan(decodes(tiles));
        expect(stats.makespanUs * 1000).toBeGreaterThanOrEqual(optimum - 1e-6);
        expect(stats.makespanUs * 1000).toBeLessThanOrEqual(optimum + piece + 1e-6);
      }),
      { numRuns: 400 },
    );
  });

  test("is the exhaustive optimum of nearly every small batch", () => {
    const small = fc.record({
      tiles: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 2, maxLength: 3 }),
      workers: fc.integer({ min: 2, max: 3 }),
      piece: fc.integer({ min: 1, max: 2 }),
    });
    const sample = fc.sample(small, { numRuns: 400, seed: 7 });
    const optimal = sample.filter(({ tiles, workers, piece }) => {
      const device = unitDevice(workers, piece);
      const { stats } = createPlanner({ attention: ONE_HEAD, device, policy: "tight" }).plan(decodes(tiles));
      return Math.round(stats.makespanUs * 1000) === exhaustiveOptimum(tiles, workers, piece);
    });
    expect(optimal.length).toBeGreaterThanOrEqual(0.98 * sample.length);
  });

  test("cuts no job where whole jobs fill the workers evenly", () => {
    const batch = decodes(new Array<number>(33).fill(128));
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "tight" }).plan(batch);
    expect(plan.stats.imbalance).toBe(1);
    expect(plan.stats.partialSlots).toBe(0);
  });

  test("needs a half of balanced's partial slots or less where lengths vary, and is no longer", () => {
    const lens = Array.from({ length: 128 }, (_, i) => 200 + ((i * 7919) % 8000));
    const batch = { qoLens: lens.map(() => 1), kvLens: lens };
    const tight = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "tight" }).plan(batch).stats;
    const balanced = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "balanced" }).plan(batch).stats;
    expect(tight.partialSlots).toBeLessThanOrEqual(balanced.partialSlots / 2);
    expect(tight.makespanUs).toBeLessThanOrEqual(balanced.makespanUs);
  });

  test("plans 10 million tokens, 4,096 requests of 8 heads, and nothing at all", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "tight" });
    const ordinary = [
      { qoLens: [1], kvLens: [10_000_000] },
      { qoLens: new Array<number>(4096).fill(1), kvLens: Array.from({ length: 4096 }, (_, i) => (i * 37) % 9000) },
      { qoLens: [], kvLens: [] },
      { qoLens: [300, 5], kvLens: [10, 0] },
    ];
    for (const batch of ordinary) verifyPlan(planner.plan(batch), batch, H100_SXM);
  });
});

describe("the lower bound on whole tiles", () => {
  test("is at least LB* and at most the exhaustive optimum", () => {
    fc.assert(
      fc.property(tiny, ({ tiles, workers, piece }) => {
        const device = unitDevice(workers, piece);
        const { stats } = createPlanner({ attention: ONE_HEAD, device }).plan(decodes(tiles));
        const bound = tileBound(tiles, workers, piece);
        expect(bound).toBeGreaterThanOrEqual(Math.round(stats.lowerBoundUs * 1000));
        expect(bound).toBeLessThanOrEqual(exhaustiveOptimum(tiles, workers, piece));
      }),
      { numRuns: CASES },
    );
  });

  test("is never above a plan, whatever the costs and lengths", () => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(20, 200, 8000), (attention, device, batch) => {
        const jobs = new Jobs();
        collectJobs(jobs, attention, device.costModel, batch.qoLens, batch.kvLens, batch.qoLens.length);
        const bound = tileLowerBoundNs(jobs, workerCount(device));
        for (const policy of ["balanced", "tight", "none"] as const) {
          const { stats } = createPlanner({ attention, device, policy }).plan(batch);
          expect(Math.round(stats.makespanUs * 1000)).toBeGreaterThanOrEqual(bound);
        }
      }),
      { numRuns: CASES },
    );
  });

  test("is exact where LB* is not: 270 tiles for 8 heads on 264 workers fit 8 tiles each only for LB*", () => {
    const jobs = new Jobs();
    collectJobs(jobs, LLAMA_8B, H100_SXM.costModel, [1], [270 * 64], 1);
    const { stats } = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "tight" }).plan(decodes([270]));
    const { pieceNs, kvTileNs } = H100_SXM.costModel.queryTiles[0]!;
    const nineTilesNs = pieceNs + 9 * kvTileNs;
    expect(stats.lowerBoundUs * 1000).toBeLessThan(nineTilesNs);
    expect(tileLowerBoundNs(jobs, 264)).toBe(nineTilesNs);
    expect(stats.makespanUs * 1000).toBeCloseTo(nineTilesNs, 6);
  });
});

function tileBound(tiles: readonly number[], workers: number, piece: number): number {
  const jobs = new Jobs();
  const { qoLens, kvLens } = decodes(tiles);
  collectJobs(jobs, ONE_HEAD, unitDevice(workers, piece).costModel, qoLens, kvLens, tiles.length);
  return tileLowerBoundNs(jobs, workers);
}
