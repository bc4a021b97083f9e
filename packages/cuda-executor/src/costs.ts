// What pieces of this package's kernel cost, for the planner.

import type { CostModel } from "@isochron/planner";

/**
 * Hopper, head dimension 128, 16-bit KV, two workers on each SM; measured on an H100 (docs/performance.md).
 *
 * Tiles of 16 rows are bound by memory: 264 CTAs that each read t tiles of 32 KiB take 1.5 + 2.83 t µs (microbenchmark
 * `piece_time`), and a piece costs about as much as one tile more. Tiles of 128 rows take 1.0 µs of an SM by themselves, 1.35
 * where other SMs stream KV for decodes at 1.16 µs a tile, and a piece 3.5 µs; an SM has two workers, so that is doubled,
 * and rounded up to what planned mixed batches and shared prefixes best (docs/performance.md). Tiles of 64 rows leave half
 * of an SM's warps idle.
 */
export const HOPPER_COSTS: CostModel = {
  kvTileTokens: 64,
  queryTiles: [
    { rows: 16, pieceNs: 2500, kvTileNs: 2830 },
    { rows: 64, pieceNs: 11_000, kvTileNs: 3600 },
    { rows: 128, pieceNs: 12_000, kvTileNs: 4000 },
  ],
  mergeNs: 1500,
  mergePartialNs: 40,
  surchargeTiles: 1,
};
