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

/** LB* with the planning surcharge; written by every call. */
const planned: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };

export const balanced: Policy = {
  name: "balanced",
  summary: "one line of all jobs, wrapped around the workers with the smallest feasible makespan",
  isComparison: false,
  sharesPrefixes: true,
  assign(input, out) {
    const { jobs, device } = input;
    const workers = workerCount(device);
    const { surchargeTiles, kvTileTokens } = device.costModel;
    const payloadNs = smallestPayload(jobs, workers, surchargeTiles, kvTileTokens);
    wrapAround(jobs, workers, surchargeTiles, kvTileTokens, payloadNs, out);
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
function smallestPayload(jobs: Jobs, workers: number, surchargeTiles: number, kvTileTokens: number): number {
  lowerBound(jobs, workers, surchargeTiles, planned);
  const { lowerBoundNs, quantumNs, sufficientNs } = planned;
  let tooSmallNs = lowerBoundNs;
  let overflowNs = wrapAround(jobs, workers, surchargeTiles, kvTileTokens, lowerBoundNs, undefined);
  if (overflowNs <= 0) return lowerBoundNs;
  let enoughNs = Math.max(sufficientNs, lowerBoundNs);
  for (let attempt = 0; attempt < 2; attempt++) {
    const nextNs = tooSmallNs + Math.max(1, Math.ceil(overflowNs / workers / quantumNs)) * quantumNs;
    if (nextNs >= enoughNs) break;
    overflowNs = wrapAround(jobs, workers, surchargeTiles, kvTileTokens, nextNs, undefined);
    if (overflowNs <= 0) {
      enoughNs = nextNs;
      break;
    }
    tooSmallNs = nextNs;
  }
  const toleranceNs = Math.max(quantumNs, enoughNs / 512);
  while (enoughNs - tooSmallNs > toleranceNs) {
    const middleNs = tooSmallNs + Math.floor((enoughNs - tooSmallNs) / 2 / quantumNs) * quantumNs;
    if (wrapAround(jobs, workers, surchargeTiles, kvTileTokens, middleNs, undefined) <= 0) enoughNs = middleNs;
    else tooSmallNs = middleNs;
  }
  return enoughNs;
}

/**
 * Walks the line with payload `payloadNs` for each worker. Returns by how many nanoseconds the workers overflow (≤ 0:
 * everything fits). Writes pieces when `out` is given, for which everything must fit.
 */
function wrapAround(
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  kvTileTokens: number,
  payloadNs: number,
  out: PieceWriter | undefined,
): number {
  let worker = 0;
  let leftNs = payloadNs;
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
        if (out !== undefined) addPiece(out, jobs, j, kvTileTokens, head, run, 0, n);
        leftNs -= run * wholeNs;
        head += run;
        continue;
      }
      let placed = leftNs > a ? Math.floor((leftNs - a) / c) : 0;
      if (placed > 0 && n > 0) {
        if (out !== undefined) addPiece(out, jobs, j, kvTileTokens, head, 1, 0, placed);
      } else {
        placed = 0;
      }
      out?.endWorker();
      worker++;
      leftNs = payloadNs;
      if (placed === 0) continue;
      const most = Math.floor((payloadNs - a) / c);
      while (n - placed > most) {
        if (out !== undefined) addPiece(out, jobs, j, kvTileTokens, head, 1, placed, placed + most);
        placed += most;
        out?.endWorker();
        worker++;
      }
      if (out !== undefined) addPiece(out, jobs, j, kvTileTokens, head, 1, placed, n);
      leftNs = payloadNs - a - (n - placed) * c;
      head++;
    }
  }
  if (out !== undefined) while (out.workers < workers) out.endWorker();
  return (worker + 1 - workers) * payloadNs - leftNs;
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
  const firstTile = Math.floor(jobs.kvStart[j]! / kvTileTokens);
  const isWhole = from === 0 && to === jobs.tiles[j]!;
  out.add(
    jobs.request[j]!,
    head,
    headCount,
    jobs.rowStart[j]!,
    jobs.rows[j]!,
    jobs.tileRows[j]!,
    from === 0 ? jobs.kvStart[j]! : (firstTile + from) * kvTileTokens,
    to === jobs.tiles[j]! ? jobs.kvEnd[j]! : (firstTile + to) * kvTileTokens,
    isWhole && jobs.leavesPartial[j] === 0 ? WRITE_THROUGH : PARTIAL,
  );
}
