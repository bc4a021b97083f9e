// Attention of chosen rows in float64, straight from the definition and knowing nothing of plans: the oracle on the GPU.

import type { AttentionShape } from "@isochron/planner";

/** Decoded tensors of one batch; key and value are [pages, pageSize, kvHeads, headDim]. */
export interface HostTensors {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
  readonly pageIndices: Int32Array;
  readonly sinks?: Float32Array;
}

export interface HostBatch {
  readonly qoLens: readonly number[];
  readonly kvLens: readonly number[];
}

/** Visits every query row with its float64 output and log-sum-exp. `output` is reused from call to call. */
export function forEachRow(
  attention: AttentionShape,
  batch: HostBatch,
  tensors: HostTensors,
  wanted: (row: number) => boolean,
  visit: (row: number, output: Float64Array, lse: number) => void,
): void {
  const { queryHeads, kvHeads, headDim, pageSize, mask, softCap } = attention;
  const group = queryHeads / kvHeads;
  const scale = 1 / Math.sqrt(headDim);
  const output = new Float64Array(headDim);
  const longest = Math.max(1, ...batch.kvLens);
  const logits = new Float64Array(longest);
  const tokens = new Float64Array(longest);
  let queryStart = 0;
  let pageStart = 0;
  batch.qoLens.forEach((qoLen, request) => {
    const kvLen = batch.kvLens[request]!;
    for (let t = 0; t < kvLen; t++) {
      tokens[t] = tensors.pageIndices[pageStart + Math.floor(t / pageSize)]! * pageSize + (t % pageSize);
    }
    for (let token = 0; token < qoLen; token++) {
      const position = kvLen - qoLen + token;
      const end = mask.kind === "full" ? kvLen : Math.max(0, Math.min(kvLen, position + 1));
      const start = mask.kind === "sliding-window" ? Math.max(0, position - mask.window + 1) : 0;
      for (let head = 0; head < queryHeads; head++) {
        const row = (queryStart + token) * queryHeads + head;
        if (!wanted(row)) continue;
        const kvHead = Math.floor(head / group);
        let max = Number.NEGATIVE_INFINITY;
        const queryAt = row * headDim;
        for (let t = start; t < end; t++) {
          const keyAt = (tokens[t]! * kvHeads + kvHead) * headDim;
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += tensors.query[queryAt + d]! * tensors.key[keyAt + d]!;
          dot *= scale;
          if (softCap !== undefined) dot = softCap * Math.tanh(dot / softCap);
          logits[t] = dot;
          if (dot > max) max = dot;
        }
        const sink = tensors.sinks?.[head];
        if (sink !== undefined && sink > max) max = sink;
        output.fill(0);
        let sum = sink === undefined ? 0 : Math.exp(sink - max);
        for (let t = start; t < end; t++) {
          const weight = Math.exp(logits[t]! - max);
          sum += weight;
          const valueAt = (tokens[t]! * kvHeads + kvHead) * headDim;
          for (let d = 0; d < headDim; d++) output[d] = output[d]! + weight * tensors.value[valueAt + d]!;
        }
        for (let d = 0; d < headDim; d++) output[d] = sum === 0 ? 0 : output[d]! / sum;
        visit(row, output, sum === 0 ? Number.NEGATIVE_INFINITY : max + Math.log(sum));
      }
    }
    queryStart += qoLen;
    pageStart += Math.ceil(kvLen / pageSize);
  });
}
