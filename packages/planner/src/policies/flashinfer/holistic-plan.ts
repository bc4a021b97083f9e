// FlashInfer's planner for BatchAttention (TwoStageHolisticPlan): two queues for each of two CTAs on every SM, one of
// 128-row query tiles, one of 16-row tiles; KV lines cut at a common limit; works go to the least loaded worker in the
// order of requests, not of lengths.

import { IntList } from "./int-list.ts";
import type { FlashInferInput } from "./native.ts";
import { causalKvEnd, ceilDiv, FlashInferLimitError } from "./native.ts";
import { WorkQueues } from "./work-queues.ts";
import { WorkerHeap } from "./worker-heap.ts";
import { Workspace } from "./workspace.ts";

/** One of the two queues, all workers' works one after another; worker w owns [work_indptr[w], work_indptr[w + 1]). */
export interface HolisticTask {
  readonly cta_tile_q: number;
  readonly work_indptr: Int32Array;
  readonly q_indptr: Int32Array;
  readonly kv_indptr: Int32Array;
  /** First partial row of the work's query tile; equal for all its chunks and KV heads. */
  readonly partial_indptr: Int32Array;
  readonly q_len: Int32Array;
  readonly kv_len: Int32Array;
  /** First packed query row of the tile. */
  readonly q_start: Int32Array;
  readonly kv_start: Int32Array;
  readonly kv_end: Int32Array;
  readonly kv_head_idx: Int32Array;
}

/** What TwoStageHolisticPlan emits, under FlashInfer's names. */
export interface HolisticPlan {
  readonly num_blks_x: number;
  readonly num_blks_y: number;
  /** Tokens of one chunk, for each task. */
  readonly len_kv_chunk: readonly [number, number];
  readonly tasks: readonly [HolisticTask, HolisticTask];
  readonly num_merge_rows: number;
  readonly merge_indptr: Int32Array;
  readonly merge_o_indices: Int32Array;
  readonly partial_o_offset: number;
  readonly partial_lse_offset: number;
  readonly int_workspace_bytes: number;
}

/** Rows of the query tile of each task: requests with more than 16 packed rows, and the others. */
const HOLISTIC_TILE_ROWS = [128, 16] as const;
const MAX_WORKS = 65_536;
const FIELDS = [
  "q_indptr",
  "kv_indptr",
  "partial_indptr",
  "q_len",
  "kv_len",
  "q_start",
  "kv_start",
  "kv_end",
  "kv_head_idx",
] as const;

/** CTAs of the persistent kernel on one SM. */
export function holisticCtasPerSm(headDim: number): number {
  return headDim >= 256 ? 1 : 2;
}

