// FlashInfer's FA2 kernel (batch prefill, append, and decode with tensor cores), as it is planned and launched: a grid of
// (query tile × chunk, KV head) CTAs with one tile size and one chunk size for the batch, then a launch that merges.
//
// `flashinfer-fa2` is the eager plan. `flashinfer-fa2-graph` is the one that a captured graph replays: split always, so
// that even whole requests go through partial states and the merge, and padded with CTAs that exit at once.

import { visibleEnd, visibleStart } from "../../jobs.ts";
import { PARTIAL, WRITE_THROUGH } from "../../pieces.ts";
import type { Policy, PolicyInput } from "../policy.ts";
import { FA2_CTAS_PER_SM, planFa2 } from "./fa2-plan.ts";
import { nativeInput, runNative } from "./native-input.ts";

export const flashInferFa2: Policy = fa2Policy("flashinfer-fa2", false);
export const flashInferFa2Graph: Policy = fa2Policy("flashinfer-fa2-graph", true);

function fa2Policy(name: "flashinfer-fa2" | "flashinfer-fa2-graph", isGraph: boolean): Policy {
  return {
    name,
    summary: isGraph
      ? "FlashInfer's FA2 kernel, planned for a CUDA graph: every request goes through partial states"
      : "FlashInfer's FA2 kernel (prefill, append, tensor-core decode): one chunk size for the batch",
    isComparison: true,
    assign(input, out) {
      const { attention, qoLens, kvLens } = input;
      if (input.requestCount === 0) return { launch: "grid", merge: "none", ctasPerSm: FA2_CTAS_PER_SM };
      const graph = { enable_cuda_graph: isGraph, uniform_q_len: isGraph ? uniformQueryLength(input) : 0 };
      const native = runNative(name, () => planFa2({ ...nativeInput(input), ...graph }));
      const group = attention.queryHeads / attention.kvHeads;
      const tileRows = native.cta_tile_q;
      const slot = native.split_kv ? PARTIAL : WRITE_THROUGH;
      for (let head = 0; head < attention.kvHeads; head++) {
        for (let column = 0; column < native.padded_batch_size; column++) {
          if (column < native.new_batch_size) {
            const request = native.request_indices[column]!;
            const qoLen = qoLens[request]!;
            const rowStart = native.qo_tile_indices[column]! * tileRows;
            const rows = Math.min(tileRows, qoLen * group - rowStart);
            const lastToken = Math.floor((rowStart + rows - 1) / group);
            const end = visibleEnd(attention, qoLen, kvLens[request]!, lastToken);
            const first = visibleStart(attention, qoLen, kvLens[request]!, Math.floor(rowStart / group));
            const start = Math.min(first, end);
            // Chunks are counted from where the tile's window begins; those beyond its causal end run, and see nothing.
            const offset = native.split_kv ? native.kv_tile_indices[column]! * native.kv_chunk_size_i32 : 0;
            const kvStart = Math.min(start + offset, end);
            const kvEnd = native.split_kv ? Math.min(start + offset + native.kv_chunk_size_i32, end) : end;
            out.add(request, head, 1, rowStart, rows, tileRows, kvStart, kvEnd, slot);
          }
          out.endWorker();
        }
      }
      return { launch: "grid", merge: native.split_kv ? "separate" : "none", ctasPerSm: FA2_CTAS_PER_SM };
    },
    bound: undefined,
  };
}

/** The query length that all requests have, where it is above 1 (a hint that the decode wrapper gives); else 0. */
function uniformQueryLength({ qoLens, requestCount }: PolicyInput): number {
  const length = qoLens[0]!;
  for (let i = 1; i < requestCount; i++) if (qoLens[i] !== length) return 0;
  return length > 1 ? length : 0;
}
