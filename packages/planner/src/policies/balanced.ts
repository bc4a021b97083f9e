// The default. All jobs lie on one line in order (request, query tile, head); the line is wrapped around the workers
// with the smallest payload T that places everything.
//
// Loads are multiples of q, the greatest common divisor of the costs. Payload T = ⌈area⌉ + A + c − q always suffices:
// each of the first P − 1 workers either closes with a cut, which costs one further A and leaves at most c − q idle, or
// closes because not even one tile of the next job fits, which leaves at most A + c − q idle. Hence makespan ≤ OPT + A +
// c − q, which is OPT + A where A is a whole number of tiles. A worker boundary cuts at most one job, so pieces ≤ jobs +
// P − 1 and at most 2(P − 1) of them are parts of jobs, whatever the lengths: the workspace of a captured graph never
// has to grow. Small batches that another order of jobs serves better are packed instead, within the same bounds.

import { type LowerBound, lowerBound } from "../bounds.ts";
import { workerCount } from "../device.ts";
import type { Jobs } from "../jobs.ts";
import type { PieceWriter } from "../pieces.ts";
import { Boundary, mostRecords, Outcome, type Walk, walkOf, writeLine } from "../wrap-around.ts";
import { Packing } from "./packing.ts";
import type { LaunchShape, Policy } from "./policy.ts";

const LAUNCH: LaunchShape = { launch: "persistent", merge: "fused" };
/** The payload is searched to this fraction of LB*: chosen because costs are not known to a thousandth. */
const TOLERANCE = 1 / 1024;
/** Walks whose overflow says where to look next; bisection follows. Chosen: where lengths vary, these are enough. */
const SECANTS = 3;
/** The payload that always suffices is near LB* when it is longer by less: chosen, an eighth or a quarter do as well. */
const NEAR = 1 / 8;
/** A line that is longer than LB* by less than a sixteenth is left: chosen because packing takes many times as long. */
const COARSE = 16;

/** LB* with the planning surcharge, where there is one; written by every call. */
const surcharged: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
const outcome: Float64Array = new Float64Array(Outcome.length);
/** Boundaries of the shortest walk in which everything fitted, and of the one that is tried. */
let fitting = new Int32Array(0);
let tried = new Int32Array(0);

export const balanced: Policy = {
  name: "balanced",
  summary: "one line of all jobs, wrapped around the workers with the smallest feasible makespan",
  isComparison: false,
  sharesPrefixes: true,
  assign(input, out) {
    const { jobs, device } = input;
    const workers = workerCount(device);
    const { surchargeTiles } = device.costModel;
    let { bound } = input;
    if (surchargeTiles > 0) {
      lowerBound(jobs, workers, surchargeTiles, surcharged);
      bound = surcharged;
    }
    const longestNs = wrap(jobs, workers, surchargeTiles, bound, walkOf(jobs, surchargeTiles));
    if (surchargeTiles === 0) {
      if (packShorter(jobs, workers, bound.lowerBoundNs, longestNs, out)) return LAUNCH;
      out.makespanNs = longestNs;
    }
    writeWrapped(jobs, workers, out);
    return LAUNCH;
  },
  bound: ({ queryTiles, headCount, workers }) => ({
    workers,
    pieceRecords: mostRecords(queryTiles, headCount, workers),
    partialSlots: 2 * (workers - 1),
    splitJobs: workers - 1,
  }),
};

/**
 * Wraps the line with the smallest payload that places everything, to TOLERANCE, leaves the boundaries in `fitting`, and
 * returns the largest load. Feasibility is monotone. The interval that holds the payload shrinks by more than what was
 * tried: what every worker has left is not needed, and what is less than a step is not enough (wrap-around.ts). The line
 * overflows by P less with each nanosecond, changes of the cuts apart, which says where to look next.
 */
export function wrap(
  jobs: Jobs,
  workers: number,
  surchargeTiles: number,
  { lowerBoundNs, sufficientNs }: Readonly<LowerBound>,
  walkLine: Walk,
): number {
  if (fitting.length < workers * Boundary.stride) {
    fitting = new Int32Array(workers * Boundary.stride);
    tried = new Int32Array(workers * Boundary.stride);
  }
  const toleranceNs = lowerBoundNs * TOLERANCE;
  let lowNs = lowerBoundNs;
  let enoughNs = Math.max(sufficientNs, lowerBoundNs);
  let isFound = false;
  // Where lengths vary, a worker loses A and, on average, half a tile. Where that is much, LB* is the better guess.
  const likelyNs = Math.round(sufficientNs - jobs.kvTileNs[0]! / 2);
  const isNear = sufficientNs - lowerBoundNs < lowerBoundNs * NEAR;
  let payloadNs = isNear && likelyNs > lowerBoundNs ? likelyNs : lowerBoundNs;
  for (let walks = 1; ; walks++) {
    walkLine(jobs, workers, surchargeTiles, payloadNs, outcome, tried);
    const overflowNs = outcome[Outcome.overflowNs]!;
    const fits = overflowNs <= 0;
    if (fits) {
      enoughNs = payloadNs - outcome[Outcome.leastIdleNs]!;
      isFound = true;
      const swapped = fitting;
      fitting = tried;
      tried = swapped;
    } else {
      lowNs = payloadNs + outcome[Outcome.leastStepNs]!;
    }
    if (enoughNs - lowNs <= toleranceNs) {
      if (isFound) return enoughNs;
      payloadNs = enoughNs;
      continue;
    }
    // Beyond the estimate by half the tolerance, so that it becomes the other end of the interval.
    payloadNs += Math.round(overflowNs / workers + (fits ? -toleranceNs : toleranceNs) / 2);
    if (payloadNs < lowNs) payloadNs = lowNs;
    if (walks >= SECANTS || payloadNs >= enoughNs) payloadNs = Math.floor((lowNs + enoughNs) / 2);
  }
}

/** Writes the pieces of the last line that was wrapped. */
export function writeWrapped(jobs: Jobs, workers: number, out: PieceWriter): void {
  writeLine(jobs, workers, fitting, out);
}

/**
 * Where workers have a few tiles each, the order of the line can cost more than whole tiles explain. Then jobs are packed
 * as `tight` does, once, if that halves the loss in as many records. Returns whether it did. A loss is less than A + c, so
 * this is for batches of less than COARSE·(A + c) for each worker, and its time is bounded by that. Packing keeps the same
 * bounds on pieces, slots and makespan (packing.ts).
 */
function packShorter(jobs: Jobs, workers: number, lowerBoundNs: number, longestNs: number, out: PieceWriter): boolean {
  const lossNs = longestNs - lowerBoundNs;
  if (lossNs * COARSE <= lowerBoundNs) return false;
  for (let j = 0; j < jobs.count; j++) if (lossNs <= jobs.kvTileNs[j]!) return false;
  const packing = new Packing(jobs, workers, jobs.kvTileTokens);
  if (!packing.fits(longestNs - Math.floor(lossNs / 2))) return false;
  if (packing.recordCount > mostRecords(jobs.count, jobs.headCount, workers)) return false;
  packing.write(out);
  return true;
}
