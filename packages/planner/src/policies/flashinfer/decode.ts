// BatchDecodeWithPagedKVCacheWrapper on CUDA cores, as FlashInfer plans and launches it: a grid of (chunk, KV head) CTAs,
// every chunk a partial state as soon as one request is split, and a second launch that merges all requests.
//
// `flashinfer-decode` is the eager plan. `flashinfer-decode-graph` is the one that a captured graph replays: split
// always, and padded to as many columns as fit the GPU at once.

import { visibleEnd, visibleStart } from "../../jobs.ts";
import { PARTIAL, WRITE_THROUGH } from "../../pieces.ts";
import { PolicyNotApplicableError } from "../not-applicable.ts";
import type { Policy } from "../policy.ts";
import { planDecode } from "./decode-plan.ts";
import { nativeInput, runNative } from "./native-input.ts";

/** Rows of the query tile that the cost model is asked for: all heads of a group, on CUDA cores. */
const MOST_ROWS = 16;

/**
 * Resident CTAs on one SM. On an H100 the padded batch sizes of 252 plans by FlashInfer 0.6.18 (groups of 1, 4 and 8,
 * head dimension 128, bf16, November 2026) fit these numbers and no others; groups in between are taken to be like 4.
 */
export function decodeOccupancy(group: number): number {
  return group === 1 ? 6 : 9;
}

export const flashInferDecode: Policy = decodePolicy("flashinfer-decode", false);
export const flashInferDecodeGraph: Policy = decodePolicy("flashinfer-decode-graph", true);

function decodePolicy(name: "flashinfer-decode" | "flashinfer-decode-graph", isGraph: boolean): Policy {
  return {
    name,
    summary: isGraph
      ? "FlashInfer's CUDA-core decode, planned for a CUDA graph: split always, padded to a full GPU"
      : "FlashInfer's CUDA-core decode: one chunk size, the smallest that fits the GPU at once",
    isComparison: true,
    assign(input, out) {
      const { attention, qoLens, kvLens } = input;
      // The wrapper is given the requests that decode: one query token each.
      const requests: number[] = [];
      for (let i = 0; i < input.requestCount; i++) {
        if (qoLens[i]! > 1) {
          const found = `request ${i} has ${qoLens[i]}`;
          throw new PolicyNotApplicableError(name, `its kernel takes one query token for each request, ${found}`);
        }
        if (qoLens[i] === 1) requests.push(i);
      }
      const decoding = {
        ...input,
        requestCount: requests.length,
        qoLens: requests.map(() => 1),
        kvLens: requests.map((i) => kvLens[i]!),
      };
      const group = attention.queryHeads / attention.kvHeads;
      const occ = decodeOccupancy(group);
      const native = runNative(name, () => planDecode({ ...nativeInput(decoding), occ, enable_cuda_graph: isGraph }));
      const slot = native.split_kv ? PARTIAL : WRITE_THROUGH;
      for (let head = 0; head < attention.kvHeads; head++) {
        for (let column = 0; column < native.padded_batch_size; column++) {
          if (column < native.new_batch_size) {
            const request = requests[native.request_indices[column]!]!;
            const kvLen = kvLens[request]!;
            // The planner knows no window: chunks to the left of it run, and see nothing.
            const start = visibleStart(attention, 1, kvLen, 0);
            const end = visibleEnd(attention, 1, kvLen, 0);
            const chunkStart = native.kv_tile_indices[column]! * native.kv_chunk_size;
            const kvStart = Math.max(start, Math.min(chunkStart, end));
            const kvEnd = native.split_kv ? Math.min(chunkStart + native.kv_chunk_size, end) : end;
            out.add(request, head, 1, 0, group, MOST_ROWS, kvStart, Math.max(kvStart, kvEnd), slot);
          }
          out.endWorker();
        }
      }
      return { launch: "grid", merge: native.split_kv ? "separate" : "none", ctasPerSm: occ };
    },
    bound: undefined,
  };
}
