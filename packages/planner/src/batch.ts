// What to compute: one attention launch over a ragged batch of requests.
//
// Lengths are in tokens. `kvLens[i]` counts the history and the new tokens; `qoLens[i]` counts the new ones.

import { FieldError, requireInteger, requireObject } from "./field-error.ts";

/** Which KV tokens a query token sees. Query token t of a request stands at absolute position kvLen − qoLen + t. */
export type Mask =
  /** Everything up to and including its own position. */
  | { readonly kind: "causal" }
  /** Every KV token of the request. */
  | { readonly kind: "full" }
  /** The last `window` tokens up to and including its own position (window ≥ 1, in tokens). */
  | { readonly kind: "sliding-window"; readonly window: number };

/** The names of the masks. */
export type MaskKind = Mask["kind"];
/** Elements of queries and outputs. */
export type Dtype = "bf16" | "fp16" | "fp32";
/** Elements of keys and values. */
export type KvDtype = Dtype | "fp8_e4m3" | "fp8_e5m2";

/** What is the same for every batch of a model: heads, dimensions, types, paging and mask. */
export interface AttentionShape {
  /** Query heads, 1–65,535; a multiple of kvHeads. */
  readonly queryHeads: number;
  /** KV heads, 1–65,535. queryHeads / kvHeads is the group size (GQA); 1 KV head with many query heads is MQA or MLA. */
  readonly kvHeads: number;
  /** Elements of one query or key head, 1–1024. */
  readonly headDim: number;
  /** Elements of one value head, 1–1024; headDim unless given (MLA: 576 and 512). */
  readonly valueHeadDim?: number;
  /** Type of queries and outputs. */
  readonly dtype: Dtype;
  /** Type of keys and values in the cache. */
  readonly kvDtype: KvDtype;
  /** KV tokens in one page, 1–256. */
  readonly pageSize: number;
  /** Which KV tokens a query token sees. */
  readonly mask: Mask;
  /** Logits become softCap · tanh(logits / softCap). A number above 0, rounded to float32 wherever it is used. */
  readonly softCap?: number;
  /** One learnt logit per query head joins every softmax and carries no value. */
  readonly sinks?: boolean;
}

/** Requests that share their first `kvLen` KV tokens (the same pages). */
export interface SharedPrefix {
  /** Indices into the batch, at least two, ascending. */
  readonly requests: ArrayLike<number>;
  /** Shared KV tokens; a multiple of the page size, and before every member's first query token. */
  readonly kvLen: number;
}

/** One ragged batch. Arrays may be plain or typed; they are read, never kept. */
export interface AttentionBatch {
  /** [requests] Query tokens of each request, integers ≥ 0. 1 while decoding; 0 takes no work and writes nothing. */
  readonly qoLens: ArrayLike<number>;
  /**
   * [requests] KV tokens of each request, the new ones included, integers from 0 to MAX_TOKENS. With fewer KV than query
   * tokens the first query tokens see nothing under a causal mask: their output is 0. Without a page table, all requests
   * together have at most 2³¹ − 1 pages.
   */
  readonly kvLens: ArrayLike<number>;
  /**
   * [requests + 1] Page table in CSR form: request i owns pageIndices[pageIndptr[i] … pageIndptr[i + 1]), at least
   * ⌈kvLen / pageSize⌉ of them. Without it, requests own consecutive entries of a table that has no gaps.
   */
  readonly pageIndptr?: ArrayLike<number>;
  /** [pageIndptr[requests]] Pages in the cache, integers ≥ 0. Given together with pageIndptr. */
  readonly pageIndices?: ArrayLike<number>;
  /** Explicit sharing. Groups form a forest: the requests of two are nested or disjoint. Those that a longer prefix implies may stand here. */
  readonly prefixes?: readonly SharedPrefix[];
}

/** A batch or an attention shape that cannot be planned: which field, at which index, found and expected. */
export class InvalidBatchError extends FieldError {
  override readonly name = "InvalidBatchError";
}

/** Query heads that share one KV head: the rows that one query token packs. */
export function groupSize(attention: AttentionShape): number {
  return attention.queryHeads / attention.kvHeads;
}

