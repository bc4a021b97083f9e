// Batch → jobs. A job is one query tile of one request (or prefix group) for one head, over its visible line of KV tiles.
//
// The jobs of a request for its heads are equal, so one row here stands for `headCount` jobs. Struct of arrays, reused
// from plan to plan: the hot path allocates nothing once the arrays have grown to their size.

import type { AttentionShape } from "./batch.ts";
import { ceilDivide, shiftOf } from "./ceil-divide.ts";
import type { CostModel, QueryTileCost } from "./device.ts";
import { queryTileFor } from "./device.ts";
import type { PrefixGroups } from "./prefix.ts";

/** Jobs of a batch, one row for all heads. Order: request, then query tile. */
export class Jobs {
  /** Rows in use. */
  count: number = 0;
  /** Jobs that each row stands for: heads that share no rows. */
  headCount: number = 1;
  /** KV tokens of one KV tile, and log₂ of it (−1 where it is no power of two). */
  kvTileTokens: number = 64;
  kvTileShift: number = 6;
  /** Request, or −1 − g for shared-prefix group g. */
  request: Int32Array = new Int32Array(0);
  /** Packed query rows [rowStart, rowStart + rows). */
  rowStart: Int32Array = new Int32Array(0);
  /** Packed query rows, without padding. */
  rows: Int32Array = new Int32Array(0);
  /** Rows of the kernel's query tile, padding included. */
  tileRows: Int32Array = new Int32Array(0);
  /** Visible KV tokens [kvStart, kvEnd) of any row of the tile. */
  kvStart: Int32Array = new Int32Array(0);
  /** One past the last of them; equal to kvStart where no row sees anything. */
  kvEnd: Int32Array = new Int32Array(0);
  /** KV tiles that the visible tokens touch; tiles lie on absolute multiples of kvTileTokens. */
  tiles: Int32Array = new Int32Array(0);
  /** A: cost of a piece apart from its tiles, in nanoseconds. */
  pieceNs: Int32Array = new Int32Array(0);
  /** Cost of one KV tile, in nanoseconds. */
  kvTileNs: Int32Array = new Int32Array(0);
  /** 1: even a piece that covers the whole job leaves a partial state, for its rows also attend to a shared prefix. */
  leavesPartial: Uint8Array = new Uint8Array(0);
  /** Cost of the whole job as one piece, pieceNs + tiles × kvTileNs. */
  wholeNs: Float64Array = new Float64Array(0);

  /** Makes room for `capacity` rows. Grows by doubling; keeps what is there. */
  reserve(capacity: number): void {
    if (capacity > this.request.length) this.grow(Math.max(capacity, 2 * this.request.length, 64));
  }

  /** Apart from reserve, which is called for every job: a function with a closure allocates even when it returns at once. */
  private grow(size: number): void {
    const copy = (from: Int32Array): Int32Array => {
      const to = new Int32Array(size);
      to.set(from);
      return to;
    };
    this.request = copy(this.request);
    this.rowStart = copy(this.rowStart);
    this.rows = copy(this.rows);
    this.tileRows = copy(this.tileRows);
    this.kvStart = copy(this.kvStart);
    this.kvEnd = copy(this.kvEnd);
    this.tiles = copy(this.tiles);
    this.pieceNs = copy(this.pieceNs);
    this.kvTileNs = copy(this.kvTileNs);
    const leavesPartial = new Uint8Array(size);
    leavesPartial.set(this.leavesPartial);
    this.leavesPartial = leavesPartial;
    const whole = new Float64Array(size);
    whole.set(this.wholeNs);
    this.wholeNs = whole;
  }
}

/**
 * Fills `jobs` with the jobs of the batch's first `requestCount` requests, group heads packed. With `groups`, those of
 * the shared prefixes come first, and members attend to what follows their prefix.
 */
export function collectJobs(
  jobs: Jobs,
  attention: AttentionShape,
  costModel: CostModel,
  qoLens: ArrayLike<number>,
  kvLens: ArrayLike<number>,
  requestCount: number,
  groups?: PrefixGroups,
): void {
  jobs.count = 0;
  jobs.headCount = attention.kvHeads;
  jobs.kvTileTokens = costModel.kvTileTokens;
  jobs.kvTileShift = shiftOf(costModel.kvTileTokens);
  const group = attention.queryHeads / attention.kvHeads;
  jobs.reserve(requestCount);
  if (groups !== undefined) appendGroups(jobs, attention, costModel, qoLens, groups);
  const { queryTiles } = costModel;
  const firstTile = queryTiles[0]!;
  const isDecodeFast = group <= firstTile.rows && attention.mask.kind !== "sliding-window" && groups === undefined;
  for (let request = 0; request < requestCount; request++) {
    const qoLen = qoLens[request]!;
    if (isDecodeFast && qoLen === 1) {
      appendJob(jobs, request, 0, group, firstTile, 0, kvLens[request]!, 0);
    } else if (qoLen > 0) {
      const path = groups?.pathOf[request];
      const sharedKv = path === undefined || path.length === 0 ? 0 : groups!.kvEnd[path[path.length - 1]!]!;
      appendRequest(jobs, attention, costModel, request, qoLen, kvLens[request]!, sharedKv);
    }
  }
}

