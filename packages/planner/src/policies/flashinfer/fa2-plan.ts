// FlashInfer's planner for FA2 prefill, append and tensor-core decode (PrefillPlan): one query tile size for the batch,
// chosen from its average, and one chunk size, the smallest with which the tiles fit two CTAs on each SM.

import { IntList } from "./int-list.ts";
import type { FlashInferInput } from "./native.ts";
import { ceilDiv, FlashInferLimitError, smallestChunkPages } from "./native.ts";
import { Workspace } from "./workspace.ts";

/** What PrefillPlan emits, under FlashInfer's names. CTA (x, y) handles query tile and chunk x of KV head y. */
export interface Fa2Plan {
  readonly split_kv: boolean;
  readonly cta_tile_q: number;
  /** Columns of the launch grid; those from new_batch_size on exit at once. */
  readonly padded_batch_size: number;
  readonly new_batch_size: number;
  readonly total_num_rows: number;
  /** Tokens of one chunk; null where splitting is off (FlashInfer multiplies the largest int64 and overflows). */
  readonly kv_chunk_size: number | null;
  /** The same as the kernel reads it: the low 32 bits. */
  readonly kv_chunk_size_i32: number;
  readonly max_batch_size_if_split: number;
  readonly request_indices: Int32Array;
  readonly qo_tile_indices: Int32Array;
  readonly kv_tile_indices: Int32Array;
  /** Partial rows before each request. */
  readonly o_indptr: Int32Array;
  /** Partial rows before each query token; null where nothing is split. */
  readonly merge_indptr: Int32Array | null;
  readonly v_offset: number;
  readonly s_offset: number;
  readonly int_workspace_bytes: number;
}

/** CTAs of the FA2 kernel on one SM: a literal in FlashInfer, not an occupancy query. */
export const FA2_CTAS_PER_SM = 2;

/** Plans as FlashInfer does. Throws FlashInferLimitError for an empty batch and where tiles exceed a captured graph. */
export function planFa2(input: FlashInferInput): Fa2Plan {
  const { batch_size, qo_indptr, kv_indptr, num_kv_heads, num_qo_heads, page_size, total_num_rows } = input;
  if (batch_size === 0) throw new FlashInferLimitError("fa2", "batch_size", 0, "at least 1");
  const group = Math.floor(num_qo_heads / num_kv_heads);
  const freeCtas = Math.max(0, FA2_CTAS_PER_SM * input.num_sm - input.num_colocated_ctas);
  const maxTiles = Math.floor(freeCtas / num_kv_heads);
  const { tileRows, graphTiles } = queryTile(input, group);

  const qoTiles = new Float64Array(batch_size);
  const kvPages = new Float64Array(batch_size);
  for (let i = 0; i < batch_size; i++) {
    const pages = kv_indptr[i + 1]! - kv_indptr[i]!;
    qoTiles[i] = ceilDiv((qo_indptr[i + 1]! - qo_indptr[i]!) * group, tileRows);
    kvPages[i] = input.window_left < 0 ? pages : Math.min(pages, ceilDiv(input.window_left + tileRows, page_size));
  }
  const chunk = chooseChunk(input, qoTiles, kvPages, maxTiles);

  const requestIndices = new IntList();
  const qoTileIndices = new IntList();
  const kvTileIndices = new IntList();
  const oIndptr = new IntList();
  const mergeIndptr = new IntList();
  oIndptr.push(0);
  mergeIndptr.push(0);
  let splits = chunk.splits;
  for (let request = 0; request < batch_size; request++) {
    const chunks = ceilDiv(Math.max(kvPages[request]!, 1), chunk.pages);
    if (chunk.isFixed && chunks > 1) splits = true;
    for (let qoTile = 0; qoTile < qoTiles[request]!; qoTile++) {
      for (let kvTile = 0; kvTile < chunks; kvTile++) {
        requestIndices.push(request);
        qoTileIndices.push(qoTile);
        kvTileIndices.push(kvTile);
      }
    }
    const qoLen = qo_indptr[request + 1]! - qo_indptr[request]!;
    for (let row = 0; row < qoLen; row++) mergeIndptr.push(mergeIndptr.last + chunks);
    oIndptr.push(oIndptr.last + qoLen * chunks);
  }

  const newBatchSize = requestIndices.length;
  const padded = input.enable_cuda_graph ? Math.max(maxTiles, graphTiles) : newBatchSize;
  if (newBatchSize > padded) {
    throw new FlashInferLimitError("fa2", "new_batch_size", newBatchSize, `${padded}, the padded batch size`);
  }

  const ints = new Workspace();
  ints.placeInts(padded);
  ints.placeInts(padded);
  ints.placeInts(padded);
  ints.placeInts(batch_size + 1);
  ints.place(4, 1);
  if (input.enable_cuda_graph) ints.placeInts(1);
  const floats = new Workspace();
  let vOffset = 0;
  let sOffset = 0;
  if (splits) {
    vOffset = floats.place(num_qo_heads * padded * tileRows * input.head_dim_vo * 4);
    sOffset = floats.place(num_qo_heads * padded * tileRows * 4);
    ints.placeInts(total_num_rows + 1);
    ints.place(padded);
  }
  return {
    split_kv: splits,
    cta_tile_q: tileRows,
    padded_batch_size: padded,
    new_batch_size: newBatchSize,
    total_num_rows,
    kv_chunk_size: chunk.isOff ? null : chunk.pages * page_size,
    kv_chunk_size_i32: chunk.isOff ? -page_size : (chunk.pages * page_size) | 0,
    max_batch_size_if_split: maxTiles,
    request_indices: requestIndices.view(),
    qo_tile_indices: qoTileIndices.view(),
    kv_tile_indices: kvTileIndices.view(),
    o_indptr: oIndptr.view(),
    merge_indptr: splits ? mergeIndptr.view() : null,
    v_offset: vOffset,
    s_offset: sOffset,
    int_workspace_bytes: ints.bytes,
  };
}

