// What pieces of this package's kernel cost, for the planner.

import type { CostModel } from "@isochron/planner";

/**
 * Hopper, head dimension 128, 16-bit KV, two workers on each SM; measured on an H100 (docs/performance.md).
 *
 * Tiles of 16 rows are bound by memory: 264 CTAs that each read t tiles of 32 KiB take 1.5 + 2.83 t µs (microbenchmark
 * `piece_time`), and a piece costs about as much as one tile more. Tiles of 64 rows take 1.3 µs, and 3.5 µs a piece, where
 * all workers have them; next to decodes, which then share memory among fewer, the exchange rate is about 1 : 1. Only
 * ratios matter to a plan, so both numbers are doubled.
 */
export const HOPPER_COSTS: CostModel = {
  kvTileTokens: 64,
  queryTiles: [
    { rows: 16, pieceNs: 2500, kvTileNs: 2830 },
    { rows: 64, pieceNs: 4000, kvTileNs: 2700 },
    { rows: 128, pieceNs: 4000, kvTileNs: 2800 },
  ],
  mergeNs: 1500,
  mergePartialNs: 40,
  surchargeTiles: 1,
};
