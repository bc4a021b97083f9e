import type { AttentionBatch, AttentionShape, AttentionTensors, Device, Plan, PolicyName } from "@isochron/planner";
import { budgetFor, createPlanner, H100_SXM, Header, MissingLimitError, Piece, runPlan } from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chunkEnd, chunkStart } from "../../packages/planner/src/canonical-tree.ts";
import { attentionShapes, batches, CASES, devices, LLAMA_8B, randomNumbers } from "./support.ts";

describe("invariant", () => {
  test("gives a request the same query tiles, grid and merge order whatever its neighbours are", () => {
    fc.assert(
      fc.property(
        attentionShapes,
        devices(false),
        batches(1, 200, 8000),
        batches(8, 200, 8000),
        fc.nat(),
        (attention, device, request, neighbours, place) => {
          if (request.qoLens.length === 0) return;
          const at = place % (neighbours.qoLens.length + 1);
          const planner = createPlanner({ attention, device, policy: "invariant" });
          const alone = shapeOfRequest(planner.plan(request), 0);
          const among = shapeOfRequest(planner.plan(insert(neighbours, request, at)), at);
          expect(among.tiles).toEqual(alone.tiles);
          expect(among.grid).toBe(alone.grid);
          expect(among.order).toBe(alone.order);
          const { grid } = alone;
          const rows = request.qoLens[0]! * attention.queryHeads;
          for (const cut of [...alone.cuts, ...among.cuts]) {
            expect(chunkStart(cut, grid, rows)).toBe(cut);
          }
        },
      ),
      { numRuns: CASES },
    );
  });

  test("has chunks of 128 tokens, of 256 behind 1,024 and of a 64th behind 32,768; coarser ones for more rows", () => {
    const starts = (rows: number, from: number, count: number): number[] => {
      const chunks = [from];
      while (chunks.length < count) chunks.push(chunkEnd(chunks.at(-1)!, 128, rows));
      return chunks;
    };
    expect(starts(255, 768, 5)).toEqual([768, 896, 1024, 1280, 1536]);
    expect(starts(1, 32_256, 5)).toEqual([32_256, 32_512, 32_768, 33_280, 33_792]);
    expect(starts(256, 16_128, 4)).toEqual([16_128, 16_384, 16_640, 16_896]);
    expect(starts(2048, 15_872, 4)).toEqual([15_872, 16_384, 17_408, 18_432]);
    expect(starts(4096, 0, 3)).toEqual([0, 2048, 4096]);
    expect(starts(16_384, 0, 7)).toEqual([0, 4096, 8192, 12_288, 16_384, 24_576, 32_768]);
    fc.assert(
      fc.property(fc.nat(0x7fff_ff00), fc.constantFrom(1, 256, 1000, 9999, 99_999), (token, rows) => {
        const [start, end] = [chunkStart(token, 128, rows), chunkEnd(token, 128, rows)];
        expect(start <= token && token < end && start % (end - start) === 0).toBe(true);
        expect(chunkStart(end, 128, rows)).toBe(end);
      }),
      { numRuns: CASES },
    );
  });

  // Small heads make a run quick; the partition of a line does not depend on the size of its head.
  test("computes the same float32 bits for a request under 10,000 random partitions and neighbours", () => {
    const { cases, splits, partitions, mismatches } = compareWithAlone("invariant", Math.max(CASES, 10_000));
    expect(mismatches).toBe(0);
    expect(splits).toBeGreaterThan(cases / 2);
    expect(partitions).toBeGreaterThan(100);
  });

  test("has a control: pieces that merge in sequence do change float32 bits", () => {
    const { splits, mismatches } = compareWithAlone("balanced", 500);
    expect(splits).toBeGreaterThan(250);
    expect(mismatches).toBeGreaterThan(splits / 2);
  });

  test("needs the longest request's KV tokens for a budget, and says so", () => {
    const limits = { maxRequests: 8, maxQueryTokens: 8, attention: LLAMA_8B, device: H100_SXM } as const;
    expect(() => budgetFor({ ...limits, policy: "invariant" })).toThrow(MissingLimitError);
    expect(() => budgetFor({ ...limits, policy: "invariant" })).toThrow(/add maxKvTokens/);
    const slots = (maxKvTokens: number): number =>
      budgetFor({ ...limits, policy: "invariant", maxKvTokens }).capacities.partialSlots;
    // One chunk is never cut; two chunks leave a state each; 1,024 units at most 10 sizes going up and 7 going down.
    expect(slots(128)).toBe(0);
    expect(slots(256)).toBe(2 * 263 * 2);
    expect(slots(131_072)).toBe(2 * 263 * 17);
  });
});

function insert(batch: AttentionBatch, request: AttentionBatch, at: number): AttentionBatch {
  const qoLens = Array.from(batch.qoLens);
  const kvLens = Array.from(batch.kvLens);
  qoLens.splice(at, 0, request.qoLens[0]!);
  kvLens.splice(at, 0, request.kvLens[0]!);
  return { qoLens, kvLens };
}

