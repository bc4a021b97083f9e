// Wrapping the line of all jobs around workers of one payload T: each worker takes as many whole jobs as fit, then as
// many tiles of the next one, if at least one does.
//
// Greedy is optimal for the order of the line: a worker that starts further along ends no earlier, and neither does one
// with a larger payload. So whether everything fits is monotone in T. A walk takes O(rows of Jobs + workers) steps, with
// at most one row of equal jobs and one cut open at a time, and leaves where on the line each worker ends.

import type { Jobs } from "./jobs.ts";
import { Piece } from "./layout.ts";
import { PARTIAL, type PieceWriter, WRITE_THROUGH } from "./pieces.ts";

/** What a walk found, in nanoseconds: entries of a Float64Array, so that walks make no boxed numbers. */
export const Outcome = {
  /** How much longer the line is than what the workers hold; ≤ 0: everything fits, with so much left over. */
  overflowNs: 0,
  /** What the fullest worker has left: with a payload smaller by this the same walk fits. */
  leastIdleNs: 1,
  /** The least increase of the payload with which any worker takes more: with less the walk is the same. */
  leastStepNs: 2,
  length: 3,
} as const;

/** Where a worker ends: before tile `tile` of the job of row `row` for head `head`. */
export const Boundary = { row: 0, head: 1, tile: 2, stride: 3 } as const;

/** capacity[p]: tiles that a worker has room for in p pieces; grows, and is filled anew by each walk, as far as needed. */
let capacity = new Int32Array(256);
/** What such a worker has left, in nanoseconds, when it is filled. */
let idleNs = new Float64Array(256);
/** Jobs for which the table of capacities is kept: chosen so that it stays in the cache of the core. */
const MOST_TABULATED = 65_536;

/**
 * Walks the line. Pieces are dearer by `surchargeTiles` of their own tiles. Writes `outcome`, and the ends of the workers
 * into `boundaries` (workers × Boundary.stride); where the line needs more workers, only those of the first.
 */
export type Walk = (
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  payloadNs: number,
  outcome: Float64Array,
  boundaries: Int32Array,
) => void;

/** How to walk the line of these jobs: both walks give the same, one of them faster. */
export function walkOf(jobs: Jobs, surchargeTiles: number): Walk {
  return isOneKind(jobs, surchargeTiles) ? walkOneKind : walkAnyKind;
}

/** Whether all jobs have one A > 0 and one c, and few enough tiles for int32. */
function isOneKind({ count, headCount, tiles, pieceNs, kvTileNs }: Jobs, surchargeTiles: number): boolean {
  if (count === 0 || count * headCount > MOST_TABULATED) return false;
  const a = pieceNs[0]!;
  const c = kvTileNs[0]!;
  let sum = 0;
  let differing = 0;
  for (let j = 0; j < count; j++) {
    differing |= (pieceNs[j]! ^ a) | (kvTileNs[j]! ^ c);
    sum += tiles[j]!;
  }
  return differing === 0 && a + surchargeTiles > 0 && sum * headCount < 0x7fff_ffff;
}

/**
 * The walk in whole tiles: what a worker still takes depends on its pieces and tiles alone, without a division. Counts are
 * int32 (isOneKind), and `| 0` keeps them so.
 */
