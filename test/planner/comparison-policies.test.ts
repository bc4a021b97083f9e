// Every comparison policy plans every batch that its kernel can run, and its plans are as sound as our own.

import type { AttentionBatch, AttentionShape, Device, PolicyName } from "@isochron/planner";
import {
  createPlanner,
  H100_SXM,
  Header,
  Launch,
  MergeLaunch,
  Piece,
  POLICIES,
  PolicyNotApplicableError,
  runPlan,
  unsplitAttention,
  verifyPlan,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const COMPARISONS = Object.values(POLICIES).filter((policy) => policy.isComparison);

/** Policies with the query tiles of our own jobs; the others take theirs from the batch. */
const SAME_TILES: ReadonlySet<PolicyName> = new Set(["stream-k", "fixed-split", "flashinfer-decode"]);

const LLAMA: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

const masks = fc.oneof(
  fc.constant({ kind: "causal" as const }),
  fc.constant({ kind: "full" as const }),
  fc.record({ kind: fc.constant("sliding-window" as const), window: fc.integer({ min: 1, max: 3000 }) }),
);

const shapes: fc.Arbitrary<AttentionShape> = fc
  .record({
    kvHeads: fc.constantFrom(1, 2, 8),
    group: fc.constantFrom(1, 2, 4, 7, 8, 128),
    headDim: fc.constantFrom(64, 128, 256, 576),
    pageSize: fc.constantFrom(1, 2, 16, 64, 256),
    mask: masks,
  })
  .map(({ kvHeads, group, headDim, pageSize, mask }) => ({
    ...LLAMA,
    kvHeads,
    queryHeads: kvHeads * group,
    headDim,
    ...(headDim === 576 ? { valueHeadDim: 512 } : {}),
    pageSize,
    mask,
  }));

const kvLens = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 20_000 }));
const qoLens = fc.oneof(fc.constant(1), fc.constant(0), fc.integer({ min: 2, max: 400 }));

function batches(qoLen: fc.Arbitrary<number>, maxRequests: number): fc.Arbitrary<AttentionBatch> {
  return fc
    .array(fc.tuple(qoLen, kvLens), { maxLength: maxRequests })
    .map((requests) => ({ qoLens: requests.map(([q]) => q), kvLens: requests.map(([, kv]) => kv) }));
}

const devices: fc.Arbitrary<Device> = fc
  .record({ smCount: fc.constantFrom(3, 78, 132), ctasPerSm: fc.constantFrom(1, 2, 3) })
  .map((sizes) => ({ ...H100_SXM, ...sizes }));

/** Why the kernel behind a policy cannot run the batch, as documented; undefined where it must plan. */
function excuse(policy: PolicyName, attention: AttentionShape, batch: AttentionBatch): string | undefined {
  const group = attention.queryHeads / attention.kvHeads;
  if (policy.startsWith("flashinfer-decode")) {
    if (Array.from(batch.qoLens).some((length) => length > 1)) return "one query token";
    if (![1, 2, 3, 4, 6, 8].includes(group)) return "group size";
    // FlashInfer's graph plan overruns where empty requests were not counted.
    if (policy === "flashinfer-decode-graph" && Array.from(batch.kvLens).includes(0)) return undefined;
  }
  const hasWindow = attention.mask.kind === "sliding-window";
  if (policy === "flashinfer-holistic") {
    if (hasWindow) return "sliding window";
    if ((attention.valueHeadDim ?? attention.headDim) > 256) return "head dimension";
  }
  if (policy === "flashinfer-mla") {
    if (hasWindow) return "sliding window";
    if (attention.kvHeads !== 1) return "one KV head";
  }
  return undefined;
}

function check(policy: PolicyName, attention: AttentionShape, batch: AttentionBatch, device: Device): void {
  const planner = createPlanner({ attention, device, policy });
  const reason = excuse(policy, attention, batch);
  if (reason !== undefined) {
    expect(() => planner.plan(batch)).toThrow(PolicyNotApplicableError);
    expect(() => planner.plan(batch)).toThrow(reason);
    return;
  }
  try {
    const plan = planner.plan(batch);
    verifyPlan(plan, batch, device);
    // LB* is about the device's own workers and query tiles; a launch with more workers does not get under it.
    const hasMore = plan.header[Header.ctasPerSm]! >= device.ctasPerSm;
    if (SAME_TILES.has(policy) && hasMore) expect(plan.stats.imbalance).toBeGreaterThan(1 - 1e-9);
  } catch (error) {
    // Limits of FlashInfer's own arrays: they depend on lengths and are tested one by one.
    if (!(error instanceof PolicyNotApplicableError) || !error.message.includes("FlashInfer's")) throw error;
    expect(error.message).toMatch(/its limit is/);
  }
}

