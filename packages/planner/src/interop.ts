// toFlashInfer(): a plan as the arrays that FlashInfer's decode and FA2 prefill kernels take.
//
// Those kernels run a grid of (column, KV head) CTAs in which every request is cut into chunks of one common size, counted
// from the first KV token that a query tile sees. A plan is expressible where its pieces are such chunks; which CTA or
// worker runs a piece, and in which order, is never part of the arrays. FlashInfer's kernels return log-sum-exponentials
// in base 2: multiply by ln 2 for the natural ones of this package.

import { Header, MergeOrder, Piece, Request } from "./layout.ts";
import type { Plan } from "./plan.ts";

/** Arrays of FlashInfer's plan info under its own names; columns are in the order of FlashInfer's own planners. */
export interface FlashInferDecodeArrays {
  readonly request_indices: Int32Array;
  /** Chunk of the request. */
  readonly kv_tile_indices: Int32Array;
  /** Partial rows (one for each chunk) before each request, requests + 1 entries. */
  readonly o_indptr: Int32Array;
  readonly block_valid_mask: Uint8Array;
  /** Tokens. */
  readonly kv_chunk_size: number;
  readonly split_kv: boolean;
}

/** The same with query tiles: a column is one tile and one chunk of a request. */
export interface FlashInferPrefillArrays extends FlashInferDecodeArrays {
  readonly cta_tile_q: number;
  readonly qo_tile_indices: Int32Array;
  /** Partial rows before each query token, query tokens + 1 entries. */
  readonly merge_indptr: Int32Array;
}

/** Why a plan cannot be written as FlashInfer's arrays: the field that cannot hold it, and where. */
export interface InexpressibleField {
  readonly field: "packed heads" | "cta_tile_q" | "kv_chunk_size" | "kv_heads" | "requests";
  readonly problem: string;
}

/** The arrays, or every field that cannot hold the plan. */
export type FlashInferInterop =
  | {
      readonly isExpressible: true;
      /** For BatchPrefillWithPagedKVCache and tensor-core decode. */
      readonly prefill: FlashInferPrefillArrays;
      /** For BatchDecodeWithPagedKVCache on CUDA cores: where every request has one query token and sees all KV tokens. */
      readonly decode: FlashInferDecodeArrays | undefined;
      /** What the plan says and the arrays do not. */
      readonly lost: readonly string[];
    }
  | { readonly isExpressible: false; readonly reasons: readonly InexpressibleField[] };

/** Writes a plan as FlashInfer's arrays, or says which fields cannot hold it. The plan must be sound (verifyPlan). */
export function toFlashInfer(plan: Plan): FlashInferInterop {
  const reasons: InexpressibleField[] = [];
  const group = plan.header[Header.queryHeads]! / plan.header[Header.kvHeads]!;
  if (plan.header[Header.packedHeads] !== group) {
    reasons.push({ field: "packed heads", problem: "the plan's tiles hold one query head, FlashInfer's hold a group" });
    return { isExpressible: false, reasons };
  }
  if (plan.header[Header.groupCount]! > 0) {
    reasons.push({ field: "requests", problem: "the plan has shared prefixes, a column belongs to one request" });
    return { isExpressible: false, reasons };
  }
  const tileRows = commonTile(plan, reasons);
  const jobs = jobsOf(plan);
  const isSplit = jobs.some((job) => job.heads.some((ranges) => ranges.length > 1));
  checkHeads(jobs, reasons);
  const chunkTokens = commonChunk(plan, jobs, reasons);
  if (reasons.length > 0) return { isExpressible: false, reasons };

  const prefill = prefillArrays(plan, jobs, tileRows, chunkTokens, isSplit);
  const { qo_tile_indices: _, merge_indptr: __, cta_tile_q: ___, ...columns } = prefill;
  const decode = isDecode(plan, jobs) ? columns : undefined;
  return { isExpressible: true, prefill, decode, lost: lostIn(plan, jobs, isSplit) };
}

/** Whether every request has one query token, one query tile, and sees all KV tokens. */
function isDecode({ requests, requestCount, attention }: Plan, jobs: readonly TileJob[]): boolean {
  if (jobs.length === 0 || jobs.length !== requestCount || attention.mask.kind === "sliding-window") return false;
  return jobs.every(({ request }) => requests[request * Request.stride + Request.qoLen] === 1);
}

/** One query tile of one request with the KV ranges of each head, in KV order, empty ranges left out. */
interface TileJob {
  readonly request: number;
  readonly rowStart: number;
  readonly rows: number;
  readonly heads: [start: number, end: number][][];
  hasWriteThrough: boolean;
}

/** Jobs in the order (request, query tile). */
function jobsOf(plan: Plan): TileJob[] {
  const { pieces, header } = plan;
  const kvHeads = header[Header.kvHeads]!;
  const byTile = new Map<string, TileJob>();
  for (let at = 0; at < plan.pieceRecordCount * Piece.stride; at += Piece.stride) {
    const request = pieces[at + Piece.request]!;
    const rowStart = pieces[at + Piece.rowStart]!;
    const key = `${request}/${rowStart}`;
    let job = byTile.get(key);
    if (job === undefined) {
      const rows = pieces[at + Piece.rows]! & 0xffff;
      const heads = Array.from({ length: kvHeads }, (): [number, number][] => []);
      job = { request, rowStart, rows, heads, hasWriteThrough: false };
      byTile.set(key, job);
    }
    if (pieces[at + Piece.slot]! < 0) job.hasWriteThrough = true;
    const start = pieces[at + Piece.kvStart]!;
    const end = pieces[at + Piece.kvEnd]!;
    if (start === end) continue;
    const head = pieces[at + Piece.head]!;
    for (let h = head; h < head + pieces[at + Piece.headCount]!; h++) job.heads[h]!.push([start, end]);
  }
  const jobs = [...byTile.values()].sort((a, b) => a.request - b.request || a.rowStart - b.rowStart);
  for (const job of jobs) for (const ranges of job.heads) ranges.sort((a, b) => a[0] - b[0]);
  return jobs;
}

