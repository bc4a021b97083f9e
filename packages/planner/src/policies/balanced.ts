// The default. All jobs lie on one line in order (request, query tile, head); the line is wrapped around the workers
// with the smallest payload T that places everything, searched upward from LB*.
//
// Loads are multiples of q, the greatest common divisor of the costs. Payload T = ⌈area⌉ + A + c − q always suffices:
// each of the first P − 1 workers either closes with a cut, which costs one further A and leaves at most c − q idle, or
// closes because not even one tile of the next job fits, which leaves at most A + c − q idle. Hence makespan ≤ OPT + A +
// c − q, which is OPT + A where A is a whole number of tiles. A worker boundary cuts at most one job, so pieces ≤ jobs +
// P − 1 and at most 2(P − 1) of them are parts of jobs, whatever the lengths: the workspace of a captured graph never
// has to grow.

import { type LowerBound, lowerBound } from "../bounds.ts";
import { workerCount } from "../device.ts";
import type { Jobs } from "../jobs.ts";
import { PARTIAL, type PieceWriter, WRITE_THROUGH } from "../pieces.ts";
import type { LaunchShape, Policy } from "./policy.ts";

const LAUNCH: LaunchShape = { launch: "persistent", merge: "fused" };

/** LB* with the planning surcharge, where there is one; written by every call. */
const surcharged: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };

export const balanced: Policy = {
  name: "balanced",
  summary: "one line of all jobs, wrapped around the workers with the smallest feasible makespan",
  isComparison: false,
  sharesPrefixes: true,
  assign(input, out) {
    const { jobs, device } = input;
    const workers = workerCount(device);
    const { surchargeTiles, kvTileTokens } = device.costModel;
    let { bound } = input;
    if (surchargeTiles > 0) {
      lowerBound(jobs, workers, surchargeTiles, surcharged);
      bound = surcharged;
    }
    const payloadNs = smallestPayload(jobs, workers, surchargeTiles, bound);
    const leastIdleNs = writePieces(jobs, workers, surchargeTiles, kvTileTokens, payloadNs, out);
    if (surchargeTiles === 0) out.makespanNs = payloadNs - leastIdleNs;
    return LAUNCH;
  },
  bound: ({ queryTiles, headCount, workers }) => ({
    workers,
    // A record is a run of heads; a worker boundary ends one run, and a cut job adds its two ends on top.
    pieceRecords: Math.min(queryTiles * headCount + workers - 1, queryTiles + 3 * (workers - 1)),
    partialSlots: 2 * (workers - 1),
    splitJobs: workers - 1,
  }),
};

/**
 * Smallest payload found that places everything. From LB* upward by the average overflow, which is nearly always enough
 * once or twice but overshoots; then bisection between the last that was too small and the first that was enough (at
 * worst the payload that always suffices), to a 512th.
 */
function smallestPayload(
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  { lowerBoundNs, quantumNs, sufficientNs }: Readonly<LowerBound>,
): number {
  let tooSmallNs = lowerBoundNs;
  let overflowNs = overflow(jobs, workers, surchargeTiles, lowerBoundNs);
  if (overflowNs <= 0) return lowerBoundNs;
  let enoughNs = Math.max(sufficientNs, lowerBoundNs);
  const toleranceNs = Math.max(quantumNs, enoughNs / 256);
  let nextNs = tooSmallNs + Math.max(1, Math.ceil(overflowNs / workers / quantumNs)) * quantumNs;
  while (enoughNs - tooSmallNs > toleranceNs) {
    if (nextNs >= enoughNs) nextNs = tooSmallNs + Math.ceil((enoughNs - tooSmallNs) / 2 / quantumNs) * quantumNs;
    if (nextNs >= enoughNs) break;
    overflowNs = overflow(jobs, workers, surchargeTiles, nextNs);
    if (overflowNs <= 0) enoughNs = nextNs;
    else tooSmallNs = nextNs;
    nextNs = tooSmallNs + Math.floor((enoughNs - tooSmallNs) / 2 / quantumNs) * quantumNs;
  }
  return enoughNs;
}

/**
 * By how many nanoseconds the line overflows workers with payload `payloadNs`; ≤ 0: everything fits. The walk of
 * writePieces without writing, and without visiting the workers that a long job fills alone.
 */
