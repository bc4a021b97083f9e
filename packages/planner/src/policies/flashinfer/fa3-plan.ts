// FlashInfer's planner for FA3 prefill on Hopper (PrefillSM90Plan): a queue of whole query tiles for each SM, longest
// requests first, the next tile to the least loaded queue. KV lines are never cut; query heads are not packed.

import { introsortDescending } from "./introsort.ts";
import type { FlashInferInput } from "./native.ts";
import { causalKvEnd, ceilDiv, FlashInferLimitError } from "./native.ts";
import { WorkQueues } from "./work-queues.ts";
import { WorkerHeap } from "./worker-heap.ts";
import { Workspace } from "./workspace.ts";

/** What PrefillSM90Plan emits, under FlashInfer's names. Queue w owns works [work_indptr[w], work_indptr[w + 1]). */
export interface Fa3Plan {
  /** One schedule for all query heads, launched as (SMs, heads): then head_indices are all 0. */
  readonly same_schedule_for_all_heads: boolean;
  readonly num_ctas: number;
  readonly cta_tile_q: number;
  readonly work_indptr: Int32Array;
  readonly qo_tile_indices: Int32Array;
  /** Query heads. */
  readonly head_indices: Int32Array;
  readonly batch_indices: Int32Array;
  readonly int_workspace_bytes: number;
}

/** Above this many tiles of one head all heads share a schedule. */
const MAX_WORKS_PER_HEAD = 4096;
const FIELD_COUNT = 3;
/** Arrays of works in the workspace: the three above, and four that are gathered from batch_indices. */
const WORK_ARRAYS = 7;

/** Rows of an FA3 query tile. */
export function fa3TileRows(headDimVo: number): number {
  return headDimVo === 64 ? 192 : 128;
}

/** Plans as FlashInfer does. Throws FlashInferLimitError for more works than a captured graph has room for. */
export function planFa3(input: FlashInferInput): Fa3Plan {
  const { batch_size, kv_len, num_sm, qo_indptr } = input;
  const tileRows = fa3TileRows(input.head_dim_vo);
  const order = {
    ids: Int32Array.from({ length: batch_size }, (_, i) => i),
    keys: Float64Array.from({ length: batch_size }, (_, i) => kv_len[i]!),
  };
  introsortDescending(order);

  const maxWorksPerHead = ceilDiv(input.total_num_rows, tileRows) + batch_size - 1;
  const sharesSchedule = maxWorksPerHead > MAX_WORKS_PER_HEAD;
  const heap = new WorkerHeap(num_sm);
  const queues = new WorkQueues(num_sm, FIELD_COUNT);
  const heads = sharesSchedule ? 1 : input.num_qo_heads;
  for (let head = 0; head < heads; head++) {
    for (const request of order.ids) {
      const qoLen = qo_indptr[request + 1]! - qo_indptr[request]!;
      const kvLen = kv_len[request]!;
      const qoTiles = ceilDiv(qoLen, tileRows);
      for (let qoTile = qoTiles - 1; qoTile >= 0; qoTile--) {
        const kvEnd = input.causal ? causalKvEnd(qoLen, kvLen, qoTile, tileRows, qoTiles, 1) : kvLen;
        const at = queues.add(heap.assign(tileRows, kvEnd));
        queues.values[at] = qoTile;
        queues.values[at + 1] = head;
        queues.values[at + 2] = request;
      }
    }
  }

  const graphWorks = maxWorksPerHead * heads;
  if (input.enable_cuda_graph && queues.count > graphWorks) {
    throw new FlashInferLimitError("fa3", "works", queues.count, `${graphWorks}, the capacity of the graph`);
  }
  const ints = new Workspace();
  const capacity = input.enable_cuda_graph ? graphWorks : queues.count;
  for (let array = 0; array < WORK_ARRAYS - 1; array++) ints.placeInts(capacity);
  ints.placeInts(num_sm + 1);
  ints.placeInts(capacity);
  const [qo_tile_indices, head_indices, batch_indices] = queues.columns() as [Int32Array, Int32Array, Int32Array];
  return {
    same_schedule_for_all_heads: sharesSchedule,
    num_ctas: num_sm,
    cta_tile_q: tileRows,
    work_indptr: queues.indptr(),
    qo_tile_indices,
    head_indices,
    batch_indices,
    int_workspace_bytes: ints.bytes,
  };
}
