import type { AttentionBatch, AttentionTensors, Device, Plan } from "@isochron/planner";
import {
  budgetFor,
  createPlanner,
  H100_SXM,
  InvalidBatchError,
  Piece,
  runPlan,
  unsplitAttention,
  verifyPlan,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CASES, LLAMA_8B, randomTensors, relativeError, smallShapes } from "./support.ts";

const PAGE = 16;

/** A device on which sharing nearly always pays: pieces and merges cost next to nothing. */
const eager: Device = {
  ...H100_SXM,
  smCount: 5,
  costModel: {
    ...H100_SXM.costModel,
    queryTiles: [16, 64, 128].map((rows) => ({ rows, pieceNs: 10, kvTileNs: 1000 })),
    mergeNs: 0,
    mergePartialNs: 0,
    surchargeTiles: 0,
  },
};

/** A tree of shared pages: each node adds pages, each leaf request adds its own tokens. */
interface Tree {
  readonly pages: number;
  readonly children: readonly Tree[];
  readonly leaves: readonly { readonly qoLen: number; readonly own: number }[];
}

const leaves = fc.array(
  fc.record({ qoLen: fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 9 })), own: fc.integer({ min: 0, max: 60 }) }),
  { maxLength: 4 },
);
const trees: fc.Arbitrary<Tree[]> = fc.array(
  fc.record({
    pages: fc.integer({ min: 1, max: 12 }),
    leaves,
    children: fc.array(fc.record({ pages: fc.integer({ min: 1, max: 8 }), leaves, children: fc.constant([]) }), {
      maxLength: 3,
    }),
  }),
  { maxLength: 3 },
);

/** The batch of a forest, its page table and its explicit prefixes. */
function plant(forest: readonly Tree[]): AttentionBatch {
  const qoLens: number[] = [];
  const kvLens: number[] = [];
  const tables: number[][] = [];
  const prefixes: { requests: number[]; kvLen: number }[] = [];
  let nextPage = 0;
  const grow = (tree: Tree, path: readonly number[]): number[] => {
    const pages = [...path, ...Array.from({ length: tree.pages }, () => nextPage++)];
    const members: number[] = [];
    for (const { qoLen, own } of tree.leaves) {
      members.push(qoLens.length);
      qoLens.push(qoLen);
      kvLens.push(pages.length * PAGE + qoLen + own);
      tables.push([...pages, ...Array.from({ length: Math.ceil((qoLen + own) / PAGE) }, () => nextPage++)]);
    }
    for (const child of tree.children) members.push(...grow(child, pages));
    if (members.length >= 2) prefixes.push({ requests: members, kvLen: pages.length * PAGE });
    return members;
  };
  for (const tree of forest) grow(tree, []);
  const pageIndptr = [0];
  for (const table of tables) pageIndptr.push(pageIndptr[pageIndptr.length - 1]! + table.length);
  return { qoLens, kvLens, pageIndptr, pageIndices: tables.flat(), prefixes };
}

/** Random tensors whose page table is the batch's own, so that shared pages hold the same tokens. */
function tensorsFor(
  attention: Parameters<typeof randomTensors>[0],
  batch: AttentionBatch,
  seed: number,
): AttentionTensors {
  const pages = Math.max(1, ...Array.from(batch.pageIndices!, (page) => page + 1));
  const filled = randomTensors(
    { ...attention, pageSize: PAGE },
    { qoLens: batch.qoLens, kvLens: [pages * PAGE] },
    seed,
  );
  const { kvHeads, headDim } = attention;
  const length = pages * PAGE * kvHeads * headDim;
  const tile = (from: ArrayLike<number>) =>
    Float64Array.from({ length }, (_, i) => from[(i * 31 + (i >> 7)) % from.length]!);
  return {
    ...filled,
    key: tile(filled.key as Float64Array),
    value: tile(filled.value as Float64Array),
    pageIndptr: batch.pageIndptr!,
    pageIndices: batch.pageIndices!,
  };
}

/** KV tokens that the plan's pieces read, over all heads. */
function kvTokensRead(plan: Plan): number {
  let sum = 0;
  for (let i = 0; i < plan.pieceRecordCount; i++) {
    const at = i * Piece.stride;
    sum += plan.pieces[at + Piece.headCount]! * (plan.pieces[at + Piece.kvEnd]! - plan.pieces[at + Piece.kvStart]!);
  }
  return sum;
}

