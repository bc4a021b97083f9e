// Batch-invariant and balanced: a request's bits do not depend on its neighbours, nor on how its jobs are cut.
//
// Query tiles follow from a request's own rows; cuts lie only on a grid of absolute KV positions that follows from its rows
// as well; and the states of the grid's chunks combine in a canonical binary tree (canonical-tree.ts) whichever pieces they
// come from. The line of all jobs is wrapped around the workers as in `balanced`, with cuts on the grid (grid-walk.ts). A
// piece leaves one partial state for each of the at most s tree nodes that cover it (mostStates of the longest request), so the
// 2(P − 1) parts of jobs need at most 2(P − 1)·s slots; a request of one chunk is never cut. Shared prefixes end on the grid as well, among requests with one grid (prefix.ts), so a chunk is computed in one
// piece for a group as for a member alone, and the bits of a request do not depend on what it shares either. Makespan ≤ OPT + A + G − q
// without a surcharge, with G the cost of the dearest chunk: 256 tokens or a 64th of its position for a decode, 4,096 or half for a long prompt.

import { type LowerBound, lowerBound } from "../bounds.ts";
import { mostStates } from "../canonical-tree.ts";
import { type CostModel, workerCount } from "../device.ts";
import { CutGrid, walkOnGrid } from "../grid-walk.ts";
import { mostRecords } from "../wrap-around.ts";
import { wrap, writeWrapped } from "./balanced.ts";
import type { Policy } from "./policy.ts";

/** Least tokens of a chunk. Measured: with 64, a lone request of 1,024 tokens is 10 % faster and all that is larger slower (canonical-tree.ts). */
const GRID_TOKENS = 128;

const bound: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };

export const invariant: Policy = {
  name: "invariant",
  summary: "batch-invariant: the wrapped line cut on a grid of chunks, merged in a canonical tree",
  isComparison: false,
  boundNeedsKvTokens: true,
  sharesPrefixes: true,
  prefixGridTokens: gridTokens,
  assign({ attention, jobs, device, qoLens, groups }, out) {
    const workers = workerCount(device);
    const { surchargeTiles } = device.costModel;
    const mergeGridTokens = gridTokens(device.costModel);
    const grid = new CutGrid(jobs, mergeGridTokens, (owner) => {
      return qoLens[owner < 0 ? groups!.members[-1 - owner]![0]! : owner]! * attention.queryHeads;
    });
    lowerBound(jobs, workers, surchargeTiles, bound);
    // It leaves room for one tile beyond a piece; here it has to be a chunk.
    bound.sufficientNs += grid.dearestChunkNs();
    wrap(jobs, workers, surchargeTiles, bound, walkOnGrid(grid));
    writeWrapped(jobs, workers, out);
    return { launch: "persistent", merge: "fused", mergeGridTokens };
  },
  bound: ({ queryTiles, headCount, workers, maxKvTokens }) => {
    const statesOfPart = mostStates(maxKvTokens!, GRID_TOKENS);
    return {
      workers,
      pieceRecords: mostRecords(queryTiles, headCount, workers),
      partialSlots: 2 * (workers - 1) * statesOfPart,
      splitJobs: workers - 1,
      statesPerPiece: Math.max(1, statesOfPart),
    };
  },
};

/** Unit of the grid: the device's KV tiles have to fill it. A constant of the device, never of the batch. */
function gridTokens({ kvTileTokens }: CostModel): number {
  return Math.ceil(GRID_TOKENS / kvTileTokens) * kvTileTokens;
}