/** Rows of the batch's query tile, and the tiles that a captured graph has room for (0 without a graph). */
function queryTile(input: FlashInferInput, group: number): { tileRows: number; graphTiles: number } {
  const { batch_size, qo_indptr, total_num_rows, uniform_q_len } = input;
  if (!input.enable_cuda_graph) {
    const rows = (qo_indptr[batch_size]! - qo_indptr[0]!) * group;
    return { tileRows: fa2TileRows(Math.floor(rows / batch_size), input), graphTiles: 0 };
  }
  if (uniform_q_len > 0) {
    const tileRows = fa2TileRows(uniform_q_len * group, input);
    return { tileRows, graphTiles: batch_size * ceilDiv(uniform_q_len * group, tileRows) };
  }
  // A graph may be replayed with all rows in one request, so that request chooses the tile.
  const tileRows = fa2TileRows((total_num_rows - batch_size + 1) * group, input);
  return { tileRows, graphTiles: ceilDiv(total_num_rows * group, tileRows) + batch_size - 1 };
}

/** FA2DetermineCtaTileQ on SM80 and later: rows of a query tile for requests of this many packed rows. */
export function fa2TileRows(packedRows: number, dims: { head_dim_qk: number; head_dim_vo: number }): number {
  if (dims.head_dim_vo >= 512) return packedRows <= 32 ? 16 : 32;
  if (dims.head_dim_qk >= 512) return 16;
  if (packedRows > 64 && dims.head_dim_vo < 256) return 128;
  return packedRows > 16 ? 64 : 16;
}

interface Chunk {
  /** More than any request has where splitting is off. */
  readonly pages: number;
  readonly splits: boolean;
  readonly isFixed: boolean;
  readonly isOff: boolean;
}

function chooseChunk(input: FlashInferInput, qoTiles: Float64Array, kvPages: Float64Array, maxTiles: number): Chunk {
  if (input.disable_split_kv) {
    return { pages: Number.MAX_SAFE_INTEGER, splits: false, isFixed: false, isOff: true };
  }
  if (input.fixed_split_size > 0) {
    return { pages: input.fixed_split_size, splits: false, isFixed: true, isOff: false };
  }
  let longest = 1;
  for (const pages of kvPages) longest = Math.max(longest, pages);
  let low = smallestChunkPages(input.page_size);
  let high = longest;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    let tiles = 0;
    for (let i = 0; i < qoTiles.length; i++) tiles += qoTiles[i]! * ceilDiv(Math.max(kvPages[i]!, 1), middle);
    if (tiles > maxTiles) low = middle + 1;
    else high = middle;
  }
  return { pages: low, splits: input.enable_cuda_graph || low < longest, isFixed: false, isOff: false };
}