function walkOneKind(
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  payloadNs: number,
  outcome: Float64Array,
  boundaries: Int32Array,
): void {
  const { count, headCount, tiles } = jobs;
  const c = jobs.kvTileNs[0]!;
  const a = jobs.pieceNs[0]! + surchargeTiles * c;
  const mostPieces = count * headCount + 1;
  if (capacity.length <= mostPieces) {
    capacity = new Int32Array(2 * mostPieces);
    idleNs = new Float64Array(2 * mostPieces);
  }
  const room = capacity;
  const idle = idleNs;
  let known = 0;
  let pieces = 0;
  let taken = 0;
  let closed = 0;
  let leastIdleNs = payloadNs;
  let mostIdleNs = -1;
  let leastGapNs = Number.POSITIVE_INFINITY;
  let most = 0;
  let isFull = false;
  for (let j = 0; j < count; j++) {
    const n = tiles[j]!;
    let heads = headCount;
    while (known <= pieces + heads) {
      const restNs = payloadNs - known * a;
      const fitting = restNs < 0 ? -1 : Math.floor(restNs / c) | 0;
      room[known] = fitting;
      idle[known] = restNs - fitting * c;
      if (known === 1) most = fitting;
      known++;
    }
    const rowTiles = Math.imul(heads, n);
    if (((taken + rowTiles) | 0) <= room[pieces + heads]!) {
      pieces = (pieces + heads) | 0;
      taken = (taken + rowTiles) | 0;
      continue;
    }
    for (;;) {
      let placed = (room[pieces + 1]! - taken) | 0;
      while (n <= placed) {
        taken = (taken + n) | 0;
        pieces = (pieces + 1) | 0;
        if (--heads === 0) break;
        placed = (room[pieces + 1]! - taken) | 0;
      }
      if (heads === 0) break;
      if (placed <= 0) {
        const leftNs = payloadNs - pieces * a - taken * c;
        const gapNs = (n === 0 ? a : a + c) - leftNs;
        if (leftNs < leastIdleNs) leastIdleNs = leftNs;
        if (gapNs < leastGapNs) leastGapNs = gapNs;
        if (closed < workers) setBoundary(boundaries, closed, j, headCount - heads, 0);
        closed++;
        pieces = 0;
        taken = 0;
        continue;
      }
      const leftNs = idle[pieces + 1]!;
      if (leftNs < leastIdleNs) leastIdleNs = leftNs;
      if (leftNs > mostIdleNs) mostIdleNs = leftNs;
      if (closed < workers) setBoundary(boundaries, closed, j, headCount - heads, placed);
      closed++;
      while (((n - placed) | 0) > most) {
        isFull = true;
        placed = (placed + most) | 0;
        if (closed < workers) setBoundary(boundaries, closed, j, headCount - heads, placed);
        closed++;
      }
      pieces = 1;
      taken = (n - placed) | 0;
      if (--heads === 0) break;
    }
  }
  if (isFull) {
    leastIdleNs = Math.min(leastIdleNs, idle[1]!);
    mostIdleNs = Math.max(mostIdleNs, idle[1]!);
  }
  // A worker that ends with a cut takes another tile once its idle time has grown to c.
  const leastStepNs = mostIdleNs < 0 ? leastGapNs : Math.min(leastGapNs, c - mostIdleNs);
  const leftNs = payloadNs - pieces * a - taken * c;
  endWalk(closed, workers, payloadNs, leftNs, Math.min(leftNs, leastIdleNs), leastStepNs, count, outcome, boundaries);
}

/** The walk in nanoseconds, for jobs of several kinds. */
function walkAnyKind(
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  payloadNs: number,
  outcome: Float64Array,
  boundaries: Int32Array,
): void {
  const { count, headCount, tiles, kvTileNs, pieceNs, wholeNs } = jobs;
  let closed = 0;
  let leftNs = payloadNs;
  let leastIdleNs = payloadNs;
  let leastStepNs = Number.POSITIVE_INFINITY;
  for (let j = 0; j < count; j++) {
    const n = tiles[j]!;
    const c = kvTileNs[j]!;
    const a = pieceNs[j]! + surchargeTiles * c;
    const jobNs = wholeNs[j]! + surchargeTiles * c;
    if (headCount * jobNs <= leftNs) {
      leftNs -= headCount * jobNs;
      continue;
    }
    const leastNs = n === 0 ? a : a + c;
    const most = Math.floor((payloadNs - a) / c);
    let heads = headCount;
    for (;;) {
      if (jobNs <= leftNs) {
        const fit = Math.min(heads, Math.floor(leftNs / jobNs));
        leftNs -= fit * jobNs;
        heads -= fit;
        if (heads === 0) break;
      }
      const isCut = leftNs >= leastNs;
      let placed = isCut ? Math.floor((leftNs - a) / c) : 0;
      if (isCut) leftNs -= a + placed * c;
      const stepNs = (isCut ? c : leastNs) - leftNs;
      if (leftNs < leastIdleNs) leastIdleNs = leftNs;
      if (stepNs < leastStepNs) leastStepNs = stepNs;
      if (closed < workers) setBoundary(boundaries, closed, j, headCount - heads, placed);
      closed++;
      leftNs = payloadNs;
      if (!isCut) continue;
      for (; n - placed > most; closed++) {
        placed += most;
        if (closed < workers) setBoundary(boundaries, closed, j, headCount - heads, placed);
        const fullNs = payloadNs - a - most * c;
        if (fullNs < leastIdleNs) leastIdleNs = fullNs;
        if (c - fullNs < leastStepNs) leastStepNs = c - fullNs;
      }
      leftNs -= a + (n - placed) * c;
      if (--heads === 0) break;
    }
  }
  endWalk(closed, workers, payloadNs, leftNs, Math.min(leftNs, leastIdleNs), leastStepNs, count, outcome, boundaries);
}