function overflow(jobs: Jobs, workers: number, surchargeTiles: number, payloadNs: number): number {
  const { count, headCount, tiles, kvTileNs, pieceNs } = jobs;
  let worker = 0;
  let leftNs = payloadNs;
  for (let j = 0; j < count; j++) {
    const n = tiles[j]!;
    const c = kvTileNs[j]!;
    const a = pieceNs[j]! + surchargeTiles * c;
    const wholeNs = a + n * c;
    let heads = headCount;
    while (heads > 0) {
      if (wholeNs <= leftNs) {
        const fit = wholeNs === 0 ? heads : Math.floor(leftNs / wholeNs);
        if (fit >= heads) {
          leftNs -= heads * wholeNs;
          break;
        }
        leftNs -= fit * wholeNs;
        heads -= fit;
      }
      worker++;
      const placed = leftNs >= a + c ? Math.floor((leftNs - a) / c) : 0;
      leftNs = payloadNs;
      if (placed === 0 || n === 0) continue;
      let restNs = a + (n - placed) * c;
      if (restNs > payloadNs) {
        const most = Math.floor((payloadNs - a) / c);
        const full = Math.ceil((n - placed) / most) - 1;
        worker += full;
        restNs = a + (n - placed - full * most) * c;
      }
      leftNs = payloadNs - restNs;
      heads--;
    }
  }
  return (worker + 1 - workers) * payloadNs - leftNs;
}

/**
 * Walks the line with a payload for which everything fits and writes the pieces. Returns what the fullest worker has
 * left of its payload, in nanoseconds.
 */
function writePieces(
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  kvTileTokens: number,
  payloadNs: number,
  out: PieceWriter,
): number {
  let leftNs = payloadNs;
  let leastIdleNs = payloadNs;
  for (let j = 0; j < jobs.count; j++) {
    const n = jobs.tiles[j]!;
    const c = jobs.kvTileNs[j]!;
    const a = jobs.pieceNs[j]! + surchargeTiles * c;
    const wholeNs = a + n * c;
    let head = 0;
    while (head < jobs.headCount) {
      if (wholeNs <= leftNs) {
        const fit = wholeNs === 0 ? jobs.headCount : Math.floor(leftNs / wholeNs);
        const run = Math.min(fit, jobs.headCount - head);
        addPiece(out, jobs, j, kvTileTokens, head, run, 0, n);
        leftNs -= run * wholeNs;
        head += run;
        continue;
      }
      const placeable = leftNs >= a + c ? Math.floor((leftNs - a) / c) : 0;
      let placed = n === 0 ? 0 : placeable;
      if (placed > 0) {
        addPiece(out, jobs, j, kvTileTokens, head, 1, 0, placed);
        leftNs -= a + placed * c;
      }
      if (leftNs < leastIdleNs) leastIdleNs = leftNs;
      out.endWorker();
      leftNs = payloadNs;
      if (placed === 0) continue;
      const most = Math.floor((payloadNs - a) / c);
      while (n - placed > most) {
        addPiece(out, jobs, j, kvTileTokens, head, 1, placed, placed + most);
        placed += most;
        leastIdleNs = Math.min(leastIdleNs, payloadNs - a - most * c);
        out.endWorker();
      }
      addPiece(out, jobs, j, kvTileTokens, head, 1, placed, n);
      leftNs = payloadNs - a - (n - placed) * c;
      head++;
    }
  }
  if (leftNs < leastIdleNs) leastIdleNs = leftNs;
  while (out.workers < workers) out.endWorker();
  return leastIdleNs;
}

/** Adds tiles [from, to) of job row j on `headCount` heads. */
function addPiece(
  out: PieceWriter,
  jobs: Jobs,
  j: number,
  kvTileTokens: number,
  head: number,
  headCount: number,
  from: number,
  to: number,
): void {
  const start = jobs.kvStart[j]!;
  const firstTile = start === 0 ? 0 : Math.floor(start / kvTileTokens);
  const isWhole = from === 0 && to === jobs.tiles[j]!;
  out.add(
    jobs.request[j]!,
    head,
    headCount,
    jobs.rowStart[j]!,
    jobs.rows[j]!,
    jobs.tileRows[j]!,
    from === 0 ? start : (firstTile + from) * kvTileTokens,
    to === jobs.tiles[j]! ? jobs.kvEnd[j]! : (firstTile + to) * kvTileTokens,
    isWhole && jobs.leavesPartial[j] === 0 ? WRITE_THROUGH : PARTIAL,
  );
}
