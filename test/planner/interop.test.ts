// Plans as FlashInfer's arrays: what its own planners emit comes back unchanged, and what cannot be written is named.

import type { AttentionBatch, AttentionShape, FlashInferInterop, PolicyName } from "@isochron/planner";
import { createPlanner, H100_SXM, toFlashInfer } from "@isochron/planner";
import { decodeOccupancy, type FlashInferInput, planDecode, planFa2 } from "@isochron/planner/flashinfer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const LLAMA: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

function write(policy: PolicyName, batch: AttentionBatch, attention = LLAMA): FlashInferInterop {
  return toFlashInfer(createPlanner({ attention, device: H100_SXM, policy }).plan(batch));
}

function native(batch: AttentionBatch, window: number): FlashInferInput {
  const indptr = (lengths: readonly number[]): number[] => {
    const sums = [0];
    for (const length of lengths) sums.push(sums.at(-1)! + length);
    return sums;
  };
  const qo_indptr = indptr(Array.from(batch.qoLens));
  return {
    num_sm: 132,
    occ: decodeOccupancy(4),
    num_qo_heads: 32,
    num_kv_heads: 8,
    head_dim_qk: 128,
    head_dim_vo: 128,
    page_size: 16,
    causal: true,
    enable_cuda_graph: false,
    window_left: window - 1,
    fixed_split_size: -1,
    disable_split_kv: false,
    num_colocated_ctas: 0,
    uniform_q_len: 0,
    total_num_rows: qo_indptr.at(-1)!,
    batch_size: batch.qoLens.length,
    qo_indptr,
    kv_indptr: indptr(Array.from(batch.kvLens, (length) => Math.ceil(length / 16))),
    kv_len: batch.kvLens,
  };
}

const requests = (qoLen: fc.Arbitrary<number>) =>
  fc.array(fc.tuple(qoLen, fc.oneof(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 30_000 }))), {
    minLength: 1,
    maxLength: 40,
  });
const batchOf = (pairs: [number, number][]): AttentionBatch => ({
  qoLens: pairs.map(([qoLen]) => qoLen),
  kvLens: pairs.map(([, kvLen]) => kvLen),
});

describe("toFlashInfer", () => {
  it("gives back the arrays of FlashInfer's FA2 planner, window or not", () => {
    fc.assert(
      fc.property(
        requests(fc.integer({ min: 1, max: 200 })),
        fc.option(fc.integer({ min: 1, max: 4000 }), { nil: 0 }),
        (pairs, window) => {
          const batch = batchOf(pairs);
          const attention: AttentionShape = window > 0 ? { ...LLAMA, mask: { kind: "sliding-window", window } } : LLAMA;
          const written = write("flashinfer-fa2", batch, attention);
          const expected = planFa2(native(batch, window));
          if (!written.isExpressible) throw new Error(JSON.stringify(written.reasons));
          const { prefill } = written;
          // FlashInfer splits by whole pages; a last page that is not full can leave a chunk without tokens.
          fc.pre(prefill.split_kv === expected.split_kv);
          expect(prefill.cta_tile_q).toBe(expected.cta_tile_q);
          if (expected.split_kv) expect(prefill.kv_chunk_size).toBe(expected.kv_chunk_size);
          expect(prefill.request_indices).toEqual(expected.request_indices);
          expect(prefill.qo_tile_indices).toEqual(expected.qo_tile_indices);
          expect(prefill.kv_tile_indices).toEqual(expected.kv_tile_indices);
          expect(prefill.o_indptr).toEqual(expected.o_indptr);
          if (expected.merge_indptr !== null) expect(prefill.merge_indptr).toEqual(expected.merge_indptr);
          expect(prefill.block_valid_mask).toHaveLength(expected.new_batch_size);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("gives back the arrays of FlashInfer's decode planner", () => {
    fc.assert(
      fc.property(requests(fc.constant(1)), (pairs) => {
        const batch = batchOf(pairs);
        const written = write("flashinfer-decode", batch);
        const expected = planDecode(native(batch, 0));
        if (!written.isExpressible) throw new Error(JSON.stringify(written.reasons));
        const { decode } = written;
        expect(decode?.split_kv).toBe(expected.split_kv);
        if (expected.split_kv) expect(decode?.kv_chunk_size).toBe(expected.kv_chunk_size);
        expect(decode?.request_indices).toEqual(expected.request_indices);
        expect(decode?.kv_tile_indices).toEqual(expected.kv_tile_indices);
        expect(decode?.o_indptr).toEqual(expected.o_indptr);
      }),
      { numRuns: 1000 },
    );
  });

  it("has decode arrays only where every request has one query token", () => {
    const decodeOf = (qoLens: number[], policy: PolicyName): unknown => {
      const written = write(policy, { qoLens, kvLens: qoLens.map(() => 64) });
      if (!written.isExpressible) throw new Error(JSON.stringify(written.reasons));
      return written.decode;
    };
    for (const policy of ["flashinfer-decode", "none"] as const) {
      expect(decodeOf([1, 1], policy)).toBeDefined();
      for (const qoLens of [[0, 1], [1, 0], [0]]) expect(decodeOf(qoLens, policy)).toBeUndefined();
    }
    // As many tokens as requests.
    expect(decodeOf([2, 0], "none")).toBeUndefined();
    expect(decodeOf([2, 1], "none")).toBeUndefined();
  });

  it("writes an unsplit plan and fixed chunks, and says what the arrays leave out", () => {
    const batch = { qoLens: [1, 1], kvLens: [5000, 100] };
    const whole = write("none", batch);
    expect(whole).toMatchObject({ isExpressible: true, prefill: { split_kv: false, kv_chunk_size: 5008 } });
    const fixed = write("fixed-split", batch);
    expect(fixed).toMatchObject({ isExpressible: true, prefill: { split_kv: true, kv_chunk_size: 2048 } });
    if (fixed.isExpressible) expect([...fixed.prefill.o_indptr]).toEqual([0, 3, 4]);
    if (whole.isExpressible) expect(whole.lost).toEqual([expect.stringContaining("which worker runs a piece")]);
  });

  it("names the field that cannot hold a plan", () => {
    const reasons = (written: FlashInferInterop): string[] =>
      written.isExpressible ? [] : written.reasons.map(({ field, problem }) => `${field}: ${problem}`);
    // One long request is cut where a worker is full, and elsewhere for every head.
    const skewed = write("balanced", { qoLens: [1, 1], kvLens: [100_000, 3000] });
    expect(reasons(skewed).join("; ")).toMatch(/kv_heads: request 0 is cut differently for KV heads 0 and 1/);
    const streamed = write(
      "stream-k",
      { qoLens: [1, 1], kvLens: [100_000, 3000] },
      { ...LLAMA, queryHeads: 4, kvHeads: 1 },
    );
    expect(reasons(streamed).join("; ")).toMatch(/kv_chunk_size: request 0 has a piece of \d+ KV tokens/);
    const mixed = write("none", { qoLens: [1, 300], kvLens: [50, 500] });
    expect(reasons(mixed)).toEqual(["cta_tile_q: request 0 has tiles of 16 rows, request 1 of 128"]);
    const unpacked = write("flashinfer-fa3", { qoLens: [1], kvLens: [50] });
    expect(reasons(unpacked)).toEqual([
      "packed heads: the plan's tiles hold one query head, FlashInfer's hold a group",
    ]);
  });
});
