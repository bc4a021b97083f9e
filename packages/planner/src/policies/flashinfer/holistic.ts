// BatchAttention, FlashInfer's persistent kernel: every worker runs its queue of 128-row tiles, then its queue of 16-row
// tiles; after a grid barrier the same launch merges.

import { visibleEnd } from "../../jobs.ts";
import { PARTIAL, WRITE_THROUGH } from "../../pieces.ts";
import { PolicyNotApplicableError } from "../not-applicable.ts";
import type { Policy } from "../policy.ts";
import { holisticCtasPerSm, planHolistic } from "./holistic-plan.ts";
import { nativeInput, refuseWindow, requestOfQueryStart, runNative } from "./native-input.ts";

const MAX_HEAD_DIM = 256;

export const flashInferHolistic: Policy = {
  name: "flashinfer-holistic",
  summary: "FlashInfer's BatchAttention: KV lines cut at a common limit, each work to the least loaded worker",
  isComparison: true,
  assign(input, out) {
    const { attention, qoLens, kvLens } = input;
    refuseWindow("flashinfer-holistic", input);
    const headDim = attention.valueHeadDim ?? attention.headDim;
    if (headDim > MAX_HEAD_DIM) {
      throw new PolicyNotApplicableError("flashinfer-holistic", `head dimension ${headDim} is above ${MAX_HEAD_DIM}`);
    }
    const native = runNative("flashinfer-holistic", () => planHolistic(nativeInput(input)));
    const group = attention.queryHeads / attention.kvHeads;
    const requests = requestOfQueryStart(input);
    for (let worker = 0; worker < native.num_blks_y; worker++) {
      for (const task of native.tasks) {
        const tileRows = task.cta_tile_q;
        for (let work = task.work_indptr[worker]!; work < task.work_indptr[worker + 1]!; work++) {
          const request = requests.get(task.q_indptr[work]!)!;
          const qoLen = qoLens[request]!;
          const rowStart = task.q_start[work]!;
          const rows = Math.min(tileRows, qoLen * group - rowStart);
          const end = visibleEnd(attention, qoLen, kvLens[request]!, Math.floor((rowStart + rows - 1) / group));
          const kvStart = task.kv_start[work]!;
          const kvEnd = task.kv_end[work]!;
          const slot = kvEnd - kvStart === end ? WRITE_THROUGH : PARTIAL;
          out.add(request, task.kv_head_idx[work]!, 1, rowStart, rows, tileRows, kvStart, kvEnd, slot);
        }
      }
      out.endWorker();
    }
    return { launch: "persistent", merge: "fused", ctasPerSm: holisticCtasPerSm(headDim) };
  },
  bound: undefined,
};