describe("every comparison policy", () => {
  for (const { name } of COMPARISONS) {
    it(`${name} covers mixed batches exactly, or says why its kernel cannot run them`, () => {
      fc.assert(
        fc.property(shapes, batches(qoLens, 10), devices, (attention, batch, device) => {
          check(name, attention, batch, device);
        }),
        { numRuns: 500 },
      );
    });

    it(`${name} covers decodes of any length exactly`, () => {
      fc.assert(
        fc.property(shapes, batches(fc.constant(1), 40), devices, (attention, batch, device) => {
          check(name, attention, batch, device);
        }),
        { numRuns: 500 },
      );
    });

    it(`${name} computes what unsplit attention computes`, () => {
      const isMla = name === "flashinfer-mla";
      const attention: AttentionShape = {
        ...LLAMA,
        queryHeads: 4,
        kvHeads: isMla ? 1 : 2,
        headDim: 8,
        dtype: "fp32",
        kvDtype: "fp32",
        pageSize: 4,
      };
      const isDecode = name.startsWith("flashinfer-decode");
      const batch = { qoLens: isDecode ? [1, 1, 1] : [1, 90, 3], kvLens: [2500, 70, 0] };
      const plan = createPlanner({ attention, device: { ...H100_SXM, smCount: 5 }, policy: name }).plan(batch);
      const pages = batch.kvLens.map((length) => Math.ceil(length / attention.pageSize));
      const pageCount = pages.reduce((sum, count) => sum + count, 0);
      const tokens = batch.qoLens.reduce((sum, length) => sum + length, 0);
      let state = 1;
      const random = (length: number): Float64Array =>
        Float64Array.from({ length }, () => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
          return state / 2 ** 31 - 1;
        });
      const tensors = {
        query: random(tokens * attention.queryHeads * attention.headDim),
        key: random(pageCount * attention.pageSize * attention.kvHeads * attention.headDim),
        value: random(pageCount * attention.pageSize * attention.kvHeads * attention.headDim),
        pageIndptr: [0, ...pages.map((_, i) => pages.slice(0, i + 1).reduce((sum, count) => sum + count, 0))],
        pageIndices: Array.from({ length: pageCount }, (_, page) => pageCount - 1 - page),
      };
      const { output, lse } = runPlan(plan, tensors);
      const expected = unsplitAttention(attention, batch, tensors);
      for (let i = 0; i < output.length; i++) expect(Math.abs(output[i]! - expected.output[i]!)).toBeLessThan(1e-12);
      for (let i = 0; i < lse.length; i++) {
        // Rows that see nothing are −∞ on both sides.
        if (lse[i] !== expected.lse[i]) expect(Math.abs(lse[i]! - expected.lse[i]!)).toBeLessThan(1e-12);
      }
    });
  }
});

const decodes = (kvLengths: number[]): AttentionBatch => ({ qoLens: kvLengths.map(() => 1), kvLens: kvLengths });
const plan = (policy: PolicyName, batch: AttentionBatch, attention: AttentionShape = LLAMA) =>
  createPlanner({ attention, device: H100_SXM, policy }).plan(batch);