describe("shared prefixes", () => {
  test.each([
    ["explicit", "balanced"],
    ["detect", "balanced"],
    ["explicit", "tight"],
  ] as const)("compute what unsplit attention computes, for every tree: %s, %s", (sharedPrefixes, policy) => {
    fc.assert(
      fc.property(smallShapes, trees, fc.nat(), (shape, forest, seed) => {
        const attention = { ...shape, pageSize: PAGE };
        const { prefixes, ...found } = plant(forest);
        const batch = sharedPrefixes === "explicit" ? { ...found, prefixes: prefixes! } : found;
        const plan = createPlanner({ attention, device: eager, sharedPrefixes, policy }).plan(batch);
        verifyPlan(plan, batch, eager);
        const tensors = tensorsFor(attention, batch, seed);
        const { output, lse } = runPlan(plan, tensors);
        const expected = unsplitAttention(attention, batch, tensors);
        expect(relativeError(output, expected.output)).toBeLessThanOrEqual(1e-12);
        for (let i = 0; i < lse.length; i++) {
          if (Number.isFinite(expected.lse[i]!)) expect(lse[i]).toBeCloseTo(expected.lse[i]!, 10);
          else expect(lse[i]).toBe(expected.lse[i]);
        }
      }),
      { numRuns: 250 },
    );
  });

  test.each(["balanced", "tight"] as const)(
    "stay inside a budget that allows for them, at the same offsets: %s",
    (policy) => {
      fc.assert(
        fc.property(smallShapes, fc.array(trees, { minLength: 1, maxLength: 3 }), (shape, forests) => {
          const attention = { ...shape, pageSize: PAGE };
          const batches = forests.map(plant);
          const budget = budgetFor({
            maxRequests: Math.max(1, ...batches.map((batch) => batch.qoLens.length)),
            maxQueryTokens: Math.max(1, ...batches.map((batch) => Array.from(batch.qoLens).reduce((a, b) => a + b, 0))),
            maxPrefixGroups: 12,
            maxPrefixLevels: 2,
            attention,
            device: eager,
            policy,
          });
          const planner = createPlanner({ attention, device: eager, budget, policy });
          for (const batch of batches) {
            const plan = planner.plan(batch);
            verifyPlan(plan, batch, eager);
            expect(plan.buffer.byteLength).toBe(budget.layout.totalBytes);
          }
        }),
        { numRuns: Math.min(CASES, 500) },
      );
    },
  );

  test("are read once: 64 requests behind 8,192 common tokens read a fraction of the KV, 3 levels deep too", () => {
    const suffix = 256;
    const deep: Tree = {
      pages: 256,
      leaves: [],
      children: [0, 1].map(() => ({
        pages: 256,
        leaves: Array.from({ length: 32 }, () => ({ qoLen: 1, own: suffix - 1 })),
        children: [],
      })),
    };
    const batch = plant([deep]);
    const shared = createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(batch);
    verifyPlan(shared, batch, H100_SXM);
    expect(shared.groupCount).toBe(3);
    // 64 members pack 256 rows, two tiles of 128, at the root; 32 pack one tile in each of the two nodes below.
    expect(kvTokensRead(shared)).toBe(8 * (2 * 4096 + 2 * 4096 + 64 * suffix));
    const apart = createPlanner({ attention: LLAMA_8B, device: H100_SXM, sharedPrefixes: "off" }).plan(batch);
    expect(kvTokensRead(apart)).toBe(8 * 64 * (8192 + suffix));
    expect(shared.stats.makespanUs).toBeLessThan(apart.stats.makespanUs / 4);
  });

  test("are not shared where the cost model does not gain", () => {
    const tree: Tree = { pages: 1, children: [], leaves: [1, 2].map((own) => ({ qoLen: 1, own })) };
    const batch = plant([tree]);
    expect(createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(batch).groupCount).toBe(0);
    expect(createPlanner({ attention: LLAMA_8B, device: eager }).plan(batch).groupCount).toBe(1);
  });

  test("are not shared under a sliding window, nor by policies that cannot", () => {
    const batch = plant([
      { pages: 64, children: [], leaves: Array.from({ length: 40 }, () => ({ qoLen: 1, own: 20 })) },
    ]);
    const windowed = { ...LLAMA_8B, mask: { kind: "sliding-window", window: 500 } } as const;
    expect(createPlanner({ attention: windowed, device: eager }).plan(batch).groupCount).toBe(0);
    expect(createPlanner({ attention: LLAMA_8B, device: eager, policy: "none" }).plan(batch).groupCount).toBe(0);
    expect(createPlanner({ attention: LLAMA_8B, device: eager }).plan(batch).groupCount).toBe(1);
    const tight = { maxRequests: 64, maxQueryTokens: 64 };
    expect(createPlanner({ attention: LLAMA_8B, device: eager, budget: tight }).plan(batch).groupCount).toBe(0);
  });

  test("are refused when groups overlap without being nested", () => {
    const batch = {
      qoLens: [1, 1, 1],
      kvLens: [100, 100, 100],
      prefixes: [
        { requests: [0, 1], kvLen: 16 },
        { requests: [1, 2], kvLen: 32 },
      ],
    };
    expect(() => createPlanner({ attention: LLAMA_8B, device: eager }).plan(batch)).toThrow(InvalidBatchError);
  });
});
