// FlashInfer's planner for multi-head latent attention (MLAPlan): clusters of one or two CTAs, KV lines cut at a common
// limit, works to the least loaded cluster in the order of requests; merging in the same launch, rows dealt to CTAs.

import type { FlashInferInput } from "./native.ts";
import { causalKvEnd, ceilDiv, FlashInferLimitError } from "./native.ts";
import { WorkQueues } from "./work-queues.ts";
import { WorkerHeap } from "./worker-heap.ts";
import { Workspace } from "./workspace.ts";

/** What MLAPlan emits, under FlashInfer's names. Cluster w owns works [work_indptr[w], work_indptr[w + 1]). */
export interface MlaPlan {
  /** CTAs of a cluster. */
  readonly num_blks_x: number;
  /** Clusters. */
  readonly num_blks_y: number;
  readonly num_works: number;
  readonly work_indptr: Int32Array;
  readonly q_indptr: Int32Array;
  readonly kv_indptr: Int32Array;
  /** First partial row; −1 for works that write the final output. */
  readonly partial_indptr: Int32Array;
  readonly q_len: Int32Array;
  readonly kv_len: Int32Array;
  /** First packed query row of the tile. */
  readonly q_start: Int32Array;
  readonly kv_start: Int32Array;
  readonly kv_end: Int32Array;
  /** Rows that each CTA (one entry for each SM) merges: final rows, partial rows, and the distance between partials. */
  readonly merge_packed_offset_start: Int32Array;
  readonly merge_packed_offset_end: Int32Array;
  readonly merge_partial_packed_offset_start: Int32Array;
  readonly merge_partial_packed_offset_end: Int32Array;
  readonly merge_partial_stride: Int32Array;
  readonly partial_o_offset: number;
  readonly partial_lse_offset: number;
  readonly int_workspace_bytes: number;
}

/** Rows of the query tile of one CTA. */
export const MLA_CTA_TILE_ROWS = 64;
const MAX_WORKS = 16_384;
const FIELD_COUNT = 8;