/** Plans as FlashInfer does. Throws FlashInferLimitError where its fixed arrays are too short for the batch. */
export function planHolistic(input: FlashInferInput): HolisticPlan {
  const { batch_size, num_kv_heads, num_qo_heads, qo_indptr, kv_len } = input;
  const group = Math.floor(num_qo_heads / num_kv_heads);
  const workers = input.num_sm * holisticCtasPerSm(input.head_dim_vo);
  const maxMergeEntries = 4 * workers * (HOLISTIC_TILE_ROWS[0] + HOLISTIC_TILE_ROWS[1]);

  const members: [number[], number[]] = [[], []];
  for (let i = 0; i < batch_size; i++) {
    const packedRows = (qo_indptr[i + 1]! - qo_indptr[i]!) * group;
    members[packedRows > HOLISTIC_TILE_ROWS[1] ? 0 : 1].push(i);
  }

  const kvEnd = (request: number, qoTile: number, qoTiles: number, tileRows: number): number => {
    const qoLen = qo_indptr[request + 1]! - qo_indptr[request]!;
    if (!input.causal) return kv_len[request]!;
    return causalKvEnd(qoLen, kv_len[request]!, qoTile, tileRows, qoTiles, group);
  };

  let totalKv = 0;
  for (const task of [0, 1] as const) {
    const tileRows = HOLISTIC_TILE_ROWS[task];
    for (const request of members[task]) {
      const qoTiles = ceilDiv((qo_indptr[request + 1]! - qo_indptr[request]!) * group, tileRows);
      for (let qoTile = 0; qoTile < qoTiles; qoTile++) totalKv += kvEnd(request, qoTile, qoTiles, tileRows);
    }
  }
  const limit = roundedLimit(Math.max(ceilDiv(totalKv * num_kv_heads, workers), 1));
  // Tiles of 64 rows and more are held to a smaller limit: they cost more per KV token.
  const limits: [number, number] = [Math.floor(limit / Math.min(num_kv_heads, 2)), limit];

  const heap = new WorkerHeap(workers);
  const mergeIndptr = new IntList();
  const mergeOIndices = new IntList();
  mergeIndptr.push(0);
  let partialRows = 0;

  const planTask = (task: 0 | 1): HolisticTask => {
    const tileRows = HOLISTIC_TILE_ROWS[task];
    const chunkLimit = limits[task];
    const queues = new WorkQueues(workers, FIELDS.length);
    for (const request of members[task]) {
      const qoStart = qo_indptr[request]!;
      const qoLen = qo_indptr[request + 1]! - qoStart;
      const packedRows = qoLen * group;
      const qoTiles = ceilDiv(packedRows, tileRows);
      for (let qoTile = 0; qoTile < qoTiles; qoTile++) {
        const end = kvEnd(request, qoTile, qoTiles, tileRows);
        const isSplit = end > chunkLimit;
        let start = 0;
        do {
          const chunk = Math.min(end - start, chunkLimit);
          for (let head = 0; head < num_kv_heads; head++) {
            const at = queues.add(heap.assign(tileRows, chunk));
            const { values } = queues;
            values[at] = qoStart;
            values[at + 1] = input.kv_indptr[request]!;
            values[at + 2] = partialRows;
            values[at + 3] = qoLen;
            values[at + 4] = kv_len[request]!;
            values[at + 5] = qoTile * tileRows;
            values[at + 6] = start;
            values[at + 7] = start + chunk;
            values[at + 8] = head;
          }
          start += chunk;
        } while (start < end);
        if (!isSplit) continue;
        const chunks = ceilDiv(end, chunkLimit);
        const firstRow = qoTile * tileRows;
        const lastRow = Math.min(firstRow + tileRows, packedRows);
        for (let row = firstRow; row < lastRow; row++) {
          mergeIndptr.push(mergeIndptr.last + chunks);
          mergeOIndices.push((qoStart + Math.floor(row / group)) * num_kv_heads * group + (row % group));
        }
        partialRows += (lastRow - firstRow) * chunks;
      }
    }
    if (queues.count > MAX_WORKS) {
      throw new FlashInferLimitError("holistic", "total_num_works", queues.count, `${MAX_WORKS}`);
    }
    const [q_indptr, kv_indptr, partial_indptr, q_len, kv_lens, q_start, kv_start, kv_end, kv_head_idx] =
      queues.columns() as [
        Int32Array,
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
      cta_tile_q: tileRows,
      work_indptr: queues.indptr(),
      q_indptr,
      kv_indptr,
      partial_indptr,
      q_len,
      kv_len: kv_lens,
      q_start,
      kv_start,
      kv_end,
      kv_head_idx,
    };
  };
  const tasks = [planTask(0), planTask(1)] as const;
  if (mergeIndptr.length > maxMergeEntries) {
    throw new FlashInferLimitError("holistic", "merge_indptr.size()", mergeIndptr.length, `${maxMergeEntries}`);
  }

  const ints = new Workspace();
  for (let section = 0; section < 2 * (FIELDS.length + 1); section++) ints.placeInts(MAX_WORKS);
  ints.placeInts(limits.length);
  ints.placeInts(maxMergeEntries);
  ints.placeInts(maxMergeEntries);
  ints.placeInts(1);
  const floats = new Workspace();
  return {
    num_blks_x: 1,
    num_blks_y: workers,
    len_kv_chunk: limits,
    tasks,
    num_merge_rows: mergeIndptr.length - 1,
    merge_indptr: mergeIndptr.view(),
    merge_o_indices: mergeOIndices.view(),
    // Partial outputs are two bytes an element, log-sum-exponentials four.
    partial_o_offset: floats.place(maxMergeEntries * 2 * input.head_dim_vo * num_kv_heads),
    partial_lse_offset: floats.place(maxMergeEntries * 4 * num_kv_heads),
    int_workspace_bytes: ints.bytes,
  };
}

function roundedLimit(tokens: number): number {
  return tokens <= 128 ? 128 : ceilDiv(tokens, 256) * 256;
}
