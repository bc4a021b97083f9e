// Random tensors for a batch, the same for every executor: drawn from a grid that all element types hold exactly, so
// that a check measures the arithmetic and not the rounding of its inputs.

import type { AttentionTensors, KvDtype } from "@isochron/planner";
import { type BatchDocument, RandomStream } from "@isochron/simulator";
import { InputError } from "./errors.ts";

/** Values are k / denominator with |k| ≤ largest; an integer up to 2^(mantissa bits + 1) is exact in a type. */
const GRIDS: Readonly<Record<KvDtype, { readonly largest: number; readonly denominator: number }>> = {
  fp32: { largest: 128, denominator: 64 },
  fp16: { largest: 128, denominator: 64 },
  bf16: { largest: 128, denominator: 64 },
  fp8_e4m3: { largest: 16, denominator: 8 },
  fp8_e5m2: { largest: 8, denominator: 4 },
};

/** Chosen: because larger tensors take minutes in the reference and may not fit the machine. */
const MAX_BYTES = 4 * 2 ** 30;

/** Tensors and page table (the batch's own, or shuffled pages) for one launch. Throws InputError when they are too large. */
export function randomTensors(batch: BatchDocument, seed: number): AttentionTensors {
  const { attention, qoLens, kvLens } = batch;
  const valueHeadDim = attention.valueHeadDim ?? attention.headDim;
  const { pageIndptr, pageIndices } = pageTable(batch, seed);
  const pages = pageIndices.reduce((most, page) => Math.max(most, page + 1), 0);
  const queryTokens = qoLens.reduce((sum, length) => sum + length, 0);
  const slots = pages * attention.pageSize * attention.kvHeads;
  const elements = queryTokens * attention.queryHeads * attention.headDim + slots * (attention.headDim + valueHeadDim);
  if (elements * Float32Array.BYTES_PER_ELEMENT > MAX_BYTES) {
    const gibibytes = ((elements * Float32Array.BYTES_PER_ELEMENT) / 2 ** 30).toFixed(1);
    throw new InputError(
      `the tensors of this batch take ${gibibytes} GiB (${kvLens.length} requests), expected at most 4 GiB: run fewer or shorter requests`,
    );
  }
  const draw = (purpose: string, length: number, dtype: KvDtype): Float32Array => {
    const { largest, denominator } = GRIDS[dtype];
    const random = new RandomStream(seed, purpose);
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = (random.integer(2 * largest + 1) - largest) / denominator;
    return values;
  };
  return {
    query: draw("query", queryTokens * attention.queryHeads * attention.headDim, attention.dtype),
    key: draw("key", slots * attention.headDim, attention.kvDtype),
    value: draw("value", slots * valueHeadDim, attention.kvDtype),
    pageIndptr,
    pageIndices,
    ...(attention.sinks === true ? { sinks: draw("sinks", attention.queryHeads, "fp32") } : {}),
  };
}

/**
 * The batch's page table, or one whose pages lie in random order: a kernel that ignores the table is found out. Requests
 * that share a prefix share its pages.
 */
function pageTable(batch: BatchDocument, seed: number): { pageIndptr: Int32Array; pageIndices: Int32Array } {
  if (batch.pageIndptr !== undefined && batch.pageIndices !== undefined) {
    return { pageIndptr: Int32Array.from(batch.pageIndptr), pageIndices: Int32Array.from(batch.pageIndices) };
  }
  const pageIndptr = new Int32Array(batch.kvLens.length + 1);
  batch.kvLens.forEach((kvLen, i) => {
    pageIndptr[i + 1] = pageIndptr[i]! + Math.ceil(kvLen / batch.attention.pageSize);
  });
  const pageIndices = Int32Array.from({ length: pageIndptr[batch.kvLens.length]! }, (_, page) => page);
  const random = new RandomStream(seed, "pages");
  for (let i = pageIndices.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const page = pageIndices[i]!;
    pageIndices[i] = pageIndices[j]!;
    pageIndices[j] = page;
  }
  for (const { requests, kvLen } of batch.prefixes ?? []) {
    const first = pageIndptr[requests[0]!]!;
    const pages = pageIndices.slice(first, first + kvLen / batch.attention.pageSize);
    for (let m = 1; m < requests.length; m++) pageIndices.set(pages, pageIndptr[requests[m]!]!);
  }
  return { pageIndptr, pageIndices };
}
