// FlashInfer's FA3 prefill on Hopper: one worker an SM runs a queue of whole query tiles. Query heads are not packed, so a
// head's tile holds query tokens, and the KV head is read once for each query head of its group. Nothing is split.

import { visibleEnd, visibleStart } from "../../jobs.ts";
import { type PieceWriter, WRITE_THROUGH } from "../../pieces.ts";
import type { Policy, PolicyInput } from "../policy.ts";
import { type Fa3Plan, planFa3 } from "./fa3-plan.ts";
import { nativeInput, runNative } from "./native-input.ts";

export const flashInferFa3: Policy = {
  name: "flashinfer-fa3",
  summary: "FlashInfer's FA3 prefill: whole query tiles, longest first, each to the least loaded SM; never split",
  isComparison: true,
  assign(input, out) {
    const native = runNative("flashinfer-fa3", () => planFa3(nativeInput(input)));
    if (native.same_schedule_for_all_heads) {
      // Launched as (queues, heads): each CTA runs one queue for one head.
      for (let head = 0; head < input.attention.queryHeads; head++) {
        for (let queue = 0; queue < native.num_ctas; queue++) addQueue(native, queue, head, input, out);
      }
      return { launch: "grid", merge: "none", ctasPerSm: 1, packsGroup: false };
    }
    for (let queue = 0; queue < native.num_ctas; queue++) addQueue(native, queue, undefined, input, out);
    return { launch: "persistent", merge: "none", ctasPerSm: 1, packsGroup: false };
  },
  bound: undefined,
};

/** The tiles of one queue, on the heads that they name or all on `head`. */
function addQueue(
  native: Fa3Plan,
  queue: number,
  head: number | undefined,
  input: PolicyInput,
  out: PieceWriter,
): void {
  const { attention, qoLens, kvLens } = input;
  const tileRows = native.cta_tile_q;
  for (let work = native.work_indptr[queue]!; work < native.work_indptr[queue + 1]!; work++) {
    const request = native.batch_indices[work]!;
    const qoLen = qoLens[request]!;
    const rowStart = native.qo_tile_indices[work]! * tileRows;
    const rows = Math.min(tileRows, qoLen - rowStart);
    const end = visibleEnd(attention, qoLen, kvLens[request]!, rowStart + rows - 1);
    const start = Math.min(visibleStart(attention, qoLen, kvLens[request]!, rowStart), end);
    out.add(request, head ?? native.head_indices[work]!, 1, rowStart, rows, tileRows, start, end, WRITE_THROUGH);
  }
  out.endWorker();
}