/** Plans as FlashInfer does. Throws FlashInferLimitError where its arrays are too short (it does not check them all). */
export function planMla(input: FlashInferInput): MlaPlan {
  const { batch_size, kv_len, num_sm, qo_indptr } = input;
  if (batch_size === 0) throw new FlashInferLimitError("mla", "batch_size", 0, "at least 1");
  const heads = input.num_qo_heads;
  const rows = (qo_indptr[batch_size]! - qo_indptr[0]!) * heads;
  const clusterCtas = Math.floor(rows / batch_size) > MLA_CTA_TILE_ROWS ? 2 : 1;
  const clusters = Math.floor(num_sm / clusterCtas);
  if (clusters === 0) throw new FlashInferLimitError("mla", "num_sm", num_sm, `at least ${clusterCtas}`);
  const tileRows = clusterCtas * MLA_CTA_TILE_ROWS;

  const kvEnd = (request: number, qoTile: number, qoTiles: number): number => {
    const qoLen = qo_indptr[request + 1]! - qo_indptr[request]!;
    return input.causal ? causalKvEnd(qoLen, kv_len[request]!, qoTile, tileRows, qoTiles, heads) : kv_len[request]!;
  };
  let totalKv = 0;
  for (let request = 0; request < batch_size; request++) {
    const qoTiles = ceilDiv((qo_indptr[request + 1]! - qo_indptr[request]!) * heads, tileRows);
    for (let qoTile = 0; qoTile < qoTiles; qoTile++) totalKv += kvEnd(request, qoTile, qoTiles);
  }
  const limit = roundedLimit(Math.max(ceilDiv(totalKv, clusters), 1));

  const heap = new WorkerHeap(clusters);
  const queues = new WorkQueues(clusters, FIELD_COUNT);
  const merges = new MergeList(num_sm);
  let partialRows = 0;
  for (let request = 0; request < batch_size; request++) {
    const qoStart = qo_indptr[request]!;
    const qoLen = qo_indptr[request + 1]! - qoStart;
    const qoTiles = ceilDiv(qoLen * heads, tileRows);
    for (let qoTile = qoTiles - 1; qoTile >= 0; qoTile--) {
      const end = kvEnd(request, qoTile, qoTiles);
      const isSplit = end > limit;
      const firstRow = qoTile * tileRows;
      const tileUsed = Math.min(tileRows, qoLen * heads - firstRow);
      if (isSplit) {
        const rowChunks = Math.max(Math.floor((end * clusterCtas) / limit), 1);
        const partialEnd = partialRows + ceilDiv(end, limit) * tileUsed;
        merges.addTile(qoStart * heads + firstRow, tileUsed, rowChunks, partialRows, partialEnd);
      }
      let start = 0;
      do {
        const chunk = Math.min(end - start, limit);
        const at = queues.add(heap.assign(tileRows, chunk));
        const { values } = queues;
        values[at] = qoStart;
        values[at + 1] = input.kv_indptr[request]!;
        values[at + 2] = isSplit ? partialRows : -1;
        values[at + 3] = qoLen;
        values[at + 4] = kv_len[request]!;
        values[at + 5] = firstRow;
        values[at + 6] = start;
        values[at + 7] = start + chunk;
        if (isSplit) partialRows += tileUsed;
        start += chunk;
      } while (start < end);
    }
  }
  if (queues.count > MAX_WORKS) throw new FlashInferLimitError("mla", "num_works", queues.count, `${MAX_WORKS}`);

  const ints = new Workspace();
  // Three arrays of works, five of merges, five of works, and work_indptr with room for as many.
  for (const length of [MAX_WORKS, MAX_WORKS, MAX_WORKS]) ints.placeInts(length);
  for (const length of [num_sm, num_sm, num_sm, num_sm, num_sm]) ints.placeInts(length);
  for (let array = 0; array < 6; array++) ints.placeInts(MAX_WORKS);
  const floats = new Workspace();
  const [q_indptr, kv_indptr, partial_indptr, q_len, kv_lens, q_start, kv_start, kv_end] = queues.columns() as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  return {
    num_blks_x: clusterCtas,
    num_blks_y: clusters,
    num_works: queues.count,
    work_indptr: queues.indptr(),
    q_indptr,
    kv_indptr,
    partial_indptr,
    q_len,
    kv_len: kv_lens,
    q_start,
    kv_start,
    kv_end,
    merge_packed_offset_start: merges.rowStart,
    merge_packed_offset_end: merges.rowEnd,
    merge_partial_packed_offset_start: merges.partialStart,
    merge_partial_packed_offset_end: merges.partialEnd,
    merge_partial_stride: merges.stride,
    partial_o_offset: floats.place(2 * clusters * tileRows * 2 * input.head_dim_vo),
    partial_lse_offset: floats.place(2 * clusters * tileRows * 4),
    int_workspace_bytes: ints.bytes,
  };
}

/** Merge work of each CTA: the rows of a split tile are dealt, in equal chunks, to the next CTAs. */
class MergeList {
  readonly rowStart: Int32Array;
  readonly rowEnd: Int32Array;
  readonly partialStart: Int32Array;
  readonly partialEnd: Int32Array;
  readonly stride: Int32Array;
  private count = 0;

  constructor(ctas: number) {
    this.rowStart = new Int32Array(ctas);
    this.rowEnd = new Int32Array(ctas);
    this.partialStart = new Int32Array(ctas);
    this.partialEnd = new Int32Array(ctas);
    this.stride = new Int32Array(ctas);
  }

  addTile(firstRow: number, rows: number, rowChunks: number, partialStart: number, partialEnd: number): void {
    const chunkRows = ceilDiv(rows, rowChunks);
    for (let offset = 0; offset < rows; offset += chunkRows) {
      const cta = this.count++;
      if (cta >= this.rowStart.length) {
        throw new FlashInferLimitError(
          "mla",
          "merge_cta_counter",
          this.count,
          `${this.rowStart.length}, one for each SM`,
        );
      }
      this.rowStart[cta] = firstRow + offset;
      this.rowEnd[cta] = firstRow + Math.min(offset + chunkRows, rows);
      this.partialStart[cta] = partialStart + offset;
      this.partialEnd[cta] = partialEnd;
      this.stride[cta] = rows;
    }
  }
}

function roundedLimit(tokens: number): number {
  if (tokens <= 8) return 32;
  if (tokens <= 16) return 64;
  if (tokens <= 32) return 128;
  if (tokens <= 64) return 192;
  return ceilDiv(tokens, 256) * 256;
}
