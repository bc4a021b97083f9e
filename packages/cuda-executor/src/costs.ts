// What pieces of this package's kernel cost, for the planner.

import type { AttentionShape, CostModel } from "@isochron/planner";

/**
 * Hopper, head dimension 128, 16-bit KV, two workers on each SM; measured on an H100 (docs/performance.md).
 *
 * Tiles of 16 rows are bound by memory: 264 CTAs that each read t tiles of 32 KiB take 1.5 + 2.83 t µs (microbenchmark
 * `piece_time`). Tiles of 128 rows take 1.0 µs of an SM by themselves, 1.35 where other SMs stream KV for decodes at 1.16 µs a
 * tile, and a piece 3.5 µs; an SM has two workers, so that is doubled, and rounded up to what planned mixed batches and shared
 * prefixes best (docs/performance.md). Pieces of 17 to 64 rows are done by half of an SM's warps, in turn, as fast as memory brings
 * their tiles; of 4 to 22 µs a piece, 15 and 18 planned batches of four new tokens best.
 */
const HOPPER_COSTS: CostModel = {
  kvTileTokens: 64,
  queryTiles: [
    { rows: 16, pieceNs: 4000, kvTileNs: 2830 },
    { rows: 64, pieceNs: 15_000, kvTileNs: 2830 },
    { rows: 128, pieceNs: 12_000, kvTileNs: 4000 },
  ],
  mergeNs: 1500,
  mergePartialNs: 40,
  surchargeTiles: 1,
};

/** What a short piece costs for each query head that shares its KV head, up to four: its rows are combined, written and merged. */
const PIECE_ROW_NS = 1000;
const MOST_ROWS = 4;

/**
 * The costs for a shape. A piece of one row costs little; with four and more rows, plans whose pieces cost 4 µs were 1 to 3 %
 * faster where many short requests are cut, and with 32/32 heads 1 % slower (sweep of 0.5 to 6 µs, docs/performance.md).
 */
export function hopperCosts({ queryHeads, kvHeads }: AttentionShape): CostModel {
  const pieceNs = PIECE_ROW_NS * Math.min(MOST_ROWS, Math.ceil(queryHeads / kvHeads));
  const queryTiles = HOPPER_COSTS.queryTiles.map((tile) => (tile.rows === 16 ? { ...tile, pieceNs } : tile));
  return { ...HOPPER_COSTS, queryTiles };
}
