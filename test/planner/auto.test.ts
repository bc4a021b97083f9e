import type { Device, Plan, PolicyName } from "@isochron/planner";
import { budgetFor, createPlanner, H100_SXM, mergeCostNs, Piece, queryTileFor } from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attentionShapes, batches, CASES, devices, LLAMA_8B } from "./support.ts";

describe("auto", () => {
  test("is never dearer than balanced, tight and none, merges included", () => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(12, 200, 20_000), (attention, device, batch) => {
        const price = (policy: PolicyName): number =>
          priceNs(createPlanner({ attention, device, policy }).plan(batch), device);
        const auto = price("auto");
        for (const policy of ["balanced", "tight", "none"] as const)
          expect(auto).toBeLessThanOrEqual(price(policy) + 1);
      }),
      { numRuns: Math.min(CASES, 500) },
    );
  });

  test("does not split where a merge costs more than the imbalance", () => {
    // A job for each worker, of 18 to 21 tiles: cuts save half a tile's time, and merges cost more than that.
    const tiles = Array.from({ length: 33 }, (_, i) => 18 + (i % 4));
    const batch = { qoLens: tiles.map(() => 1), kvLens: tiles.map((n) => 64 * n) };
    const device = { ...H100_SXM, costModel: { ...H100_SXM.costModel, mergeNs: 3000 } };
    const stats = (policy: PolicyName) => createPlanner({ attention: LLAMA_8B, device, policy }).plan(batch).stats;
    expect(stats("balanced").partialSlots).toBeGreaterThan(0);
    expect(stats("auto").partialSlots).toBe(0);
  });

  test("does not split where the idle neighbours of whole jobs leave them their share, and merging costs more", () => {
    // 128 jobs of 17 tiles, one to an SM: each has its SM to itself.
    const batch = { qoLens: new Array<number>(8).fill(48), kvLens: new Array<number>(8).fill(1056) };
    const plan = (policy: PolicyName) => createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy }).plan(batch);
    expect(plan("none").stats.makespanUs).toBeGreaterThan(1.7 * plan("balanced").stats.makespanUs);
    expect(plan("auto").stats.partialSlots).toBe(0);
    const lonely = { ...H100_SXM, smCount: 264, ctasPerSm: 1 };
    expect(
      createPlanner({ attention: LLAMA_8B, device: lonely, policy: "auto" }).plan(batch).stats.partialSlots,
    ).toBeGreaterThan(0);
  });

  test("splits where it has to: one request of 131,072 tokens among 63 of 512", () => {
    const batch = { qoLens: new Array<number>(64).fill(1), kvLens: [131_072, ...new Array<number>(63).fill(512)] };
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "auto" }).plan(batch);
    expect(plan.stats.imbalance).toBeLessThanOrEqual(1.3);
  });

  test("cuts a long job into fewer parts than would be balanced where its serial merge is dear", () => {
    const batch = { qoLens: [1], kvLens: [131_072] };
    const attention = { ...LLAMA_8B, queryHeads: 128, kvHeads: 1 };
    const auto = createPlanner({ attention, device: H100_SXM, policy: "auto" }).plan(batch);
    const tight = createPlanner({ attention, device: H100_SXM, policy: "tight" }).plan(batch);
    expect(auto.stats.partialSlots).toBeLessThan(tight.stats.partialSlots);
    expect(auto.stats.partialSlots).toBeGreaterThan(1);
    expect(priceNs(auto, H100_SXM)).toBeLessThan(priceNs(tight, H100_SXM));
  });

  test("has the largest budget of the three", () => {
    const limits = { maxRequests: 64, maxQueryTokens: 64, attention: LLAMA_8B, device: H100_SXM };
    const pieces = (policy: PolicyName): number => budgetFor({ ...limits, policy }).capacities.pieces;
    const slots = (policy: PolicyName): number => budgetFor({ ...limits, policy }).capacities.partialSlots;
    expect(pieces("auto")).toBe(Math.max(pieces("balanced"), pieces("tight"), pieces("none")));
    expect(slots("auto")).toBe(2 * 263);
  });
});

/**
 * When the pieces end, and then the merges of the worker that has most of them. Once at most one worker is busy for each SM,
 * tiles take 1 / ctasPerSm of their time.
 */
function priceNs(plan: Plan, { costModel, smCount, ctasPerSm }: Device): number {
  const loads: { loadNs: number; startsNs: number }[] = [];
  for (let w = 0; w < plan.workers; w++) {
    let loadNs = 0;
    let startsNs = 0;
    for (let i = plan.workerPieceIndptr[w]!; i < plan.workerPieceIndptr[w + 1]!; i++) {
      const [, , heads, , rows, kvStart, kvEnd] = plan.pieces.subarray(i * Piece.stride, (i + 1) * Piece.stride);
      const { pieceNs, kvTileNs } = queryTileFor(costModel, rows! >>> 16);
      const { kvTileTokens } = costModel;
      const tiles = kvEnd! > kvStart! ? Math.ceil(kvEnd! / kvTileTokens) - Math.floor(kvStart! / kvTileTokens) : 0;
      startsNs += heads! * pieceNs;
      loadNs += heads! * (pieceNs + tiles * kvTileNs);
    }
    loads.push({ loadNs, startsNs });
  }
  loads.sort((a, b) => b.loadNs - a.loadNs);
  const longest = loads[0]!;
  const sharedNs = loads[smCount]?.loadNs ?? 0;
  const starts = longest.loadNs === 0 ? 0 : longest.startsNs / longest.loadNs;
  const endNs = sharedNs + (longest.loadNs - sharedNs) * (starts + (1 - starts) / ctasPerSm);
  let longestNs = 0;
  for (let w = 0; w < plan.workers; w++) {
    let loadNs = 0;
    for (let m = plan.workerMergeIndptr[w]!; m < plan.workerMergeIndptr[w + 1]!; m++) {
      loadNs += mergeCostNs(plan.merges, m, costModel);
    }
    longestNs = Math.max(longestNs, loadNs);
  }
  return endNs + longestNs;
}
