// What pieces of this package's kernel cost, for the planner.

import type { CostModel } from "@isochron/planner";

/**
 * Hopper, head dimension 128, 16-bit KV, two workers on each SM. Memory-bound tiles: 264 CTAs that each read t tiles of
 * 32 KiB take 1.5 + 2.83 t µs (microbenchmark of one H100, `piece_time`).
 */
export const HOPPER_COSTS: CostModel = {
  kvTileTokens: 64,
  queryTiles: [
    { rows: 16, pieceNs: 2500, kvTileNs: 2830 },
    { rows: 64, pieceNs: 3500, kvTileNs: 1300 },
  ],
  mergeNs: 3000,
  mergePartialNs: 117,
  surchargeTiles: 0,
};
