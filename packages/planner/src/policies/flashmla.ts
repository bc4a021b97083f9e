// FlashMLA's scheduler: requests in order are poured into equal payloads of blocks and cut where a payload ends. The
// schedule is made once and repeated for each KV head and query tile, each on SMs of its own, as FlashMLA ships it.

import { visibleEnd, visibleStart } from "../jobs.ts";
import { PARTIAL, type PieceWriter, WRITE_THROUGH } from "../pieces.ts";
import type { Policy, PolicyInput } from "./policy.ts";

const BLOCK_TOKENS = 64;
/** What a request costs on a worker besides its blocks, in blocks (a literal in FlashMLA for dense decode). */
const FIXED_BLOCKS = 5;
/** Query rows of one CTA. */
const TILE_ROWS = 64;

export const flashMla: Policy = {
  name: "flashmla",
  summary: "FlashMLA: requests wrapped around equal payloads, the same schedule for every KV head and query tile",
  isComparison: true,
  assign(input, out) {
    const { attention, device, requestCount, qoLens } = input;
    const group = attention.queryHeads / attention.kvHeads;
    let queryTiles = 1;
    for (let i = 0; i < requestCount; i++)
      queryTiles = Math.max(queryTiles, Math.ceil((qoLens[i]! * group) / TILE_ROWS));
    const workers = Math.max(1, Math.floor(device.smCount / attention.kvHeads / queryTiles));
    const schedule = pour(input, workers);
    const pieceCounts = new Int32Array(requestCount);
    for (const pieces of schedule) for (const { request } of pieces) pieceCounts[request]!++;
    // Grid order: query tile, then KV head, then worker.
    for (const pieces of schedule) {
      for (let head = 0; head < attention.kvHeads; head++) {
        for (let qoTile = 0; qoTile < queryTiles; qoTile++) {
          for (const piece of pieces) {
            const slot = pieceCounts[piece.request]! > 1 ? PARTIAL : WRITE_THROUGH;
            addPiece(input, out, piece, head, qoTile, slot);
          }
          out.endWorker();
        }
      }
    }
    return { launch: "grid", merge: schedule.length > 1 ? "separate" : "none", ctasPerSm: 1 };
  },
  bound: undefined,
};

/** Blocks [from, to) of a request's line; `isLast` where the line ends with them. */
interface PouredPiece {
  readonly request: number;
  readonly from: number;
  readonly to: number;
  readonly isLast: boolean;
}

/** The pieces of each worker. A worker takes whole requests while they fit, then as many blocks as are left. */
function pour(input: PolicyInput, workers: number): PouredPiece[][] {
  const blocks = Array.from({ length: input.requestCount }, (_, i) => Math.ceil(input.kvLens[i]! / BLOCK_TOKENS));
  const total = blocks.reduce((sum, n) => sum + n + FIXED_BLOCKS, 0);
  const payload = Math.ceil(total / workers) + FIXED_BLOCKS;
  const schedule: PouredPiece[][] = [];
  let request = 0;
  let from = 0;
  for (let worker = 0; worker < workers; worker++) {
    const pieces: PouredPiece[] = [];
    let remaining = payload;
    while (request < blocks.length) {
      const left = blocks[request]! - from;
      if (remaining >= left + FIXED_BLOCKS) {
        pieces.push({ request, from, to: blocks[request]!, isLast: true });
        remaining -= left + FIXED_BLOCKS;
        request++;
        from = 0;
        continue;
      }
      if (remaining > FIXED_BLOCKS) {
        const to = from + remaining - FIXED_BLOCKS;
        pieces.push({ request, from, to, isLast: false });
        from = to;
      }
      break;
    }
    schedule.push(pieces);
  }
  return schedule;
}

/** One query tile's part of a poured piece: clipped to what the tile sees, possibly empty. */
function addPiece(
  input: PolicyInput,
  out: PieceWriter,
  piece: PouredPiece,
  head: number,
  qoTile: number,
  slot: typeof PARTIAL | typeof WRITE_THROUGH,
): void {
  const { attention } = input;
  const { request } = piece;
  const group = attention.queryHeads / attention.kvHeads;
  const qoLen = input.qoLens[request]!;
  const kvLen = input.kvLens[request]!;
  const rowStart = qoTile * TILE_ROWS;
  const rows = Math.min(TILE_ROWS, qoLen * group - rowStart);
  if (rows <= 0) return;
  const end = visibleEnd(attention, qoLen, kvLen, Math.floor((rowStart + rows - 1) / group));
  const start = Math.min(end, visibleStart(attention, qoLen, kvLen, Math.floor(rowStart / group)));
  const clip = (token: number): number => Math.max(start, Math.min(end, token));
  const kvStart = clip(piece.from * BLOCK_TOKENS);
  const kvEnd = piece.isLast ? end : clip(piece.to * BLOCK_TOKENS);
  out.add(request, head, 1, rowStart, rows, TILE_ROWS, kvStart, Math.max(kvStart, kvEnd), slot);
}
