import type { AttentionBatch, Device } from "@isochron/planner";
import { collectJobs, createPlanner, H100_SXM, Jobs, lowerBound, verifyPlan, workerCount } from "@isochron/planner";
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

describe("balanced", () => {
  test("is a correct plan of any batch on any device", () => {
    fc.assert(
      fc.property(
        attentionShapes,
        devices(false, fc.integer({ min: 0, max: 2 })),
        batches(12, 300, 6000),
        (attention, device, batch) => {
          const plan = createPlanner({ attention, device }).plan(batch);
          verifyPlan(plan, batch, device);
        },
      ),
      { numRuns: CASES },
    );
  });

  test("keeps its makespan between LB* and area + A when costs are whole tiles", () => {
    fc.assert(
      fc.property(devices(true), batches(40, 1, 20_000), (device, batch) => {
        const { stats } = createPlanner({ attention: LLAMA_8B, device }).plan(batch);
        const { areaNs, pieceNs } = area(LLAMA_8B, device, batch);
        const tile = 100;
        expect(stats.makespanUs * 1000).toBeGreaterThanOrEqual(stats.lowerBoundUs * 1000 - 1e-6);
        // Loads are whole tiles, so the area rounds up to the next one. A lone job may be shorter than area + A allows.
        const ceiling = Math.ceil(areaNs / tile) * tile + pieceNs;
        expect(stats.makespanUs * 1000).toBeLessThanOrEqual(Math.max(ceiling, stats.lowerBoundUs * 1000) + 1e-6);
      }),
      { numRuns: CASES },
    );
  });

  test("keeps its makespan under area + A + c, of the dearest kind, whatever the costs", () => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(20, 200, 8000), (attention, device, batch) => {
        const { stats } = createPlanner({ attention, device }).plan(batch);
        const { areaNs, pieceNs, kvTileNs } = area(attention, device, batch);
        const makespanNs = Math.round(stats.makespanUs * 1000);
        expect(makespanNs).toBeGreaterThanOrEqual(Math.round(stats.lowerBoundUs * 1000));
        expect(makespanNs).toBeLessThanOrEqual(areaNs + pieceNs + kvTileNs);
      }),
      { numRuns: CASES },
    );
  });

  test("cuts into at most jobs + P − 1 pieces and 2(P − 1) partial slots, whatever the lengths", () => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(20, 200, 50_000), (attention, device, batch) => {
        const { stats } = createPlanner({ attention, device }).plan(batch);
        const workers = workerCount(device);
        const { jobCount } = area(attention, device, batch);
        expect(stats.pieces).toBeLessThanOrEqual(jobCount + workers - 1);
        expect(stats.partialSlots).toBeLessThanOrEqual(2 * (workers - 1));
      }),
      { numRuns: CASES },
    );
  });

  test("writes the same bytes for the same batch", () => {
    fc.assert(
      fc.property(devices(false), batches(20, 50, 8000), (device, batch) => {
        const budget = { maxRequests: 20, maxQueryTokens: 1000 };
        const planner = createPlanner({ attention: LLAMA_8B, device, budget });
        const first = planner.plan(batch).buffer.slice(0);
        planner.plan({ qoLens: [1, 1], kvLens: [3, 4] });
        const again = planner.plan(batch);
        expect(Buffer.from(again.buffer).equals(Buffer.from(first))).toBe(true);
      }),
      { numRuns: Math.min(CASES, 300) },
    );
  });

  test("moves its makespan by at most A + c when requests are permuted", () => {
    fc.assert(
      fc.property(devices(false), batches(16, 1, 8000), fc.nat(), (device, batch, seed) => {
        const order = Array.from(batch.qoLens, (_, i) => i);
        order.sort((a, b) => ((a * 7919 + seed) % 101) - ((b * 7919 + seed) % 101));
        const permuted = { qoLens: order.map((i) => batch.qoLens[i]!), kvLens: order.map((i) => batch.kvLens[i]!) };
        const planner = createPlanner({ attention: LLAMA_8B, device });
        const here = planner.plan(batch).stats;
        const there = planner.plan(permuted).stats;
        const { pieceNs, kvTileNs } = area(LLAMA_8B, device, batch);
        expect(there.lowerBoundUs).toBe(here.lowerBoundUs);
        expect(Math.abs(there.makespanUs - here.makespanUs) * 1000).toBeLessThanOrEqual(pieceNs + kvTileNs + 1e-6);
      }),
      { numRuns: CASES },
    );
  });

  test("is no longer than the shortest wrap-around of the line, found by trying every payload", () => {
    const costs = fc.array(fc.record({ pieceNs: fc.nat(8), kvTileNs: fc.integer({ min: 1, max: 6 }) }), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 24 }), batches(8, 40, 600), (kinds, smCount, batch) => {
        const device = withCosts(smCount, kinds);
        const { stats } = createPlanner({ attention: LLAMA_8B, device }).plan(batch);
        const shortest = shortestWrap(device, batch, Math.round(stats.lowerBoundUs * 1000));
        // Payloads are searched to a 1,024th.
        expect(stats.makespanUs * 1000).toBeLessThanOrEqual(shortest * (1 + 1 / 1024) + 1e-6);
      }),
      { numRuns: CASES },
    );
  });

  test("packs a small batch whose line would lose more than a tile on every worker", () => {
    const batch = { qoLens: [1024], kvLens: [1024] };
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(batch);
    verifyPlan(plan, batch, H100_SXM);
    const line = shortestWrap(H100_SXM, batch, Math.round(plan.stats.lowerBoundUs * 1000));
    expect(line / (plan.stats.lowerBoundUs * 1000)).toBeGreaterThan(1.13);
    expect(plan.stats.imbalance).toBeLessThan(1.07);
    const budget = { maxRequests: 1, maxQueryTokens: 1024 };
    verifyPlan(createPlanner({ attention: LLAMA_8B, device: H100_SXM, budget }).plan(batch), batch, H100_SXM);
  });

  test("comes within 5 % of the bound where one request of 131,072 tokens stands among 63 of 512", () => {
    const batch = { qoLens: new Array<number>(64).fill(1), kvLens: [131_072, ...new Array<number>(63).fill(512)] };
    const balanced = createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(batch);
    expect(balanced.stats.imbalance).toBeLessThanOrEqual(1.05);
    const none = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "none" }).plan(batch);
    expect(none.stats.imbalance).toBeGreaterThan(10);
  });

  test("plans 10 million tokens, 4,096 requests, nothing at all, and queries longer than their KV", () => {
    const ordinary: AttentionBatch[] = [
      { qoLens: [1], kvLens: [10_000_000] },
      { qoLens: new Array<number>(4096).fill(1), kvLens: Array.from({ length: 4096 }, (_, i) => i * 3) },
      { qoLens: [], kvLens: [] },
      { qoLens: [0, 0, 0], kvLens: [0, 0, 0] },
      { qoLens: [300, 5], kvLens: [10, 0] },
    ];
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    for (const batch of ordinary) verifyPlan(planner.plan(batch), batch, H100_SXM);
  });
});