export function setBoundary(boundaries: Int32Array, worker: number, row: number, head: number, tile: number): void {
  const at = worker * Boundary.stride;
  boundaries[at + Boundary.row] = row;
  boundaries[at + Boundary.head] = head;
  boundaries[at + Boundary.tile] = tile;
}

/** Ends the worker that is open, and those without work, at the end of the line. */
export function endWalk(
  closed: number,
  workers: number,
  payloadNs: number,
  leftNs: number,
  leastIdleNs: number,
  leastStepNs: number,
  rows: number,
  outcome: Float64Array,
  boundaries: Int32Array,
): void {
  for (let w = closed; w < workers; w++) setBoundary(boundaries, w, rows, 0, 0);
  outcome[Outcome.overflowNs] = (closed + 1 - workers) * payloadNs - leftNs;
  outcome[Outcome.leastIdleNs] = leastIdleNs;
  outcome[Outcome.leastStepNs] = leastStepNs;
}

/** Most records that the line becomes: a row ends one, a boundary ends one, and a job that it cuts has two ends more. */
export function mostRecords(rows: number, headCount: number, workers: number): number {
  return Math.min(rows * headCount + workers - 1, rows + 3 * (workers - 1));
}

/** Writes the pieces of a walk in which everything fitted: the line, cut at the boundaries. */
export function writeLine(jobs: Jobs, workers: number, boundaries: Int32Array, out: PieceWriter): void {
  const { count, headCount, request, rowStart, rows, tileRows, kvStart, kvEnd, kvTileTokens, leavesPartial } = jobs;
  out.reserve(mostRecords(count, headCount, workers), workers);
  const { records, partialAt, workerIndptr } = out;
  let at = 0;
  let partials = 0;
  let wholePartials = 0;
  let cuts = 0;
  let row = 0;
  let head = 0;
  /** First token of the cut job's part that comes next; −1: the next job is whole so far. */
  let from = -1;
  for (let w = 0, end = 0; w < workers; w++, end += Boundary.stride) {
    const endRow = boundaries[end + Boundary.row]!;
    const endHead = boundaries[end + Boundary.head]!;
    const endTile = boundaries[end + Boundary.tile]!;
    while (row < endRow || (row === endRow && head < endHead)) {
      const isRest = from >= 0;
      const run = isRest ? 1 : (row === endRow ? endHead : headCount) - head;
      const isPartial = isRest || leavesPartial[row] !== 0;
      if (isPartial) {
        partialAt[partials++] = at;
        wholePartials += run - 1;
      }
      const slot = isPartial ? PARTIAL : WRITE_THROUGH;
      records[at + Piece.request] = request[row]!;
      records[at + Piece.head] = head;
      records[at + Piece.headCount] = run;
      records[at + Piece.rowStart] = rowStart[row]!;
      records[at + Piece.rows] = rows[row]! | (tileRows[row]! << 16);
      records[at + Piece.kvStart] = isRest ? from : kvStart[row]!;
      records[at + Piece.kvEnd] = kvEnd[row]!;
      records[at + Piece.slot] = slot;
      at = (at + Piece.stride) | 0;
      from = -1;
      head += run;
      if (head === headCount) {
        head = 0;
        row++;
      }
    }
    if (endTile > 0) {
      // Cuts lie on absolute multiples of a KV tile.
      const start = kvStart[row]!;
      const to = (start === 0 ? 0 : start - (start % kvTileTokens)) + Math.imul(endTile, kvTileTokens);
      partialAt[partials++] = at;
      records[at + Piece.request] = request[row]!;
      records[at + Piece.head] = head;
      records[at + Piece.headCount] = 1;
      records[at + Piece.rowStart] = rowStart[row]!;
      records[at + Piece.rows] = rows[row]! | (tileRows[row]! << 16);
      records[at + Piece.kvStart] = from < 0 ? start : from;
      records[at + Piece.kvEnd] = to;
      records[at + Piece.slot] = PARTIAL;
      at = (at + Piece.stride) | 0;
      cuts++;
      from = to;
    }
    workerIndptr[w + 1] = (at / Piece.stride) | 0;
  }
  out.recordCount = (at / Piece.stride) | 0;
  out.workers = workers;
  out.pieceCount = count * headCount + cuts;
  out.partialRecords = partials;
  out.partialCount = partials + wholePartials;
}
