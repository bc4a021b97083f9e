// Attention of single query rows over ranges of KV tokens, on paged tensors: what both the reference interpreter and
// unsplit attention are made of.

import { type AttentionState, emptyState, logSumExp, mergeState, type Round } from "./attention-state.ts";
import type { AttentionBatch, AttentionShape } from "./batch.ts";
import type { AttentionTensors, TensorData } from "./execution.ts";
import { visibleEnd, visibleStart } from "./jobs.ts";

/** `float32` rounds after every operation. */
export type ReferencePrecision = "float64" | "float32";

/** Output and log-sum-exp of one launch. */
export interface ReferenceResult {
  /** [query tokens, queryHeads, valueHeadDim]; 0 for rows that see no KV token. */
  readonly output: Float64Array;
  /** [query tokens, queryHeads], natural logarithm; −∞ for rows that see no KV token and have no sink. */
  readonly lse: Float64Array;
}

/** Tensors that do not fit the plan or the batch: which one, what it has, and what it needs. */
export class InvalidTensorError extends Error {
  override readonly name = "InvalidTensorError";
  /** Name of the tensor, such as "key" or "pageIndices". */
  readonly tensor: string;
  /** What it has. */
  readonly found: string;
  /** What it needs. */
  readonly expected: string;

  constructor(tensor: string, found: string, expected: string) {
    super(`tensor ${tensor} has ${found}, expected ${expected}`);
    this.tensor = tensor;
    this.found = found;
    this.expected = expected;
  }
}

/** Attends, and collects the rows of the result. */
export class RowAttention {
  readonly result: ReferenceResult;
  readonly round: Round;
  private readonly attention: AttentionShape;
  private readonly qoLens: ArrayLike<number>;
  private readonly kvLens: ArrayLike<number>;
  private readonly queryStarts: Float64Array;
  private readonly pageIndptr: ArrayLike<number>;
  private readonly pageIndices: ArrayLike<number>;
  private readonly query: Float64Array | Float32Array;
  private readonly key: Float64Array | Float32Array;
  private readonly value: Float64Array | Float32Array;
  private readonly sinks: Float64Array | Float32Array | undefined;
  private readonly softmaxScale: number;
  private readonly valueHeadDim: number;
  private logits: Float64Array = new Float64Array(1024);

  /** Throws InvalidTensorError unless the tensors fit the batch. */
  constructor(
    attention: AttentionShape,
    batch: Pick<AttentionBatch, "qoLens" | "kvLens">,
    tensors: AttentionTensors,
    precision: ReferencePrecision,
  ) {
    this.attention = attention;
    this.round = precision === "float32" ? Math.fround : (x) => x;
    this.qoLens = batch.qoLens;
    this.kvLens = batch.kvLens;
    this.valueHeadDim = attention.valueHeadDim ?? attention.headDim;
    this.queryStarts = new Float64Array(batch.qoLens.length);
    let tokens = 0;
    for (let i = 0; i < batch.qoLens.length; i++) {
      this.queryStarts[i] = tokens;
      tokens += batch.qoLens[i]!;
    }
    checkTensors(attention, batch, tensors, tokens);
    this.softmaxScale = tensors.softmaxScale ?? 1 / Math.sqrt(attention.headDim);
    this.pageIndptr = tensors.pageIndptr;
    this.pageIndices = tensors.pageIndices;
    this.query = decode(tensors.query, attention.dtype);
    this.key = decode(tensors.key, attention.kvDtype);
    this.value = decode(tensors.value, attention.kvDtype);
    this.sinks = attention.sinks === true ? decode(tensors.sinks!, attention.dtype) : undefined;
    this.result = {
      output: new Float64Array(tokens * attention.queryHeads * this.valueHeadDim),
      lse: new Float64Array(tokens * attention.queryHeads).fill(Number.NEGATIVE_INFINITY),
    };
  }

  /**
   * State of one query row over the KV tokens in [kvStart, kvEnd) that its mask lets it see, read through the page table
   * of `pagesOf`: the request itself, or the first member of a group that shares the range.
   */
  attend(
    request: number,
    token: number,
    queryHead: number,
    kvStart: number,
    kvEnd: number,
    pagesOf: number = request,
  ): AttentionState {
    const { attention, round } = this;
    const { headDim, kvHeads, pageSize } = attention;
    // As plans keep it.
    const softCap = attention.softCap && Math.fround(attention.softCap);
    const state = emptyState(this.valueHeadDim);
    const qoLen = this.qoLens[request]!;
    const kvLen = this.kvLens[request]!;
    const from = Math.max(kvStart, visibleStart(attention, qoLen, kvLen, token));
    const to = Math.min(kvEnd, visibleEnd(attention, qoLen, kvLen, token));
    if (to <= from) return state;
    if (this.logits.length < to - from) this.logits = new Float64Array(2 * (to - from));
    const { logits, query, key, value, pageIndices } = this;
    const kvHead = Math.floor(queryHead / (attention.queryHeads / kvHeads));
    const queryAt = ((this.queryStarts[request]! + token) * attention.queryHeads + queryHead) * headDim;
    const pageStart = this.pageIndptr[pagesOf]!;
    for (let t = from; t < to; t++) {
      const page = pageIndices[pageStart + Math.floor(t / pageSize)]!;
      const keyAt = ((page * pageSize + (t % pageSize)) * kvHeads + kvHead) * headDim;
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot = round(dot + round(query[queryAt + d]! * key[keyAt + d]!));
      let logit = round(dot * this.softmaxScale);
      if (softCap !== undefined) logit = round(softCap * Math.tanh(logit / softCap));
      logits[t - from] = logit;
      if (logit > state.max) state.max = logit;
    }
    const { valueHeadDim } = this;
    for (let t = from; t < to; t++) {
      const page = pageIndices[pageStart + Math.floor(t / pageSize)]!;
      const valueAt = ((page * pageSize + (t % pageSize)) * kvHeads + kvHead) * valueHeadDim;
      const weight = round(Math.exp(round(logits[t - from]! - state.max)));
      state.sum = round(state.sum + weight);
      for (let d = 0; d < valueHeadDim; d++) {
        state.output[d] = round(state.output[d]! + round(weight * value[valueAt + d]!));
      }
    }
    return state;
  }

