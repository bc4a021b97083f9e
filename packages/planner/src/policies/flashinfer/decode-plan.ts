// FlashInfer's planner for batch decode on CUDA cores (DecodePlan): one chunk size for all requests, the smallest with
// which all CTAs are resident at once. Nothing is split as soon as one CTA for each request and KV head fills the GPU.

import { IntList } from "./int-list.ts";
import type { FlashInferInput } from "./native.ts";
import { ceilDiv, FlashInferLimitError, smallestChunkPages } from "./native.ts";
import { Workspace } from "./workspace.ts";

/** What DecodePlan emits, under FlashInfer's names. CTA (x, y) handles chunk kv_tile_indices[x] of KV head y. */
export interface DecodePlan {
  readonly split_kv: boolean;
  /** CTAs that are resident at once. */
  readonly max_grid_size: number;
  /** Columns of the launch grid; those from new_batch_size on exit at once. */
  readonly padded_batch_size: number;
  readonly new_batch_size: number;
  /** Tokens of one chunk. */
  readonly kv_chunk_size: number;
  readonly request_indices: Int32Array;
  readonly kv_tile_indices: Int32Array;
  /** Partial rows before each request. */
  readonly o_indptr: Int32Array;
  /** Columns marked as valid; absent where nothing is split, as the mask is. */
  readonly block_valid_count?: number;
  readonly v_offset: number;
  readonly s_offset: number;
  readonly int_workspace_bytes: number;
}

/** Query heads for each KV head that the CUDA-core kernel is compiled for. */
export const DECODE_GROUP_SIZES: readonly number[] = [1, 2, 3, 4, 6, 8];

/** Plans as FlashInfer does. Throws FlashInferLimitError for a group size without a kernel and where a graph overruns. */
export function planDecode(input: FlashInferInput): DecodePlan {
  const { batch_size, kv_indptr, num_kv_heads, num_qo_heads, page_size, enable_cuda_graph } = input;
  const group = Math.floor(num_qo_heads / num_kv_heads);
  if (!DECODE_GROUP_SIZES.includes(group)) {
    throw new FlashInferLimitError("decode", "group size", group, `one of ${DECODE_GROUP_SIZES.join(", ")}`);
  }
  if (input.occ === undefined)
    throw new FlashInferLimitError("decode", "occ", Number.NaN, "an occupancy of at least 1");
  const maxGridSize = input.occ * input.num_sm;
  const isFull = batch_size * num_kv_heads >= maxGridSize;
  const chunkPages = isFull ? largestRequestPages(input) : smallestResidentChunk(input, maxGridSize);

  const requestIndices = new IntList();
  const kvTileIndices = new IntList();
  const oIndptr = new IntList();
  oIndptr.push(0);
  for (let request = 0; request < batch_size; request++) {
    const pages = kv_indptr[request + 1]! - kv_indptr[request]!;
    const chunks = ceilDiv(Math.max(pages, 1), chunkPages);
    for (let chunk = 0; chunk < chunks; chunk++) {
      requestIndices.push(request);
      kvTileIndices.push(chunk);
    }
    oIndptr.push(oIndptr.last + chunks);
  }

  const newBatchSize = requestIndices.length;
  const splits = !isFull && (enable_cuda_graph || newBatchSize !== batch_size);
  const graphColumns = splits ? Math.floor(maxGridSize / num_kv_heads) : batch_size;
  const padded = enable_cuda_graph ? graphColumns : newBatchSize;
  if (newBatchSize > padded) {
    throw new FlashInferLimitError("decode", "new_batch_size", newBatchSize, `${padded}, the padded batch size`);
  }

  const ints = new Workspace();
  ints.placeInts(padded);
  ints.placeInts(padded);
  ints.placeInts(padded + 1);
  ints.place(4, 1);
  const floats = new Workspace();
  let vOffset = 0;
  let sOffset = 0;
  if (splits) {
    vOffset = floats.place(num_qo_heads * padded * input.head_dim_vo * 4);
    sOffset = floats.place(num_qo_heads * padded * 4);
    ints.place(padded);
  }
  return {
    split_kv: splits,
    max_grid_size: maxGridSize,
    padded_batch_size: padded,
    new_batch_size: newBatchSize,
    kv_chunk_size: chunkPages * page_size,
    request_indices: requestIndices.view(),
    kv_tile_indices: kvTileIndices.view(),
    o_indptr: oIndptr.view(),
    ...(splits ? { block_valid_count: Math.min(newBatchSize, padded) } : {}),
    v_offset: vOffset,
    s_offset: sOffset,
    int_workspace_bytes: ints.bytes,
  };
}

function largestRequestPages({ batch_size, kv_indptr }: FlashInferInput): number {
  let pages = 1;
  for (let i = 0; i < batch_size; i++) pages = Math.max(pages, kv_indptr[i + 1]! - kv_indptr[i]!);
  return pages;
}

/** Smallest chunk, in pages, whose CTAs fit; requests without KV tokens count as none here, though they get one. */
function smallestResidentChunk(input: FlashInferInput, maxGridSize: number): number {
  const { batch_size, kv_indptr, num_kv_heads } = input;
  let low = smallestChunkPages(input.page_size);
  let high = 0;
  for (let i = 0; i < batch_size; i++) high = Math.max(high, kv_indptr[i + 1]! - kv_indptr[i]!);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    let chunks = 0;
    for (let i = 0; i < batch_size; i++) chunks += ceilDiv(kv_indptr[i + 1]! - kv_indptr[i]!, middle);
    if (chunks * num_kv_heads > maxGridSize) low = middle + 1;
    else high = middle;
  }
  return low;
}
