// Batch-invariant and balanced: a request's bits do not depend on its neighbours, nor on how its jobs are cut.
//
// Query tiles follow from a request's own rows; cuts lie only on a fixed grid of absolute KV positions; and the states of
// the grid's chunks combine in a canonical binary tree (canonical-tree.ts) whichever pieces they come from. A piece leaves
// one partial state for each of the at most 2·⌈log₂ chunks⌉ tree nodes that cover it, so the 2(P − 1) parts of jobs (see
// packing.ts) need at most 2(P − 1)·2⌈log₂ C⌉ slots, where C is the number of chunks of the longest request; a request of
// one chunk is never cut. Shared prefixes end on the grid as well (prefix.ts), so a chunk is computed in one piece for a
// group as for a member alone, and the bits of a request do not depend on what it shares either. Makespan ≤ OPT + A + g·c − q with g KV tiles in a chunk.

import { type LowerBound, lowerBound } from "../bounds.ts";
import { type CostModel, workerCount } from "../device.ts";
import { Packing } from "./packing.ts";
import type { Policy } from "./policy.ts";

/** Least tokens of a chunk: chosen as what a short split is in the batch-invariant modes of serving engines. */
const GRID_TOKENS = 256;
/** Payloads differ by LB* / 256 at least: chosen because a chunk of one worker is seldom less. */
const STEPS = 256;

const bound: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };

export const invariant: Policy = {
  name: "invariant",
  summary: "batch-invariant: cuts on a grid of 256 KV tokens, merged in a canonical tree; packed like tight",
  isComparison: false,
  boundNeedsKvTokens: true,
  sharesPrefixes: true,
  prefixGridTokens: gridTokens,
  assign({ jobs, device }, out) {
    const { costModel } = device;
    const workers = workerCount(device);
    lowerBound(jobs, workers, 0, bound);
    const { lowerBoundNs, quantumNs, sufficientNs } = bound;
    const mergeGridTokens = gridTokens(costModel);
    const chunkTiles = mergeGridTokens / costModel.kvTileTokens;
    const packing = new Packing(jobs, workers, costModel.kvTileTokens, chunkTiles);
    const stepNs = Math.max(1, Math.floor(lowerBoundNs / STEPS / quantumNs)) * quantumNs;
    // sufficientNs leaves room for one tile beyond a piece; here it has to be a chunk of the dearest tiles.
    const chunkNs = (chunkTiles - 1) * dearestTileNs(costModel);
    packing.packFrom(lowerBoundNs, Math.max(lowerBoundNs, sufficientNs + chunkNs), stepNs);
    packing.write(out);
    return { launch: "persistent", merge: "fused", mergeGridTokens };
  },
  bound: ({ queryTiles, headCount, workers, maxKvTokens }) => {
    const statesOfPart = 2 * Math.ceil(Math.log2(Math.ceil(maxKvTokens! / GRID_TOKENS)));
    return {
      workers,
      pieceRecords: queryTiles * headCount + workers - 1,
      partialSlots: 2 * (workers - 1) * statesOfPart,
      splitJobs: workers - 1,
      statesPerPiece: Math.max(1, statesOfPart),
    };
  },
};

/** Tokens of a chunk: the device's KV tiles have to fill it. A constant of the device, never of the batch. */
function gridTokens({ kvTileTokens }: CostModel): number {
  return Math.ceil(GRID_TOKENS / kvTileTokens) * kvTileTokens;
}

function dearestTileNs({ queryTiles }: CostModel): number {
  return queryTiles.reduce((dearest, tile) => Math.max(dearest, tile.kvTileNs), 0);
}
