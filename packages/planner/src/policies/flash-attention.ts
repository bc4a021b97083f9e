// What the FlashAttention policies share: FA3's tiles on Hopper, its rule for the number of splits, and how a split of a
// query tile becomes a piece.

import { visibleEnd, visibleStart } from "../jobs.ts";
import type { PARTIAL, PieceWriter, WRITE_THROUGH } from "../pieces.ts";
import type { PolicyInput } from "./policy.ts";

/** KV tokens of a block: head dimension 128 with a causal mask or pages (hopper/tile_size.h). */
export const FA_BLOCK_TOKENS = 128;
/** The kernel takes one CTA for each SM. */
export const FA_CTAS_PER_SM = 1;

/** The query tile of all requests: 64 rows if the longest one fits, else 128, group heads packed. */
export function faTileRows(input: PolicyInput): number {
  const group = input.attention.queryHeads / input.attention.kvHeads;
  let longest = 0;
  for (let i = 0; i < input.requestCount; i++) longest = Math.max(longest, input.qoLens[i]! * group);
  return longest <= 64 ? 64 : 128;
}

/** Query tiles of a request. */
export function faQueryTiles(input: PolicyInput, request: number, tileRows: number): number {
  const group = input.attention.queryHeads / input.attention.kvHeads;
  return Math.ceil((input.qoLens[request]! * group) / tileRows);
}

/** KV blocks of the longest request. */
export function faLongestBlocks(input: PolicyInput): number {
  let blocks = 0;
  for (let i = 0; i < input.requestCount; i++) {
    blocks = Math.max(blocks, Math.ceil(input.kvLens[i]! / FA_BLOCK_TOKENS));
  }
  return blocks;
}

/**
 * num_splits_heuristic (hopper/heuristics.h): 1 where the tiles nearly fill the SMs or there are at most four blocks, else
 * the fewest splits whose waves are at least 85 % as full as the fullest.
 */
export function faSplitCount(tiles: number, smCount: number, blocks: number): number {
  if (tiles >= 0.8 * smCount || tiles === 0 || blocks <= 4) return 1;
  const most = Math.min(128, smCount, blocks);
  const efficiency = (splits: number): number => {
    const waves = (tiles * splits) / smCount;
    return waves / Math.ceil(waves);
  };
  let best = 0;
  for (let splits = 1; splits <= most; splits++) best = Math.max(best, efficiency(splits));
  for (let splits = 1; splits < most; splits++) if (efficiency(splits) >= 0.85 * best) return splits;
  return most;
}

/** Adds split `split` of `splits` of one query tile: an equal number of the blocks that the tile sees, the rest less. */
export function addFaPiece(
  input: PolicyInput,
  out: PieceWriter,
  request: number,
  head: number,
  qoTile: number,
  tileRows: number,
  split: number,
  splits: number,
  slot: typeof PARTIAL | typeof WRITE_THROUGH,
): void {
  const { attention } = input;
  const group = attention.queryHeads / attention.kvHeads;
  const qoLen = input.qoLens[request]!;
  const kvLen = input.kvLens[request]!;
  const rowStart = qoTile * tileRows;
  const rows = Math.min(tileRows, qoLen * group - rowStart);
  const end = visibleEnd(attention, qoLen, kvLen, Math.floor((rowStart + rows - 1) / group));
  const start = Math.min(end, visibleStart(attention, qoLen, kvLen, Math.floor(rowStart / group)));
  const firstBlock = Math.floor(start / FA_BLOCK_TOKENS);
  const perSplit = Math.ceil((Math.ceil(end / FA_BLOCK_TOKENS) - firstBlock) / splits);
  const bound = (block: number): number => Math.max(start, Math.min(end, (firstBlock + block) * FA_BLOCK_TOKENS));
  const kvStart = bound(split * perSplit);
  const kvEnd = bound((split + 1) * perSplit);
  out.add(request, head, 1, rowStart, rows, tileRows, kvStart, kvEnd, slot);
}