describe("LB*", () => {
  test("never falls when a tile is added", () => {
    fc.assert(
      fc.property(devices(false), batches(12, 1, 6000), fc.nat(), (device, batch, pick) => {
        if (batch.qoLens.length === 0) return;
        const longer = Array.from(batch.kvLens);
        longer[pick % longer.length]! += device.costModel.kvTileTokens;
        const bound = (kvLens: ArrayLike<number>): number => {
          const jobs = new Jobs();
          collectJobs(jobs, LLAMA_8B, device.costModel, batch.qoLens, kvLens, kvLens.length);
          const result = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
          lowerBound(jobs, workerCount(device), 0, result);
          return result.lowerBoundNs;
        };
        expect(bound(longer)).toBeGreaterThanOrEqual(bound(batch.kvLens));
      }),
      { numRuns: CASES },
    );
  });

  test("is the smallest T that satisfies its definition, found by scanning every T", () => {
    const tiny = fc.record({
      tiles: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 6 }),
      workers: fc.integer({ min: 1, max: 6 }),
      piece: fc.integer({ min: 0, max: 6 }),
    });
    fc.assert(
      fc.property(tiny, ({ tiles, workers, piece }) => {
        expect(scanBound(tiles, workers, piece)).toBe(plannedBound(tiles, workers, piece));
      }),
      { numRuns: CASES },
    );
  });

  test("never exceeds the exhaustive optimum, which balanced exceeds by at most A", () => {
    const tiny = fc.record({
      tiles: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
      workers: fc.integer({ min: 1, max: 3 }),
      piece: fc.integer({ min: 0, max: 4 }),
    });
    fc.assert(
      fc.property(tiny, ({ tiles, workers, piece }) => {
        const optimum = exhaustiveOptimum(tiles, workers, piece);
        expect(plannedBound(tiles, workers, piece)).toBeLessThanOrEqual(optimum);
        const device = unitDevice(workers, piece);
        const { stats } = createPlanner({ attention: ONE_HEAD, device }).plan(decodes(tiles));
        expect(stats.makespanUs * 1000).toBeGreaterThanOrEqual(optimum - 1e-6);
        expect(stats.makespanUs * 1000).toBeLessThanOrEqual(optimum + piece + 1e-6);
      }),
      { numRuns: 400 },
    );
  });
});

