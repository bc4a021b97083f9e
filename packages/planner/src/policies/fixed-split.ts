// Fixed split size: KV lines are cut at absolute multiples of a constant, every chunk is a piece of its own and leaves a
// partial state. What batch-invariant modes of serving engines do when they split: a request's bits do not depend on its
// neighbours, and neither does the number of its pieces, however full or empty the GPU is.

import { PARTIAL } from "../pieces.ts";
import type { Policy } from "./policy.ts";

/** KV tokens of a chunk: SGLang's deterministic mode gives FlashInfer 2,048 for decodes and 4,096 for prefills. */
const DECODE_CHUNK_TOKENS = 2048;
const PREFILL_CHUNK_TOKENS = 4096;

export const fixedSplit: Policy = {
  name: "fixed-split",
  summary: "chunks of a fixed size, each a partial state (batch-invariant modes: 2,048 tokens, 4,096 for prefills)",
  isComparison: true,
  assign({ jobs, qoLens }, out) {
    // Launched as (chunks, heads), as FlashInfer launches fixed chunks: the grid fills the workers in order.
    for (let head = 0; head < jobs.headCount; head++) {
      for (let j = 0; j < jobs.count; j++) {
        const request = jobs.request[j]!;
        const chunkTokens = qoLens[request]! > 1 ? PREFILL_CHUNK_TOKENS : DECODE_CHUNK_TOKENS;
        const end = jobs.kvEnd[j]!;
        let start = jobs.kvStart[j]!;
        do {
          const chunkEnd = Math.min(end, (Math.floor(start / chunkTokens) + 1) * chunkTokens);
          out.add(request, head, 1, jobs.rowStart[j]!, jobs.rows[j]!, jobs.tileRows[j]!, start, chunkEnd, PARTIAL);
          out.endWorker();
          start = chunkEnd;
        } while (start < end);
      }
    }
    return { launch: "grid", merge: "separate" };
  },
  bound: undefined,
};
