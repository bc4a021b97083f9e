// Few cuts and little imbalance: best fit decreasing, a job cut only where it fits nowhere whole (packing.ts), with the
// smallest payload T, from its lower bound upward, that places everything.
//
// Packing cuts at most P − 1 times, and payload ⌈area⌉ + A + c − q always suffices (proofs there), so pieces ≤ jobs +
// P − 1, partial slots ≤ 2(P − 1), and makespan ≤ OPT + A + c − q: the theorems of `balanced`, with fewer partial states
// and a better fit for more plan time.

import { type LowerBound, lowerBound } from "../bounds.ts";
import { workerCount } from "../device.ts";
import { tileLowerBoundNs } from "../tile-bound.ts";
import { Packing } from "./packing.ts";
import type { LaunchShape, Policy } from "./policy.ts";

const LAUNCH: LaunchShape = { launch: "persistent", merge: "fused" };
/** Payloads differ by LB* / 512 at least: chosen because a fifth of a percent is below what costs are known to. */
const STEPS = 512;

const bound: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };

export const tight: Policy = {
  name: "tight",
  summary: "best fit, longest job first; a job is cut only where it fits nowhere whole",
  isComparison: false,
  sharesPrefixes: true,
  assign({ jobs, device }, out) {
    const workers = workerCount(device);
    lowerBound(jobs, workers, 0, bound);
    const { lowerBoundNs, quantumNs, sufficientNs } = bound;
    const packing = new Packing(jobs, workers, device.costModel.kvTileTokens);
    const stepNs = Math.max(1, Math.floor(lowerBoundNs / STEPS / quantumNs)) * quantumNs;
    packing.packFrom(tileLowerBoundNs(jobs, workers), Math.max(lowerBoundNs, sufficientNs), stepNs);
    packing.write(out);
    return LAUNCH;
  },
  bound: ({ queryTiles, headCount, workers }) => ({
    workers,
    pieceRecords: queryTiles * headCount + workers - 1,
    partialSlots: 2 * (workers - 1),
    splitJobs: workers - 1,
  }),
};
