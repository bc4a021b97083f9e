// A sharper lower bound for jobs of one kind (one A and c for all): LB* with whole tiles on whole workers.
//
// LB* lets a worker carry any load up to T. But one with p pieces carries at most f(p) = min(⌊(T − pA)/c⌋, p·n̂) tiles,
// where n̂ is the longest job. The workers hold K(T) pieces at least (see bounds.ts) and all N tiles, so a schedule of
// length T needs P·max { f̂(x) : x ≥ K(T)/P } ≥ N, with f̂ the least concave function that is ≥ f (Jensen). The left side
// rises in T: bisection from LB* to the payload that always suffices. The gain is less than A + c, so it only matters
// where a worker has few tiles; elsewhere, and for jobs of several kinds, the result is LB*.

import { type LowerBound, lowerBound } from "./bounds.ts";
import type { Jobs } from "./jobs.ts";

/** Longer payloads are not looked at: chosen because from 256 tiles for a worker on the gain is below one percent. */
const MOST_TILES = 256;

const simple: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };

/** A lower bound on the makespan of the jobs on `workers` workers, in nanoseconds; at least LB*. */
export function tileLowerBoundNs(jobs: Jobs, workers: number): number {
  lowerBound(jobs, workers, 0, simple);
  const { lowerBoundNs, quantumNs, sufficientNs } = simple;
  const pieceNs = jobs.pieceNs[0] ?? 0;
  const tileNs = jobs.kvTileNs[0] ?? 1;
  if (pieceNs === 0 || !isOneKind(jobs) || sufficientNs > MOST_TILES * Math.min(pieceNs, tileNs)) return lowerBoundNs;
  if (hasRoom(jobs, workers, lowerBoundNs)) return lowerBoundNs;
  let low = lowerBoundNs / quantumNs;
  let high = Math.max(low, sufficientNs / quantumNs);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (hasRoom(jobs, workers, middle * quantumNs)) high = middle;
    else low = middle;
  }
  return high * quantumNs;
}

function isOneKind(jobs: Jobs): boolean {
  for (let j = 1; j < jobs.count; j++) {
    if (jobs.pieceNs[j] !== jobs.pieceNs[0] || jobs.kvTileNs[j] !== jobs.kvTileNs[0]) return false;
  }
  return true;
}

/** Whether P·max { f̂(x) : x ≥ K(T)/P } ≥ N at T = `atNs`. */
function hasRoom(jobs: Jobs, workers: number, atNs: number): boolean {
  const pieceNs = jobs.pieceNs[0]!;
  const tileNs = jobs.kvTileNs[0]!;
  const mostTiles = Math.floor((atNs - pieceNs) / tileNs);
  let tiles = 0;
  let longest = 0;
  let pieces = 0;
  for (let j = 0; j < jobs.count; j++) {
    const n = jobs.tiles[j]!;
    tiles += n;
    if (n > longest) longest = n;
    if (n > 0) pieces += Math.ceil(n / mostTiles);
    else pieces++;
  }
  tiles *= jobs.headCount;
  pieces *= jobs.headCount;
  // In totals over P workers: corner (x, y) stands for x·P pieces and y·P tiles.
  const xs: number[] = [];
  const ys: number[] = [];
  for (let p = 0; p * pieceNs <= atNs; p++) {
    const y = Math.min(Math.floor((atNs - p * pieceNs) / tileNs), p * longest);
    while (xs.length > 1 && isUnderChord(xs, ys, p, y)) {
      xs.pop();
      ys.pop();
    }
    xs.push(p);
    ys.push(y);
  }
  for (let i = 0; i < xs.length; i++) {
    if (workers * xs[i]! >= pieces && workers * ys[i]! >= tiles) return true;
    const next = i + 1;
    if (next === xs.length || workers * xs[i]! > pieces || workers * xs[next]! < pieces) continue;
    // On the edge from corner i to the next, at x = pieces / P; both sides multiplied by P and the edge's width.
    const width = xs[next]! - xs[i]!;
    if (workers * ys[i]! * width + (ys[next]! - ys[i]!) * (pieces - workers * xs[i]!) >= tiles * width) return true;
  }
  return false;
}

/** Whether the last corner lies on or under the line from the one before it to (x, y). */
function isUnderChord(xs: readonly number[], ys: readonly number[], x: number, y: number): boolean {
  const last = xs.length - 1;
  const riseToLast = (ys[last]! - ys[last - 1]!) * (x - xs[last - 1]!);
  const riseToNew = (y - ys[last - 1]!) * (xs[last]! - xs[last - 1]!);
  return riseToLast <= riseToNew;
}