/** Throws InvalidBatchError at the first field that is out of its range. */
export function validateAttentionShape(attention: AttentionShape): void {
  requireObject(InvalidBatchError, "attention", attention, "an object with queryHeads, kvHeads, headDim and so on");
  requireInteger(InvalidBatchError, "attention.queryHeads", attention.queryHeads, 1, 65_535);
  requireInteger(InvalidBatchError, "attention.kvHeads", attention.kvHeads, 1, 65_535);
  if (attention.queryHeads % attention.kvHeads !== 0) {
    throw new InvalidBatchError(
      "attention.queryHeads",
      attention.queryHeads,
      `a multiple of attention.kvHeads (${attention.kvHeads})`,
    );
  }
  requireInteger(InvalidBatchError, "attention.headDim", attention.headDim, 1, 1024);
  if (attention.valueHeadDim !== undefined) {
    requireInteger(InvalidBatchError, "attention.valueHeadDim", attention.valueHeadDim, 1, 1024);
  }
  requireOneOf("attention.dtype", attention.dtype, ["bf16", "fp16", "fp32"]);
  requireOneOf("attention.kvDtype", attention.kvDtype, ["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"]);
  requireInteger(InvalidBatchError, "attention.pageSize", attention.pageSize, 1, 256);
  requireOneOf("attention.mask.kind", attention.mask?.kind, ["causal", "full", "sliding-window"]);
  if (attention.mask.kind === "sliding-window") {
    requireInteger(InvalidBatchError, "attention.mask.window", attention.mask.window, 1, MAX_TOKENS);
  }
  const { softCap } = attention;
  if (softCap === undefined) return;
  const kept = typeof softCap === "number" ? Math.fround(softCap) : 0;
  if (!(kept > 0 && kept < Number.POSITIVE_INFINITY)) {
    throw new InvalidBatchError("attention.softCap", softCap, "a number above 0 that float32 can hold");
  }
}

/** Longest request, in tokens: page offsets and positions stay inside int32. */
export const MAX_TOKENS = 0x7fff_ff00;

/** Most pages of all requests together. */
const MAX_PAGES = 0x7fff_ffff;

/** Throws InvalidBatchError at the first length or page-table entry that is out of its range. */
export function validateBatch(batch: AttentionBatch, pageSize: number): void {
  requireObject(InvalidBatchError, "batch", batch, "an object with qoLens and kvLens");
  const { qoLens, kvLens, pageIndptr, pageIndices } = batch;
  requireIntegers("qoLens", qoLens);
  requireIntegers("kvLens", kvLens);
  if (qoLens.length !== kvLens.length) {
    throw new InvalidBatchError("kvLens.length", kvLens.length, `${qoLens.length}, the length of qoLens`);
  }
  // Every bit of every length: one comparison accepts what is nearly always right, and all of these are too many at once.
  let bits = 0;
  for (let i = 0; i < qoLens.length; i++) {
    const qoLen = qoLens[i]!;
    const kvLen = kvLens[i]!;
    // NaN and fractions are not equal to their int32.
    bits |= (qoLen | 0) === qoLen && (kvLen | 0) === kvLen ? qoLen | kvLen : -1;
  }
  if (bits < 0 || bits > MAX_TOKENS) {
    for (let i = 0; i < qoLens.length; i++) {
      requireInteger(InvalidBatchError, `qoLens[${i}]`, qoLens[i], 0, MAX_TOKENS);
      requireInteger(InvalidBatchError, `kvLens[${i}]`, kvLens[i], 0, MAX_TOKENS);
    }
  }
  if (pageIndptr !== undefined) validatePageTable(kvLens, pageIndptr, pageIndices, pageSize);
  else if (kvLens.length * Math.ceil(bits / pageSize) > MAX_PAGES) validatePageCount(kvLens, pageSize);
  if (batch.prefixes !== undefined) validatePrefixes(batch, batch.prefixes, pageSize);
}

/** The table without gaps that stands in for a page table has offsets in int32. */
function validatePageCount(kvLens: ArrayLike<number>, pageSize: number): void {
  let pages = 0;
  for (let i = 0; i < kvLens.length; i++) pages += Math.ceil(kvLens[i]! / pageSize);
  if (pages <= MAX_PAGES) return;
  throw new InvalidBatchError(
    "kvLens",
    pages,
    `at most ${MAX_PAGES} pages of ${pageSize} tokens, all requests together`,
  );
}

