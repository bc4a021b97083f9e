// BatchMLAPagedAttentionWrapper: multi-head latent attention on clusters of one or two CTAs, 64 rows each; after a grid
// barrier the same launch merges. One KV head, shared by all query heads.

import { PARTIAL, WRITE_THROUGH } from "../../pieces.ts";
import { PolicyNotApplicableError } from "../not-applicable.ts";
import type { Policy } from "../policy.ts";
import { MLA_CTA_TILE_ROWS, planMla } from "./mla-plan.ts";
import { nativeInput, refuseWindow, requestOfQueryStart, runNative } from "./native-input.ts";

export const flashInferMla: Policy = {
  name: "flashinfer-mla",
  summary: "FlashInfer's MLA: KV lines cut at a common limit, each work to the least loaded cluster of CTAs",
  isComparison: true,
  assign(input, out) {
    const { attention, qoLens } = input;
    refuseWindow("flashinfer-mla", input);
    if (attention.kvHeads !== 1) {
      const found = `the attention shape has ${attention.kvHeads}`;
      throw new PolicyNotApplicableError("flashinfer-mla", `latent attention has one KV head, ${found}`);
    }
    if (input.requestCount === 0) return { launch: "persistent", merge: "fused", ctasPerSm: 1 };
    const native = runNative("flashinfer-mla", () => planMla(nativeInput(input)));
    const tileRows = native.num_blks_x * MLA_CTA_TILE_ROWS;
    const requests = requestOfQueryStart(input);
    for (let cluster = 0; cluster < native.num_blks_y; cluster++) {
      for (let work = native.work_indptr[cluster]!; work < native.work_indptr[cluster + 1]!; work++) {
        const request = requests.get(native.q_indptr[work]!)!;
        const rowStart = native.q_start[work]!;
        const rows = Math.min(tileRows, qoLens[request]! * attention.queryHeads - rowStart);
        const slot = native.partial_indptr[work]! < 0 ? WRITE_THROUGH : PARTIAL;
        out.add(request, 0, 1, rowStart, rows, tileRows, native.kv_start[work]!, native.kv_end[work]!, slot);
      }
      out.endWorker();
    }
    return { launch: "persistent", merge: "fused", ctasPerSm: 1, ctasPerWorker: native.num_blks_x };
  },
  bound: undefined,
};