describe("what other systems do", () => {
  it("FlashInfer's graph plans send whole requests through partial states, and pad the grid with CTAs without work", () => {
    const batch = decodes(Array(64).fill(768));
    expect(plan("flashinfer-fa2", batch).partialSlotCount).toBe(0);
    const graph = plan("flashinfer-fa2-graph", batch);
    expect(graph.partialSlotCount).toBe(512);
    expect(graph.header[Header.mergeLaunch]).toBe(MergeLaunch.separate);
    // 64 query tiles of work, and ⌈64 rows × 4 / 16⌉ + 63 = 79 columns for each of 8 heads.
    expect(graph.pieceRecordCount).toBe(512);
    expect(graph.workers).toBe(79 * 8);
  });

  it("the tensor-core decode path leaves one long request on one CTA once 264 / KV heads requests are there", () => {
    const { imbalance } = plan("flashinfer-fa2", decodes([131_072, ...Array<number>(63).fill(512)])).stats;
    expect(imbalance).toBeGreaterThan(20);
    expect(plan("flashinfer-fa2", decodes([131_072, ...Array<number>(20).fill(512)])).partialSlotCount).toBeGreaterThan(
      0,
    );
  });

  it("17 requests of 8,192 tokens take two waves with FlashAttention's rules and with FlashInfer's limit", () => {
    const batch = decodes(Array(17).fill(8192));
    for (const policy of ["fa-uniform", "fa3-varlen", "flashinfer-holistic"] as const) {
      expect(plan(policy, batch).stats.imbalance).toBeGreaterThan(1.7);
    }
    expect(plan("stream-k", batch).stats.imbalance).toBeLessThan(1.1);
  });

  it("FlashAttention 3 takes the longest tiles of as many heads first as fit into its share of L2", () => {
    const tilesOf = (tokens: number): string[] => {
      const { pieces } = plan("fa3-varlen", { qoLens: [tokens], kvLens: [tokens] });
      return Array.from({ length: 6 }, (_, i) => {
        const at = i * Piece.stride;
        return `head ${pieces[at + Piece.head]}, up to ${pieces[at + Piece.kvEnd]}`;
      });
    };
    // 8 blocks of 128 tokens: 16 heads would fit, and there are 8. 48 blocks: two; 128: one.
    expect(tilesOf(1024)).toEqual([0, 1, 2, 3, 4, 5].map((head) => `head ${head}, up to 1024`));
    expect(tilesOf(6144)).toEqual([0, 1, 2, 3, 4, 5].map((i) => `head ${i % 2}, up to ${6144 - 32 * (i >> 1)}`));
    expect(tilesOf(16_384)).toEqual([0, 1, 2, 3, 4, 5].map((i) => `head 0, up to ${16_384 - 32 * i}`));
  });

  it("FlashInfer's FA3 path reads a KV head once for each query head and splits nothing", () => {
    const fa3 = plan("flashinfer-fa3", decodes([8192]));
    expect(fa3.header[Header.packedHeads]).toBe(1);
    expect(fa3.stats.pieces).toBe(32);
    expect(fa3.partialSlotCount).toBe(0);
    expect(fa3.header[Header.launch]).toBe(Launch.persistent);
  });

  it("above 4,096 tiles of a head, FlashInfer's FA3 path launches one schedule for all heads", () => {
    const prefill = { qoLens: [300_000, 300_000], kvLens: [300_000, 300_000] };
    const fa3 = plan("flashinfer-fa3", prefill);
    expect(fa3.header[Header.launch]).toBe(Launch.grid);
    expect(fa3.workers).toBe(132 * 32);
    verifyPlan(fa3, prefill, H100_SXM);
  });

  it("FlashInfer's MLA needs the SMs of one cluster", () => {
    const attention: AttentionShape = { ...LLAMA, queryHeads: 128, kvHeads: 1, headDim: 576, valueHeadDim: 512 };
    const batch = { qoLens: [1], kvLens: [5000] };
    const on = (smCount: number) =>
      createPlanner({ attention, device: { ...H100_SXM, smCount }, policy: "flashinfer-mla" }).plan(batch);
    expect(() => on(1)).toThrow(PolicyNotApplicableError);
    expect(() => on(1)).toThrow(/num_sm is 1, its limit is at least 2, the CTAs of a cluster/);
    verifyPlan(on(2), batch);
  });

  it("FlashMLA repeats one schedule for every KV head", () => {
    const repeated = plan("flashmla", decodes([20_000, 300, 7000]));
    const ranges = (head: number): string[] => {
      const found: string[] = [];
      for (let at = 0; at < repeated.pieceRecordCount * Piece.stride; at += Piece.stride) {
        if (repeated.pieces[at + Piece.head] !== head) continue;
        found.push(
          `${repeated.pieces[at]}: ${repeated.pieces[at + Piece.kvStart]}-${repeated.pieces[at + Piece.kvEnd]}`,
        );
      }
      return found;
    };
    expect(ranges(0).length).toBeGreaterThan(3);
    for (let head = 1; head < 8; head++) expect(ranges(head)).toEqual(ranges(0));
    expect(repeated.workers).toBe(128);
  });

  it("a fixed split cuts at absolute positions, whatever the neighbours", () => {
    const cuts = (batch: AttentionBatch): number[] => {
      const fixed = plan("fixed-split", batch);
      const ends: number[] = [];
      for (let at = 0; at < fixed.pieceRecordCount * Piece.stride; at += Piece.stride) {
        if (fixed.pieces[at] === 0 && fixed.pieces[at + Piece.head] === 0) ends.push(fixed.pieces[at + Piece.kvEnd]!);
      }
      return ends;
    };
    expect(cuts(decodes([5000]))).toEqual([2048, 4096, 5000]);
    expect(cuts(decodes([5000, ...Array<number>(200).fill(30_000)]))).toEqual([2048, 4096, 5000]);
  });

  it("stream-k gives every worker as many tiles as any other, give or take one", () => {
    const streamed = plan("stream-k", decodes([131_072, 10_000, 64, 1, ...Array<number>(40).fill(700)]));
    const loads = Array.from({ length: streamed.workers }, (_, w) => {
      let tiles = 0;
      for (let i = streamed.workerPieceIndptr[w]!; i < streamed.workerPieceIndptr[w + 1]!; i++) {
        const at = i * Piece.stride;
        tiles +=
          Math.ceil(streamed.pieces[at + Piece.kvEnd]! / 64) - Math.floor(streamed.pieces[at + Piece.kvStart]! / 64);
      }
      return tiles;
    });
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
  });
});
