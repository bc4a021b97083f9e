// FlashAttention 2 over a paged KV cache with variable lengths, as vLLM launches it where FA3 does not run (Ampere, Ada,
// consumer Blackwell): a grid of CTAs of 64 query rows, 128 KV tokens a block.
//
// Batches of decodes pack the heads of a group and are split, all requests into the same number of parts. With one longer
// request in the batch nothing is packed and nothing is split: every query head is a CTA of its own, and those of a group
// read the same KV. `fa2-paged` chooses the parts from the batch (an eager launch); `fa2-paged-graph` is what a captured
// graph replays: the batch is padded to the captured size, and parts are chosen for the longest context there is.

import { visibleEnd, visibleStart } from "../jobs.ts";
import { PARTIAL, type PieceWriter, WRITE_THROUGH } from "../pieces.ts";
import { FA_BLOCK_TOKENS, faLongestBlocks } from "./flash-attention.ts";
import type { LaunchShape, Policy, PolicyInput } from "./policy.ts";

const TILE_ROWS = 64;

/** 80 KiB of shared memory at head dimension 128, of the 100 KiB of compute capability 8.6, 8.9 and 12.0. */
const CTAS_PER_SM = 1;

/** The heuristic takes two CTAs for each SM, whether they fit or not. */
const ASSUMED_CTAS_PER_SM = 2;

const MOST_SPLITS = 128;

/** KV blocks of the context that a graph is captured for: 131,072 tokens. */
const CAPTURED_BLOCKS = 1024;

export const fa2Paged: Policy = {
  name: "fa2-paged",
  summary: "FlashAttention 2 with pages (vLLM before Hopper): decodes in equal parts, mixed batches never split",
  isComparison: true,
  assign: (input, out) =>
    isDecode(input) ? assignDecodes(input, out, input.requestCount, faLongestBlocks(input)) : assignHeads(input, out),
  bound: undefined,
};

export const fa2PagedGraph: Policy = {
  name: "fa2-paged-graph",
  summary: "The same, as a captured graph replays batches of decodes: padded, parts chosen for the longest context",
  isComparison: true,
  assign: (input, out) =>
    isDecode(input)
      ? assignDecodes(input, out, capturedSize(input.requestCount), CAPTURED_BLOCKS)
      : assignHeads(input, out),
  bound: undefined,
};

/** vLLM captures 1, 2, 4, multiples of 8 up to 256, multiples of 16 up to 512; larger batches are not replayed. */
export function capturedSize(requests: number): number {
  if (requests <= 2 || requests > 512) return requests;
  if (requests <= 4) return 4;
  const step = requests <= 256 ? 8 : 16;
  return Math.ceil(requests / step) * step;
}

function isDecode(input: PolicyInput): boolean {
  for (let i = 0; i < input.requestCount; i++) if (input.qoLens[i]! > 1) return false;
  return true;
}

/**
 * num_splits_heuristic of FlashAttention 2: 1 where the tiles nearly fill the SMs, else the fewest parts whose waves are at
 * least 85 % as full as the fullest. Numbers of parts that do not make them shorter are passed over.
 */
function splitCount(tiles: number, places: number, blocks: number): number {
  if (tiles >= 0.8 * places || tiles === 0) return 1;
  const most = Math.min(MOST_SPLITS, places, blocks);
  const efficiency = (splits: number): number => {
    if (splits > 1 && Math.ceil(blocks / splits) === Math.ceil(blocks / (splits - 1))) return 0;
    const waves = (tiles * splits) / places;
    return waves / Math.ceil(waves);
  };
  let best = 0;
  for (let splits = 1; splits <= most; splits++) best = Math.max(best, efficiency(splits));
  for (let splits = 1; splits <= most; splits++) if (efficiency(splits) >= 0.85 * best) return splits;
  return 1;
}

/** Every request in `splits` parts of equally many blocks; order of the grid: split, then head, then request. */
function assignDecodes(input: PolicyInput, out: PieceWriter, launched: number, blocks: number): LaunchShape {
  const { attention, device, requestCount, qoLens, kvLens } = input;
  const { kvHeads, queryHeads } = attention;
  const rows = queryHeads / kvHeads;
  const rowTiles = Math.ceil(rows / TILE_ROWS);
  const splits = splitCount(launched * kvHeads * rowTiles, ASSUMED_CTAS_PER_SM * device.smCount, blocks);
  const slot = splits > 1 ? PARTIAL : WRITE_THROUGH;
  const add = (request: number, head: number, split: number): void => {
    for (let tile = 0; tile < rowTiles; tile++) addTile(request, head, split, tile * TILE_ROWS);
  };
  const addTile = (request: number, head: number, split: number, rowStart: number): void => {
    if (qoLens[request] !== 0) {
      const end = visibleEnd(attention, 1, kvLens[request]!, 0);
      const start = Math.min(end, visibleStart(attention, 1, kvLens[request]!, 0));
      const part = Math.ceil(Math.ceil(end / FA_BLOCK_TOKENS) / splits) * FA_BLOCK_TOKENS;
      const kvStart = Math.min(end, Math.max(start, split * part));
      const kvEnd = Math.max(kvStart, Math.min(end, (split + 1) * part));
      // Parts beyond the end of a request exit at once.
      const tileRows = Math.min(TILE_ROWS, rows - rowStart);
      if (kvEnd > kvStart || split === 0) {
        out.add(request, head, 1, rowStart, tileRows, TILE_ROWS, kvStart, kvEnd, slot);
      }
    }
    out.endWorker();
  };
  if (splits === 1) {
    for (let head = 0; head < kvHeads; head++) for (let i = 0; i < requestCount; i++) add(i, head, 0);
  } else {
    for (let i = 0; i < requestCount; i++) {
      for (let head = 0; head < kvHeads; head++) for (let split = 0; split < splits; split++) add(i, head, split);
    }
  }
  return { launch: "grid", merge: splits > 1 ? "separate" : "none", ctasPerSm: CTAS_PER_SM };
}

/**
 * One CTA for each 64 query tokens of a query head; order of the grid: tile, then request, then head. The grid has as many
 * tiles for every request as the longest one has: the CTAs beyond a request's own tiles exit at once.
 */
function assignHeads(input: PolicyInput, out: PieceWriter): LaunchShape {
  const { attention, requestCount, qoLens, kvLens } = input;
  let longest = 0;
  for (let i = 0; i < requestCount; i++) longest = Math.max(longest, qoLens[i]!);
  for (let head = 0; head < attention.queryHeads; head++) {
    for (let i = 0; i < requestCount; i++) {
      const qoLen = qoLens[i]!;
      for (let rowStart = 0; rowStart < longest; rowStart += TILE_ROWS) {
        if (rowStart >= qoLen) {
          out.endWorker();
          continue;
        }
        const rows = Math.min(TILE_ROWS, qoLen - rowStart);
        const end = visibleEnd(attention, qoLen, kvLens[i]!, rowStart + rows - 1);
        const start = Math.min(end, visibleStart(attention, qoLen, kvLens[i]!, rowStart));
        out.add(i, head, 1, rowStart, rows, TILE_ROWS, start, end, WRITE_THROUGH);
        out.endWorker();
      }
    }
  }
  return { launch: "grid", merge: "none", ctasPerSm: CTAS_PER_SM, packsGroup: false };
}