/** What decides a request's bits: query tiles (head, row, rows, tile), grid, merge order, and where lines are cut. */
function shapeOfRequest(plan: Plan, request: number) {
  const { pieces, header } = plan;
  const tiles = new Set<string>();
  const ends = new Map<string, number>();
  const starts: [string, number][] = [];
  for (let i = 0; i < plan.pieceRecordCount; i++) {
    const at = i * Piece.stride;
    if (pieces[at + Piece.request] !== request) continue;
    for (let h = 0; h < pieces[at + Piece.headCount]!; h++) {
      const tile = `${pieces[at + Piece.head]! + h}/${pieces[at + Piece.rowStart]}/${pieces[at + Piece.rows]}`;
      tiles.add(tile);
      starts.push([tile, pieces[at + Piece.kvStart]!]);
      ends.set(tile, Math.max(ends.get(tile) ?? 0, pieces[at + Piece.kvEnd]!));
    }
  }
  // Every start but the first of a line is a cut.
  const firsts = new Map<string, number>();
  for (const [tile, start] of starts) firsts.set(tile, Math.min(firsts.get(tile) ?? start, start));
  return {
    tiles: [...tiles].sort(),
    cuts: starts.filter(([tile, start]) => start !== firsts.get(tile)).map(([, start]) => start),
    grid: header[Header.mergeGridTokens]!,
    order: header[Header.mergeOrder]!,
  };
}

const SHAPE: AttentionShape = { ...LLAMA_8B, queryHeads: 2, kvHeads: 1, headDim: 2, pageSize: 64 };
const POOL_PAGES = 32;

/** Plans one request among random neighbours on random devices, and compares its float32 bits with those of it alone. */
function compareWithAlone(policy: PolicyName, cases: number) {
  const uniform = randomNumbers(20_261_120);
  const below = (n: number): number => Math.floor(((uniform() + 1) / 2) * n);
  const fill = (length: number): Float32Array => Float32Array.from({ length }, () => 3 * uniform());
  const key = fill(POOL_PAGES * SHAPE.pageSize * SHAPE.headDim);
  const value = fill(POOL_PAGES * SHAPE.pageSize * SHAPE.headDim);
  const seen = new Set<string>();
  let splits = 0;
  let mismatches = 0;
  let kvLen = 0;
  let query = fill(0);
  let pages: number[] = [];
  let expected = "";
  for (let i = 0; i < cases; i++) {
    // A new request every 20 cases; the others vary its neighbours and the device.
    if (i % 20 === 0) {
      kvLen = 300 + below(1700);
      query = fill(SHAPE.queryHeads * SHAPE.headDim);
      pages = Array.from({ length: Math.ceil(kvLen / SHAPE.pageSize) }, () => below(POOL_PAGES));
      expected = run([], 0, oneWorker()).bits;
    }
    const neighbours = Array.from({ length: below(4) }, () => below(below(2) === 0 ? 100 : 900));
    const { bits, partition } = run(neighbours, below(neighbours.length + 1), randomDevice(below));
    if (partition.includes(",")) {
      splits++;
      seen.add(partition);
    }
    if (bits !== expected) mismatches++;
  }
  return { cases, splits, partitions: seen.size, mismatches };

  function run(neighbours: number[], place: number, device: Device) {
    const batch = insert(
      { qoLens: neighbours.map(() => 1), kvLens: neighbours },
      { qoLens: [1], kvLens: [kvLen] },
      place,
    );
    const rowElements = SHAPE.queryHeads * SHAPE.headDim;
    const queries = new Float32Array((neighbours.length + 1) * rowElements).fill(0.5);
    queries.set(query, place * rowElements);
    const pageIndptr = [0];
    const pageIndices: number[] = [];
    Array.from(batch.kvLens).forEach((kv, request) => {
      const count = Math.ceil(kv / SHAPE.pageSize);
      for (let p = 0; p < count; p++) pageIndices.push(request === place ? pages[p]! : p % POOL_PAGES);
      pageIndptr.push(pageIndices.length);
    });
    const tensors: AttentionTensors = { query: queries, key, value, pageIndptr, pageIndices };
    const plan = createPlanner({ attention: SHAPE, device, policy }).plan(batch);
    const { output, lse } = runPlan(plan, tensors, "float32");
    const own = output.slice(place * rowElements, (place + 1) * rowElements);
    const ownLse = lse.slice(place * SHAPE.queryHeads, (place + 1) * SHAPE.queryHeads);
    const partition: number[] = [];
    for (let r = 0; r < plan.pieceRecordCount; r++) {
      const at = r * Piece.stride;
      if (plan.pieces[at + Piece.request] === place) partition.push(plan.pieces[at + Piece.kvEnd]!);
    }
    return { bits: [...own, ...ownLse].join(" "), partition: partition.sort((a, b) => a - b).join(",") };
  }
}

function oneWorker(): Device {
  const costs = { pieceNs: 100, kvTileNs: 100 };
  const costModel = { ...H100_SXM.costModel, queryTiles: [{ rows: 16, ...costs }], surchargeTiles: 0 };
  return { name: "one worker", smCount: 1, ctasPerSm: 1, costModel };
}

function randomDevice(below: (n: number) => number): Device {
  const costs = { pieceNs: below(300), kvTileNs: 1 + below(300) };
  const costModel = { ...H100_SXM.costModel, queryTiles: [{ rows: 16, ...costs }], surchargeTiles: 0 };
  return { name: "random", smCount: 2 + below(9), ctasPerSm: 1, costModel };
}
