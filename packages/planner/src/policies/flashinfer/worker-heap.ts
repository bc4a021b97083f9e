// FlashInfer's assignment of works to workers: the next work goes to a worker with the least cost so far.
//
// Costs are float32 and are rounded after every addition, so that equal and unequal costs are the same as in C++: above
// 2^24 a short work may leave a cost unchanged. Ties follow libstdc++'s heap order.

import type { KeyedIds } from "./heap.ts";
import { popHeap, pushHeap } from "./heap.ts";

export class WorkerHeap {
  private readonly heap: KeyedIds;
  private readonly count: number;

  /** All workers begin at cost 0, in index order. */
  constructor(workers: number) {
    this.count = workers;
    this.heap = { ids: Int32Array.from({ length: workers }, (_, w) => w), keys: new Float64Array(workers) };
  }

  /** Gives a work of `kvLen` KV tokens in a query tile of `tileRows` rows to a least loaded worker; returns the worker. */
  assign(tileRows: number, kvLen: number): number {
    const { heap, count } = this;
    popHeap(heap, count);
    const worker = heap.ids[count - 1]!;
    heap.keys[count - 1] = Math.fround(heap.keys[count - 1]! + workCost(tileRows, kvLen));
    pushHeap(heap, count);
    return worker;
  }
}

/** FlashInfer's cost of one work, 2 × rows + KV tokens in float32 (the paper's α = 2, β = 1). */
function workCost(tileRows: number, kvLen: number): number {
  return Math.fround(2 * tileRows + Math.fround(kvLen));
}