  /** Normalises a row's state, joined by the sink of its head where there are sinks, and stores it. */
  write(request: number, token: number, queryHead: number, state: AttentionState): void {
    if (this.sinks !== undefined) {
      const sink: AttentionState = { output: new Float64Array(this.valueHeadDim), max: this.sinks[queryHead]!, sum: 1 };
      mergeState(state, sink, this.round);
    }
    const row = (this.queryStarts[request]! + token) * this.attention.queryHeads + queryHead;
    this.result.lse[row] = logSumExp(state);
    for (let d = 0; d < this.valueHeadDim; d++) {
      this.result.output[row * this.valueHeadDim + d] = state.sum === 0 ? 0 : this.round(state.output[d]! / state.sum);
    }
  }
}

/** Attention of every request in one go, in float64, without plan, pieces or merges: the oracle. Throws InvalidTensorError. */
export function unsplitAttention(
  attention: AttentionShape,
  batch: Pick<AttentionBatch, "qoLens" | "kvLens">,
  tensors: AttentionTensors,
): ReferenceResult {
  const rows = new RowAttention(attention, batch, tensors, "float64");
  for (let request = 0; request < batch.qoLens.length; request++) {
    for (let token = 0; token < batch.qoLens[request]!; token++) {
      for (let head = 0; head < attention.queryHeads; head++) {
        rows.write(request, token, head, rows.attend(request, token, head, 0, batch.kvLens[request]!));
      }
    }
  }
  return rows.result;
}

function checkTensors(
  attention: AttentionShape,
  { qoLens, kvLens }: Pick<AttentionBatch, "qoLens" | "kvLens">,
  tensors: AttentionTensors,
  tokens: number,
): void {
  for (const name of ["query", "key", "value", "pageIndptr", "pageIndices"] as const) {
    if (typeof tensors?.[name]?.length !== "number")
      throw new InvalidTensorError(name, "no elements", "an array of them");
  }
  const { queryHeads, kvHeads, headDim, pageSize } = attention;
  const { pageIndptr, pageIndices, query, key, value, sinks } = tensors;
  const queryElements = tokens * queryHeads * headDim;
  if (query.length !== queryElements) {
    const expected = `${queryElements} (${tokens} tokens × ${queryHeads} heads × ${headDim})`;
    throw new InvalidTensorError("query", `${query.length} elements`, expected);
  }
  const pageElements = pageSize * kvHeads * headDim;
  const valuePageElements = pageSize * kvHeads * (attention.valueHeadDim ?? headDim);
  if (key.length % pageElements !== 0) {
    throw new InvalidTensorError("key", `${key.length} elements`, `a multiple of ${pageElements} (one page)`);
  }
  const pages = key.length / pageElements;
  if (value.length !== pages * valuePageElements) {
    const expected = `${pages * valuePageElements} (${pages} pages of ${valuePageElements})`;
    throw new InvalidTensorError("value", `${value.length} elements`, expected);
  }
  if (pageIndptr.length !== qoLens.length + 1) {
    throw new InvalidTensorError("pageIndptr", `${pageIndptr.length} elements`, `${qoLens.length + 1}`);
  }
  for (let i = 0; i < qoLens.length; i++) {
    const needed = Math.ceil(kvLens[i]! / pageSize);
    if (pageIndptr[i + 1]! - pageIndptr[i]! < needed) {
      const found = `${pageIndptr[i + 1]! - pageIndptr[i]!} pages for request ${i}`;
      throw new InvalidTensorError("pageIndptr", found, `at least ${needed}`);
    }
    for (let p = pageIndptr[i]!; p < pageIndptr[i]! + needed; p++) {
      const page = pageIndices[p];
      if (page === undefined || !(page >= 0 && page < pages)) {
        throw new InvalidTensorError("pageIndices", `page ${page} at ${p}`, `a page from 0 to ${pages - 1}`);
      }
    }
  }
  if (attention.sinks === true && sinks?.length !== queryHeads) {
    throw new InvalidTensorError("sinks", `${sinks?.length ?? 0} elements`, `${queryHeads}, one for each query head`);
  }
}

/** 16-bit patterns become numbers; floats are taken as they are. */
function decode(data: TensorData, dtype: string): Float64Array | Float32Array {
  if (!(data instanceof Uint16Array)) return data;
  if (dtype === "bf16") return bf16ToFloat32(data);
  if (dtype === "fp16") return fp16ToFloat32(data);
  throw new InvalidTensorError("of 16-bit elements", `dtype ${dtype}`, "bf16 or fp16");
}

/** bfloat16 is the upper half of a float32. */
function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** IEEE 754 binary16. */
function fp16ToFloat32(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (word) => {
    const sign = word & 0x8000 ? -1 : 1;
    const exponent = (word >> 10) & 0x1f;
    const fraction = word & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}
