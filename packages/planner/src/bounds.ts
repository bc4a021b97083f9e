// Lower bounds on the makespan: no schedule of these jobs on these workers is shorter.
//
// LB* is the smallest T with Σ (nᵢcᵢ + Aᵢ·kᵢ(T)) ≤ P·T, where kᵢ(T) = max(1, ⌈nᵢ / ⌊(T − Aᵢ)/cᵢ⌋⌉). In a schedule of
// length T a piece of job i carries at most ⌊(T − Aᵢ)/cᵢ⌋ tiles, so job i needs at least kᵢ(T) pieces and pays Aᵢ for
// each; all of it has to fit into P workers. The left side falls and the right side rises in T. Every load is a sum of
// A's and c's, so a bound may be rounded up to a multiple of their greatest common divisor.

import type { Jobs } from "./jobs.ts";

/** LB* and the step in which loads can differ, both in nanoseconds. */
export interface LowerBound {
  /** LB*; 0 for no jobs. */
  lowerBoundNs: number;
  /** Greatest common divisor of all costs: every possible load is a multiple of it. */
  quantumNs: number;
  /** Payload with which wrapping the line of jobs around the workers always places everything (see balanced.ts). */
  sufficientNs: number;
}

/** Indices of the jobs that one worker cannot take whole at the area bound; grows, and is reused between calls. */
let longJobs = new Int32Array(256);

/**
 * LB* of the jobs on `workers` workers, with each piece dearer by `surchargeTiles` of its own KV tiles (0 for the
 * device's own cost). Writes into `result`. O(jobs) and a binary search over the few jobs longer than the area bound.
 */
export function lowerBound(jobs: Jobs, workers: number, surchargeTiles: number, result: LowerBound): void {
  const { count, headCount, tiles, pieceNs, kvTileNs, wholeNs } = jobs;
  let areaNs = 0;
  let shortestNs = 0;
  let quantumNs = 0;
  let dearestNs = 0;
  let seenPieceNs = -1;
  let seenTileNs = -1;
  for (let j = 0; j < count; j++) {
    const c = kvTileNs[j]!;
    const a = pieceNs[j]! + surchargeTiles * c;
    areaNs += wholeNs[j]! + surchargeTiles * c;
    // A job with tiles has a piece with at least one of them.
    const least = tiles[j]! > 0 ? a + c : a;
    if (least > shortestNs) shortestNs = least;
    if (a !== seenPieceNs || c !== seenTileNs) {
      seenPieceNs = a;
      seenTileNs = c;
      if (a + c > dearestNs) dearestNs = a + c;
      quantumNs = greatestCommonDivisor(quantumNs, greatestCommonDivisor(a, c));
    }
  }
  areaNs *= headCount;
  if (quantumNs === 0) quantumNs = 1;
  result.quantumNs = quantumNs;
  result.sufficientNs = Math.ceil(areaNs / workers / quantumNs) * quantumNs + dearestNs - quantumNs;
  const startNs = Math.ceil(Math.max(areaNs / workers, shortestNs) / quantumNs) * quantumNs;

  let longCount = 0;
  for (let j = 0; j < count; j++) {
    if (wholeNs[j]! + surchargeTiles * kvTileNs[j]! > startNs) {
      if (longCount === longJobs.length) {
        const grown = new Int32Array(2 * longCount);
        grown.set(longJobs);
        longJobs = grown;
      }
      longJobs[longCount++] = j;
    }
  }
  let needNs = areaNs + headCount * splittingNs(jobs, longCount, surchargeTiles, startNs);
  if (needNs <= workers * startNs) {
    result.lowerBoundNs = startNs;
    return;
  }
  // The need falls in T, so T = need(start) / P satisfies the condition: the answer lies in (start, high].
  let high = Math.ceil(needNs / workers / quantumNs);
  let low = startNs / quantumNs;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    needNs = areaNs + headCount * splittingNs(jobs, longCount, surchargeTiles, middle * quantumNs);
    if (needNs <= workers * middle * quantumNs) high = middle;
    else low = middle;
  }
  result.lowerBoundNs = high * quantumNs;
}

/** Σ Aᵢ·(kᵢ(T) − 1) over the long jobs: what splitting costs at least, for one head. */
function splittingNs(jobs: Jobs, longCount: number, surchargeTiles: number, atNs: number): number {
  let sum = 0;
  for (let i = 0; i < longCount; i++) {
    const j = longJobs[i]!;
    const c = jobs.kvTileNs[j]!;
    const a = jobs.pieceNs[j]! + surchargeTiles * c;
    const most = Math.floor((atNs - a) / c);
    sum += a * (Math.ceil(jobs.tiles[j]! / most) - 1);
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  let x = a;
  let y = b;
  while (y !== 0) {
    const rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}