/** Rows of the query tile of all pieces. */
function commonTile(plan: Plan, reasons: InexpressibleField[]): number {
  const { pieces } = plan;
  const tileAt = (at: number): number => pieces[at + Piece.rows]! >>> 16;
  const tileRows = plan.pieceRecordCount === 0 ? 16 : tileAt(0);
  for (let at = 0; at < plan.pieceRecordCount * Piece.stride; at += Piece.stride) {
    if (tileAt(at) === tileRows) continue;
    const problem = `request ${pieces[at]} has tiles of ${tileAt(at)} rows, request ${pieces[0]} of ${tileRows}`;
    reasons.push({ field: "cta_tile_q", problem });
    break;
  }
  return tileRows;
}

/** Every KV head must be cut alike: a column runs on all of them. */
function checkHeads(jobs: readonly TileJob[], reasons: InexpressibleField[]): void {
  for (const { request, heads } of jobs) {
    const first = heads[0]!;
    const differs = heads.findIndex(
      (ranges) => ranges.length !== first.length || ranges.some(([start], i) => start !== first[i]![0]),
    );
    if (differs === -1) continue;
    reasons.push({ field: "kv_heads", problem: `request ${request} is cut differently for KV heads 0 and ${differs}` });
    return;
  }
}

/** The chunk size in tokens that all ranges follow: every range but the last of a tile has it, and none is longer. */
function commonChunk(plan: Plan, jobs: readonly TileJob[], reasons: InexpressibleField[]): number {
  let chunk = 0;
  let longest = 1;
  for (const { heads } of jobs) {
    for (const [start, end] of heads[0]!) longest = Math.max(longest, end - start);
    if (heads[0]!.length > 1 && chunk === 0) chunk = heads[0]![0]![1] - heads[0]![0]![0];
  }
  // Nothing is split: any size will do that holds the longest range.
  if (chunk === 0) return Math.ceil(longest / plan.attention.pageSize) * plan.attention.pageSize;
  for (const { request, heads } of jobs) {
    const ranges = heads[0]!;
    const wrong = ranges.findIndex(([start, end], i) =>
      i < ranges.length - 1 ? end - start !== chunk : end - start > chunk,
    );
    if (wrong === -1) continue;
    const [start, end] = ranges[wrong]!;
    const problem = `request ${request} has a piece of ${end - start} KV tokens where chunks have ${chunk}`;
    reasons.push({ field: "kv_chunk_size", problem });
    break;
  }
  return chunk;
}

function prefillArrays(
  plan: Plan,
  jobs: readonly TileJob[],
  tileRows: number,
  chunkTokens: number,
  isSplit: boolean,
): FlashInferPrefillArrays {
  const { attention, requests, requestCount } = plan;
  const requestIndices: number[] = [];
  const qoTileIndices: number[] = [];
  const kvTileIndices: number[] = [];
  const oIndptr = new Int32Array(requestCount + 1);
  const mergeIndptr: number[] = [0];
  let next = 0;
  for (let request = 0; request < requestCount; request++) {
    const qoLen = requests[request * Request.stride + Request.qoLen]!;
    const kvLen = requests[request * Request.stride + Request.kvLen]!;
    // The kernel counts the chunks of a request from its KV length (or window), for all of its tiles alike: a tile that
    // sees less gets chunks without tokens.
    const { mask } = attention;
    const reach = mask.kind === "sliding-window" ? Math.min(kvLen, mask.window - 1 + tileRows) : kvLen;
    const chunks = isSplit ? Math.ceil(Math.max(reach, 1) / chunkTokens) : 1;
    for (; next < jobs.length && jobs[next]!.request === request; next++) {
      for (let chunk = 0; chunk < chunks; chunk++) {
        requestIndices.push(request);
        qoTileIndices.push(jobs[next]!.rowStart / tileRows);
        kvTileIndices.push(chunk);
      }
    }
    for (let row = 0; row < qoLen; row++) mergeIndptr.push(mergeIndptr[mergeIndptr.length - 1]! + chunks);
    oIndptr[request + 1] = oIndptr[request]! + qoLen * chunks;
  }
  return {
    split_kv: isSplit,
    cta_tile_q: tileRows,
    kv_chunk_size: chunkTokens,
    request_indices: Int32Array.from(requestIndices),
    qo_tile_indices: Int32Array.from(qoTileIndices),
    kv_tile_indices: Int32Array.from(kvTileIndices),
    o_indptr: oIndptr,
    merge_indptr: Int32Array.from(mergeIndptr),
    block_valid_mask: new Uint8Array(requestIndices.length).fill(1),
  };
}

function lostIn(plan: Plan, jobs: readonly TileJob[], isSplit: boolean): string[] {
  const lost = ["which worker runs a piece, and in which order: FlashInfer launches a grid of columns and KV heads"];
  if (isSplit && jobs.some((job) => job.hasWriteThrough)) {
    lost.push("writing whole jobs through: with split_kv FlashInfer takes every request through partial states");
  }
  if (plan.header[Header.mergeOrder] === MergeOrder.canonicalTree) {
    lost.push("the canonical merge tree: FlashInfer folds partial states in order");
  }
  return lost;
}
