// The cheapest of none, balanced and tight under the cost model, merges included: the policy that may answer "do not
// split".
//
// The price of a plan is when its pieces end (tail-estimate.ts: the makespan, less for a tail with idle neighbours) and,
// where it cuts jobs, the merge work of the busiest worker after it: an upper estimate, as merges of jobs that end early
// hide behind others. A job in k parts is merged from k states one after
// another, so tight is also tried with payloads that grow by a sixteenth as long as the payload alone is below the best
// price: longer payloads cut long jobs into fewer parts. Every candidate keeps to its own theorem, so the bound of `auto`
// is the largest of theirs.

import { type LowerBound, lowerBound } from "../bounds.ts";
import { workerCount } from "../device.ts";
import { IN_SEQUENCE, MergePlan } from "../merge.ts";
import { PieceWriter } from "../pieces.ts";
import { mergeWithPrefixes } from "../prefix-merge.ts";
import { balanced } from "./balanced.ts";
import { none } from "./none.ts";
import { Packing } from "./packing.ts";
import type { LaunchShape, PieceBound, Policy, PolicyInput } from "./policy.ts";
import { estimateEndNs } from "./tail-estimate.ts";
import { tight } from "./tight.ts";

/** One shape for all candidates: a captured graph cannot change between them. Without partial states nothing merges. */
const LAUNCH: LaunchShape = { launch: "persistent", merge: "fused" };
/** Growth of the payloads that are tried: chosen because less hardly changes in how many parts a job is cut. */
const GROWTH = 17 / 16;

const CANDIDATES: readonly Policy[] = [none, balanced, tight];

const merges: MergePlan = new MergePlan();
const bound: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
let best: PieceWriter = new PieceWriter();
let other: PieceWriter = new PieceWriter();

export const auto: Policy = {
  name: "auto",
  summary: "the cheapest of none, balanced and tight, merges included",
  isComparison: false,
  sharesPrefixes: true,
  assign(input, out) {
    const { jobs, device } = input;
    let bestNs = Number.POSITIVE_INFINITY;
    const keepCheaper = (): void => {
      const costNs = priceNs(other, input);
      if (costNs >= bestNs) return;
      bestNs = costNs;
      [best, other] = [other, best];
    };
    for (const policy of CANDIDATES) {
      other.clear();
      policy.assign(input, other);
      keepCheaper();
    }
    const workers = workerCount(device);
    lowerBound(jobs, workers, 0, bound);
    const packing = new Packing(jobs, workers, device.costModel.kvTileTokens);
    for (let payloadNs = bound.lowerBoundNs * GROWTH; payloadNs < bestNs; payloadNs *= GROWTH) {
      if (!packing.fits(Math.ceil(payloadNs))) continue;
      other.clear();
      packing.write(other);
      keepCheaper();
    }
    out.copyFrom(best);
    return LAUNCH;
  },
  bound: (batch) => {
    const bounds = CANDIDATES.map((policy) => policy.bound!(batch));
    const largest = (field: Exclude<keyof PieceBound, "statesPerPiece">): number =>
      Math.max(...bounds.map((one) => one[field]));
    return {
      workers: largest("workers"),
      pieceRecords: largest("pieceRecords"),
      partialSlots: largest("partialSlots"),
      splitJobs: largest("splitJobs"),
    };
  },
};

/** When the pieces and the merges after them end, in nanoseconds. Numbers the slots of `pieces`. */
function priceNs(pieces: PieceWriter, input: PolicyInput): number {
  const { workers } = pieces;
  const { device, groups } = input;
  if (groups === undefined) merges.build(pieces, device.costModel, IN_SEQUENCE);
  else mergeWithPrefixes(merges, pieces, input, groups, IN_SEQUENCE);
  const piecesNs = estimateEndNs(pieces, device);
  return piecesNs + merges.longestNs(workers, device.costModel);
}
