// Recorded planning inputs → batches with their attention shape. Inputs that differ only in what other planners do with
// them (graphs, occupancy, fixed splits) are one batch here, counted as often as it was recorded.

import { readRecordingFile } from "../scripts/recordings.mjs";

/** All different batches of the files, as { id, count, smCount, attention, batch }. Throws RecordingError. */
export function readInputs(files) {
  const byContent = new Map();
  for (const file of files) {
    for (const { id, input } of readRecordingFile(file)) {
      const attention = attentionOf(input);
      const key = JSON.stringify([input.num_sm, attention, input.qo_indptr, input.kv_len]);
      const known = byContent.get(key);
      if (known !== undefined) {
        known.count++;
        continue;
      }
      const qoLens = Int32Array.from(input.kv_len, (_, i) => input.qo_indptr[i + 1] - input.qo_indptr[i]);
      const batch = { qoLens, kvLens: Int32Array.from(input.kv_len) };
      byContent.set(key, { id, count: 1, smCount: input.num_sm, attention, batch });
    }
  }
  return [...byContent.values()];
}

function attentionOf(input) {
  return {
    queryHeads: input.num_qo_heads,
    kvHeads: input.num_kv_heads,
    headDim: input.head_dim_qk,
    ...(input.head_dim_vo === input.head_dim_qk ? {} : { valueHeadDim: input.head_dim_vo }),
    dtype: "bf16",
    kvDtype: "bf16",
    pageSize: input.page_size,
    mask: maskOf(input),
  };
}

function maskOf({ causal, window_left: windowLeft }) {
  // FlashInfer's window does not count the query's own token.
  if (windowLeft >= 0) return { kind: "sliding-window", window: windowLeft + 1 };
  return { kind: causal ? "causal" : "full" };
}