function plannedBound(tiles: readonly number[], workers: number, piece: number): number {
  const { stats } = createPlanner({ attention: ONE_HEAD, device: unitDevice(workers, piece) }).plan(decodes(tiles));
  return Math.round(stats.lowerBoundUs * 1000);
}

/** A device of `smCount` workers; the dearest query tiles cost as the last of `kinds`. */
function withCosts(smCount: number, kinds: readonly { pieceNs: number; kvTileNs: number }[]): Device {
  const queryTiles = [16, 64, 128].map((rows, i) => ({ rows, ...kinds[Math.min(i, kinds.length - 1)]! }));
  const costModel = { kvTileTokens: 16, queryTiles, mergeNs: 0, mergePartialNs: 0, surchargeTiles: 0 };
  return { name: "random", smCount, ctasPerSm: 1, costModel };
}

/** The smallest payload from `fromNs` upward with which the line of all jobs, head by head, fits. */
function shortestWrap(device: Device, batch: AttentionBatch, fromNs: number): number {
  const jobs = new Jobs();
  collectJobs(jobs, LLAMA_8B, device.costModel, batch.qoLens, batch.kvLens, batch.qoLens.length);
  const fits = (payloadNs: number): boolean => {
    let worker = 1;
    let leftNs = payloadNs;
    for (let job = 0; job < jobs.count * jobs.headCount; job++) {
      const j = Math.floor(job / jobs.headCount);
      const [a, c] = [jobs.pieceNs[j]!, jobs.kvTileNs[j]!];
      let tiles = jobs.tiles[j]!;
      for (;;) {
        const taken = Math.min(tiles, Math.floor((leftNs - a) / c));
        if (taken > 0 || (tiles === 0 && leftNs >= a)) {
          leftNs -= a + taken * c;
          tiles -= taken;
          if (tiles === 0) break;
        }
        if (++worker > workerCount(device)) return false;
        leftNs = payloadNs;
      }
    }
    return true;
  };
  let payloadNs = fromNs;
  while (!fits(payloadNs)) payloadNs++;
  return payloadNs;
}

/** The definition, literally. */
function scanBound(tiles: readonly number[], workers: number, piece: number): number {
  for (let T = 0; ; T++) {
    let need = 0;
    for (const n of tiles) {
      const most = T - piece;
      if (n === 0) need += most >= 0 ? piece : Number.POSITIVE_INFINITY;
      else need += most >= 1 ? n + piece * Math.ceil(n / most) : Number.POSITIVE_INFINITY;
    }
    if (need <= workers * T) return T;
  }
}