function validatePageTable(
  kvLens: ArrayLike<number>,
  pageIndptr: ArrayLike<number>,
  pageIndices: ArrayLike<number> | undefined,
  pageSize: number,
): void {
  if (pageIndices === undefined) {
    throw new InvalidBatchError("pageIndices", undefined, "an array, because pageIndptr is given");
  }
  requireIntegers("pageIndptr", pageIndptr);
  requireIntegers("pageIndices", pageIndices);
  if (pageIndptr.length !== kvLens.length + 1) {
    throw new InvalidBatchError("pageIndptr.length", pageIndptr.length, `${kvLens.length + 1} (requests + 1)`);
  }
  requireInteger(InvalidBatchError, "pageIndptr[0]", pageIndptr[0], 0, 0);
  for (let i = 0; i < kvLens.length; i++) {
    const pages = Math.ceil(kvLens[i]! / pageSize);
    const least = pageIndptr[i]! + pages;
    const end = pageIndptr[i + 1]!;
    // As above: a page table has thousands of entries, and the path of a field is a string that has to be made.
    if ((end | 0) !== end || end < least || end > MAX_TOKENS) {
      requireInteger(InvalidBatchError, `pageIndptr[${i + 1}]`, end, least, MAX_TOKENS);
    }
  }
  const used = pageIndptr[kvLens.length]!;
  if (pageIndices.length < used) {
    throw new InvalidBatchError("pageIndices.length", pageIndices.length, `at least ${used}, the last pageIndptr`);
  }
  for (let p = 0; p < used; p++) {
    const page = pageIndices[p]!;
    if ((page | 0) !== page || page < 0 || page > MAX_TOKENS)
      requireInteger(InvalidBatchError, `pageIndices[${p}]`, page, 0, MAX_TOKENS);
  }
}

function validatePrefixes(batch: AttentionBatch, prefixes: readonly SharedPrefix[], pageSize: number): void {
  if (!Array.isArray(prefixes)) throw new InvalidBatchError("prefixes", prefixes, "an array of objects");
  prefixes.forEach((prefix: SharedPrefix, g) => {
    requireObject(InvalidBatchError, `prefixes[${g}]`, prefix, "an object with requests and kvLen");
    requireIntegers(`prefixes[${g}].requests`, prefix.requests);
    if (prefix.requests.length < 2) {
      throw new InvalidBatchError(`prefixes[${g}].requests.length`, prefix.requests.length, "at least 2");
    }
    requireInteger(InvalidBatchError, `prefixes[${g}].kvLen`, prefix.kvLen, 1, MAX_TOKENS);
    if (prefix.kvLen % pageSize !== 0) {
      throw new InvalidBatchError(`prefixes[${g}].kvLen`, prefix.kvLen, `a multiple of the page size (${pageSize})`);
    }
    let previous = -1;
    for (let m = 0; m < prefix.requests.length; m++) {
      const request = prefix.requests[m]!;
      requireInteger(
        InvalidBatchError,
        `prefixes[${g}].requests[${m}]`,
        request,
        previous + 1,
        batch.kvLens.length - 1,
      );
      previous = request;
      const history = batch.kvLens[request]! - batch.qoLens[request]!;
      if (history < prefix.kvLen) {
        throw new InvalidBatchError(
          `prefixes[${g}].kvLen`,
          prefix.kvLen,
          `at most ${history}, the KV tokens before the first query token of request ${request}`,
        );
      }
    }
  });
}

/** Plain or typed arrays, whose integers are checked one by one elsewhere. Those of 64 bits are no numbers in JavaScript. */
function requireIntegers(field: string, value: ArrayLike<number>): void {
  if (typeof value !== "object" || typeof value?.length !== "number") {
    throw new InvalidBatchError(field, value, "an array of integers");
  }
  if (typeof value[0] === "bigint") throw new InvalidBatchError(`${field}[0]`, value[0], "a number");
}

function requireOneOf(field: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value !== "string" || !allowed.includes(value)) {
    throw new InvalidBatchError(field, value, `one of ${allowed.join(", ")}`);
  }
}
