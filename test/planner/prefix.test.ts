import type { AttentionBatch, AttentionShape, AttentionTensors, Device, Plan, PolicyName } from "@isochron/planner";
import {
  budgetFor,
  clonePlan,
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
import { CASES, LLAMA_8B, randomNumbers, randomTensors, relativeError, smallShapes } from "./support.ts";

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
const trees: fc.Arbitrary<Tree[]> = forests(12, 8);
/** Whose shared ranges reach over several chunks of the grid of `invariant`. */
const longTrees: fc.Arbitrary<Tree[]> = forests(70, 40);

function forests(rootPages: number, childPages: number): fc.Arbitrary<Tree[]> {
  const pages = (max: number) => fc.integer({ min: 1, max });
  const child = fc.record({ pages: pages(childPages), leaves, children: fc.constant([]) });
  const root = fc.record({ pages: pages(rootPages), leaves, children: fc.array(child, { maxLength: 3 }) });
  return fc.array(root, { maxLength: 3 });
}

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
    ["explicit", "auto"],
    ["detect", "auto"],
    ["explicit", "invariant"],
    ["detect", "invariant"],
  ] as const)("compute what unsplit attention computes, for every tree: %s, %s", (sharedPrefixes, policy) => {
    fc.assert(
      fc.property(smallShapes, policy === "invariant" ? longTrees : trees, fc.nat(), (shape, forest, seed) => {
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

  test.each(["balanced", "tight", "auto", "invariant"] as const)(
    "stay inside a budget that allows for them, at the same offsets: %s",
    (policy) => {
      fc.assert(
        fc.property(smallShapes, fc.array(longTrees, { minLength: 1, maxLength: 3 }), (shape, forests) => {
          const attention = { ...shape, pageSize: PAGE };
          const batches = forests.map(plant);
          const budget = budgetFor({
            maxRequests: Math.max(1, ...batches.map((batch) => batch.qoLens.length)),
            maxQueryTokens: Math.max(1, ...batches.map((batch) => Array.from(batch.qoLens).reduce((a, b) => a + b, 0))),
            maxKvTokens: Math.max(1, ...batches.flatMap((batch) => Array.from(batch.kvLens))),
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

  test("end on the merge grid of invariant, and what lies behind it stays with the members", () => {
    const tree: Tree = { pages: 45, children: [], leaves: Array.from({ length: 20 }, () => ({ qoLen: 1, own: 63 })) };
    const batch = plant([tree]);
    const rangesOf = (policy: PolicyName): number[] => {
      const plan = createPlanner({ attention: LLAMA_8B, device: eager, policy }).plan(batch);
      verifyPlan(plan, batch, eager);
      return Array.from(plan.groupRanges.subarray(0, 2 * plan.groupCount));
    };
    expect(rangesOf("balanced")).toEqual([0, 720]);
    expect(rangesOf("invariant")).toEqual([0, 640]);
    const short = plant([{ ...tree, pages: 7 }]);
    expect(createPlanner({ attention: LLAMA_8B, device: eager }).plan(short).groupCount).toBe(1);
    expect(createPlanner({ attention: LLAMA_8B, device: eager, policy: "invariant" }).plan(short).groupCount).toBe(0);
  });

  test("give a request the float32 bits that it has alone and unshared, under invariant", () => {
    const { rows, sharedRows, cutGroups, mismatches } = compareWithAlone("invariant", Math.min(CASES, 1000));
    expect(mismatches).toBe(0);
    expect(sharedRows).toBeGreaterThan(rows / 3);
    expect(cutGroups).toBeGreaterThan(100);
  });

  test("change float32 bits under policies that merge in sequence: the control", () => {
    const { sharedRows, mismatches } = compareWithAlone("auto", 100);
    expect(mismatches).toBeGreaterThan(sharedRows / 2);
  });

  test("are shared by auto where its cheapest candidate with them is", () => {
    const tree: Tree = { pages: 256, children: [], leaves: Array.from({ length: 64 }, () => ({ qoLen: 1, own: 255 })) };
    const batch = plant([tree]);
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "auto" }).plan(batch);
    verifyPlan(plan, batch, H100_SXM);
    expect(plan.groupCount).toBe(1);
    expect(kvTokensRead(plan)).toBe(8 * (2 * 4096 + 64 * 256));
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

  test("that say less than a longer one of more requests change nothing", () => {
    const kvLens = new Array<number>(6).fill(9000);
    const batch = { qoLens: kvLens.map(() => 1), kvLens };
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    const longer = [
      { requests: [0, 1, 2], kvLen: 8192 },
      { requests: [3, 4, 5], kvLen: 4096 },
      { requests: [0, 1, 2, 3, 4, 5], kvLen: 1024 },
    ];
    const plain = clonePlan(planner.plan({ ...batch, prefixes: longer }));
    expect(plain.groupCount).toBeGreaterThan(0);
    const implied = [
      { requests: [0, 1], kvLen: 64 },
      { requests: [0, 1, 2], kvLen: 512 },
      { requests: [1, 2], kvLen: 4096 },
      { requests: [4, 5], kvLen: 4096 },
    ];
    for (const prefixes of [[...implied, ...longer], [...longer, ...implied].reverse()]) {
      const plan = planner.plan({ ...batch, prefixes });
      verifyPlan(plan, { ...batch, prefixes }, H100_SXM);
      expect(Buffer.from(plan.buffer).equals(Buffer.from(plain.buffer))).toBe(true);
    }
    const across = [{ requests: [0, 3], kvLen: 2048 }, ...longer];
    expect(() => planner.plan({ ...batch, prefixes: across })).toThrow(/nested or disjoint/);
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

const TINY: AttentionShape = { ...LLAMA_8B, queryHeads: 2, kvHeads: 1, headDim: 2, pageSize: PAGE };
const POOL_PAGES = 400;

/** Plans random trees on random devices, and compares each request's float32 bits with those of it alone and unshared. */
function compareWithAlone(policy: PolicyName, cases: number) {
  const uniform = randomNumbers(20_261_121);
  const below = (n: number): number => Math.floor(((uniform() + 1) / 2) * n);
  const fill = (length: number): Float32Array => Float32Array.from({ length }, () => 3 * uniform());
  const key = fill(POOL_PAGES * PAGE * TINY.headDim);
  const value = fill(POOL_PAGES * PAGE * TINY.headDim);
  const rowElements = TINY.queryHeads * TINY.headDim;
  const some = (least: number, most: number, leaf: number): Tree["leaves"] =>
    Array.from({ length: least + below(most) }, () => ({ qoLen: 1 + below(2) * below(4), own: below(leaf) }));
  let rows = 0;
  let sharedRows = 0;
  let cutGroups = 0;
  let mismatches = 0;
  for (let i = 0; i < cases; i++) {
    const child = (): Tree => ({ pages: 1 + below(40), children: [], leaves: some(1, 3, 300) });
    const tree: Tree = { pages: 16 + below(60), leaves: some(1, 2, 500), children: [0, 1].slice(below(3)).map(child) };
    const batch = plant([tree]);
    const query = fill(Array.from(batch.qoLens).reduce((a, b) => a + b, 0) * rowElements);
    const device: Device = { ...eager, smCount: 2 + below(9) };
    const shared = bitsOf(batch, query, device, "explicit");
    const members = membersOf(shared.plan);
    cutGroups += groupCuts(shared.plan);
    let token = 0;
    for (let request = 0; request < batch.qoLens.length; request++) {
      const qoLen = batch.qoLens[request]!;
      const pages = Array.from(batch.pageIndices!).slice(batch.pageIndptr![request], batch.pageIndptr![request + 1]);
      const lone = { qoLens: [qoLen], kvLens: [batch.kvLens[request]!], pageIndptr: [0, pages.length] };
      const at = token * rowElements;
      const own = query.slice(at, at + qoLen * rowElements);
      const alone = bitsOf({ ...lone, pageIndices: pages }, own, { ...eager, smCount: 1 + below(4) }, "off");
      const isSame =
        alone.output.every((bits, d) => bits === shared.output[at + d]) &&
        alone.lse.every((bits, h) => bits === shared.lse[token * TINY.queryHeads + h]);
      rows += qoLen;
      if (members.has(request)) sharedRows += qoLen;
      if (!isSame) mismatches += qoLen;
      token += qoLen;
    }
  }
  return { rows, sharedRows, cutGroups, mismatches };

  function bitsOf(batch: AttentionBatch, query: Float32Array, device: Device, sharedPrefixes: "explicit" | "off") {
    const plan = createPlanner({ attention: TINY, device, policy, sharedPrefixes }).plan(batch);
    verifyPlan(plan, batch, device);
    const { pageIndptr, pageIndices } = batch;
    const pool = Array.from(pageIndices!, (page) => page % POOL_PAGES);
    const tensors = { query, key, value, pageIndptr: pageIndptr!, pageIndices: pool };
    return { plan, ...runPlan(plan, tensors, "float32") };
  }
}

function membersOf(plan: Plan): Set<number> {
  return new Set(plan.groupMembers.subarray(0, plan.groupIndptr[plan.groupCount]!));
}

/** Cuts inside shared ranges. */
function groupCuts(plan: Plan): number {
  let cuts = 0;
  for (let i = 0; i < plan.pieceRecordCount; i++) {
    const at = i * Piece.stride;
    const group = -1 - plan.pieces[at + Piece.request]!;
    if (group >= 0 && plan.pieces[at + Piece.kvStart] !== plan.groupRanges[2 * group]) cuts++;
  }
  return cuts;
}
