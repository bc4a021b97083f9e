// FlashAttention 3 with variable lengths: a metadata kernel gives each request splits of at most 1.1 × an SM's fair share
// of blocks and sorts requests longest first; CTAs then take tiles in that order as they come free.

import { PARTIAL, WRITE_THROUGH } from "../pieces.ts";
import {
  addFaPiece,
  FA_BLOCK_TOKENS,
  FA_CTAS_PER_SM,
  faLongestBlocks,
  faQueryTiles,
  faSplitCount,
  faTileRows,
} from "./flash-attention.ts";
import type { Policy } from "./policy.ts";

/** Batches beyond this are not split: the metadata kernel holds 31 requests in each of 32 warps. */
const MOST_REQUESTS = 992;
const MARGIN = 1.1;
/** Of 128 tokens, head dimension 128 and 16 bits in 8 MiB (hopper/flash_prepare_scheduler.cu). */
const BLOCKS_IN_L2 = 128;

export const fa3Varlen: Policy = {
  name: "fa3-varlen",
  summary: "FlashAttention 3 varlen: splits by share of the batch's blocks, longest first, in order of arrival",
  isComparison: true,
  assign(input, out) {
    const { attention, device, requestCount, kvLens, qoLens } = input;
    let longestQuery = 0;
    for (let i = 0; i < requestCount; i++) longestQuery = Math.max(longestQuery, qoLens[i]!);
    const tileRows = faTileRows(input);
    const heads = attention.kvHeads;
    const queryTiles = Array.from({ length: requestCount }, (_, i) => faQueryTiles(input, i, tileRows));
    const blocks = Array.from({ length: requestCount }, (_, i) => Math.ceil(kvLens[i]! / FA_BLOCK_TOKENS));
    const splitsOf = splitCounts(queryTiles, blocks, heads, device.smCount, faLongestBlocks(input));

    // Longest first: KV tokens of one split; with a causal mask less the request's query rows, which see only part of them.
    const isCausal = attention.mask.kind !== "full" && longestQuery > 1;
    const weight = queryTiles.map((tiles, i) => {
      const kvTokens = Math.ceil(blocks[i]! / splitsOf[i]!) * FA_BLOCK_TOKENS;
      return isCausal ? kvTokens - tiles * tileRows : kvTokens;
    });
    const order = queryTiles.map((_, i) => i).sort((a, b) => weight[b]! - weight[a]! || a - b);

    for (const request of order) {
      const splits = splitsOf[request]!;
      const tiles = queryTiles[request]!;
      if (splits === 1 && isCausal) {
        // Longest tiles first, over as many heads as are taken to keep their KV in L2.
        const section = headsInL2(blocks[request]!, heads);
        for (let from = 0; from < heads; from += section) {
          const to = Math.min(heads, from + section);
          for (let qoTile = tiles - 1; qoTile >= 0; qoTile--) {
            for (let head = from; head < to; head++) {
              addFaPiece(input, out, request, head, qoTile, tileRows, 0, 1, WRITE_THROUGH);
              out.endWorker();
            }
          }
        }
        continue;
      }
      for (let head = 0; head < heads; head++) {
        for (let split = 0; split < splits; split++) {
          for (let qoTile = tiles - 1; qoTile >= 0; qoTile--) {
            const slot = splits > 1 ? PARTIAL : WRITE_THROUGH;
            addFaPiece(input, out, request, head, qoTile, tileRows, split, splits, slot);
            out.endWorker();
          }
        }
      }
    }
    const isSplit = splitsOf.some((splits) => splits > 1);
    return { launch: "grid", merge: isSplit ? "separate" : "none", ctasPerSm: FA_CTAS_PER_SM };
  },
  bound: undefined,
};

/** Splits of each request: enough that none exceeds the margin over a fair share, up to what a batch of one would get. */
function splitCounts(
  queryTiles: readonly number[],
  blocks: readonly number[],
  heads: number,
  smCount: number,
  longestBlocks: number,
): number[] {
  if (blocks.length > MOST_REQUESTS) return blocks.map(() => 1);
  const total = blocks.reduce((sum, n, i) => sum + n * queryTiles[i]!, 0);
  const perSm = Math.max(1, Math.ceil((MARGIN * total * heads) / smCount));
  const mostQueryTiles = queryTiles.reduce((most, tiles) => Math.max(most, tiles), 0);
  const cap = faSplitCount(mostQueryTiles * heads, smCount, longestBlocks);
  return blocks.map((n) => Math.max(1, Math.min(Math.ceil(n / perSm), cap)));
}

/** KV heads whose blocks of 64 KiB fit into 8 MiB, an underestimate of L2 that the kernel prefers: a power of two up to 16. */
function headsInL2(blocks: number, heads: number): number {
  let section = 16;
  while (section > 1 && blocks * section > BLOCKS_IN_L2) section /= 2;
  return Math.min(section, heads);
}
