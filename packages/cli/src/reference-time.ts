// How long the reference will take on this machine: multiply-adds of the batch over those that it is measured to do in a
// second. It cannot say how far it is, so what it says comes before.

import { type AttentionShape, unsplitAttention } from "@isochron/planner";
import type { BatchDocument } from "@isochron/simulator";
import { randomTensors } from "./random-tensors.ts";
import { fixed } from "./terminal/numbers.ts";

/** Chosen: who waits longer than this without a word thinks that something hangs. */
const UNSAID_S = 2;
/** Chosen: some ten milliseconds, twice, the first time for the compiler. */
const SAMPLE = { qoLens: [1], kvLens: [4096] };
/** Measured on several batches: none that has fewer takes half a second. */
const FEW_MULTIPLY_ADDS = 5e7;

/** A line about an execution that will take long, which is run once more with `isChecked`; undefined about a short one. */
export function referenceNotice(batch: BatchDocument, isChecked: boolean): string | undefined {
  const work = multiplyAdds(batch) * (isChecked ? 2 : 1);
  return work < FEW_MULTIPLY_ADDS ? undefined : noticeOf(work, work / multiplyAddsPerSecond(batch.attention));
}

/** Products of queries with keys, and of weights with values, over the tokens that the mask lets each query token see. */
export function multiplyAdds({
  attention,
  qoLens,
  kvLens,
}: Pick<BatchDocument, "attention" | "qoLens" | "kvLens">): number {
  const { queryHeads, headDim, valueHeadDim = headDim, mask } = attention;
  const reach = mask.kind === "sliding-window" ? mask.window : Number.POSITIVE_INFINITY;
  let pairs = 0;
  qoLens.forEach((queries, i) => {
    const kvLen = kvLens[i]!;
    for (let q = 0; q < queries; q++) {
      pairs += mask.kind === "full" ? kvLen : Math.max(0, Math.min(kvLen - queries + q + 1, reach));
    }
  });
  return pairs * queryHeads * (headDim + valueHeadDim);
}

export function noticeOf(work: number, seconds: number): string | undefined {
  if (seconds < UNSAID_S) return undefined;
  const time = seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
  return `about ${time}: ${fixed(work / 1e9, 1)} billion multiply-adds in float64 on one core\n`;
}

function multiplyAddsPerSecond(shape: AttentionShape): number {
  const attention: AttentionShape = { ...shape, queryHeads: 4, kvHeads: 1, sinks: false };
  const batch = { isochron: "batch/1", attention, ...SAMPLE } as const;
  const tensors = randomTensors(batch, 0);
  unsplitAttention(attention, batch, tensors);
  const startMs = performance.now();
  unsplitAttention(attention, batch, tensors);
  return (multiplyAdds(batch) * 1000) / (performance.now() - startMs);
}