/** Appends the jobs of every shared prefix: the packed rows of its members against its own KV range. */
function appendGroups(
  jobs: Jobs,
  attention: AttentionShape,
  costModel: CostModel,
  qoLens: ArrayLike<number>,
  groups: PrefixGroups,
): void {
  for (const [g, members] of groups.members.entries()) {
    const packedRows = groupRows(attention, qoLens, members);
    if (packedRows === 0) continue;
    const tile = queryTileFor(costModel, packedRows);
    for (let rowStart = 0; rowStart < packedRows; rowStart += tile.rows) {
      const rows = Math.min(tile.rows, packedRows - rowStart);
      const { kvStart, kvEnd } = groups;
      appendJob(jobs, -1 - g, rowStart, rows, tile, kvStart[g]!, kvEnd[g]!, 1);
    }
  }
}

/** Packed query rows of a group: those of its members, one after another. */
export function groupRows(attention: AttentionShape, qoLens: ArrayLike<number>, members: ArrayLike<number>): number {
  let tokens = 0;
  for (let m = 0; m < members.length; m++) tokens += qoLens[members[m]!]!;
  return tokens * (attention.queryHeads / attention.kvHeads);
}

/** Appends every query tile of one request. */
function appendRequest(
  jobs: Jobs,
  attention: AttentionShape,
  costModel: CostModel,
  request: number,
  qoLen: number,
  kvLen: number,
  sharedKv: number,
): void {
  const group = attention.queryHeads / attention.kvHeads;
  const packedRows = qoLen * group;
  const tile = queryTileFor(costModel, packedRows);
  for (let rowStart = 0; rowStart < packedRows; rowStart += tile.rows) {
    const rows = Math.min(tile.rows, packedRows - rowStart);
    const firstToken = Math.floor(rowStart / group);
    const lastToken = Math.floor((rowStart + rows - 1) / group);
    const kvEnd = visibleEnd(attention, qoLen, kvLen, lastToken);
    const kvStart = Math.min(kvEnd, Math.max(sharedKv, visibleStart(attention, qoLen, kvLen, firstToken)));
    appendJob(jobs, request, rowStart, rows, tile, kvStart, kvEnd, sharedKv > 0 ? 1 : 0);
  }
}

function appendJob(
  jobs: Jobs,
  request: number,
  rowStart: number,
  rows: number,
  tile: QueryTileCost,
  kvStart: number,
  kvEnd: number,
  leavesPartial: 0 | 1,
): void {
  const j = jobs.count++;
  jobs.reserve(jobs.count);
  const { kvTileTokens } = jobs;
  const before = kvStart === 0 ? 0 : Math.floor(kvStart / kvTileTokens);
  const tiles = kvEnd > kvStart ? ceilDivide(kvEnd, kvTileTokens, jobs.kvTileShift) - before : 0;
  jobs.request[j] = request;
  jobs.rowStart[j] = rowStart;
  jobs.rows[j] = rows;
  jobs.tileRows[j] = tile.rows;
  jobs.kvStart[j] = kvStart;
  jobs.kvEnd[j] = kvEnd;
  jobs.tiles[j] = tiles;
  jobs.pieceNs[j] = tile.pieceNs;
  jobs.kvTileNs[j] = tile.kvTileNs;
  jobs.leavesPartial[j] = leavesPartial;
  jobs.wholeNs[j] = tile.pieceNs + tiles * tile.kvTileNs;
}

/** First KV token that query token `token` of a request sees. */
export function visibleStart(attention: AttentionShape, qoLen: number, kvLen: number, token: number): number {
  if (attention.mask.kind !== "sliding-window") return 0;
  return Math.max(0, kvLen - qoLen + token + 1 - attention.mask.window);
}

/** One past the last KV token that query token `token` of a request sees; 0 or less when it sees none. */
export function visibleEnd(attention: AttentionShape, qoLen: number, kvLen: number, token: number): number {
  if (attention.mask.kind === "full") return kvLen;
  return Math.max(0, Math.min(kvLen, kvLen - qoLen + token + 1));
}
