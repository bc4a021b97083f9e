// Works in the order in which they are handed out, and then worker by worker: FlashInfer keeps a vector for each worker
// and field and joins them at the end. Here works are rows of one array with a worker each, sorted once, stably.

import { IntList } from "./int-list.ts";

export class WorkQueues {
  /** Rows of `fieldCount` int32 in the order of `add`. Read it anew after every `add`: it moves when it grows. */
  values: Int32Array<ArrayBuffer>;
  /** Rows in use. */
  count = 0;
  private readonly fieldCount: number;
  private readonly workerOf = new IntList();
  private readonly workCounts: Int32Array;

  constructor(workers: number, fieldCount: number) {
    this.fieldCount = fieldCount;
    this.values = new Int32Array(64 * fieldCount);
    this.workCounts = new Int32Array(workers);
  }

  /** Appends a row to the worker's queue; returns where its fields begin in `values`. */
  add(worker: number): number {
    const at = this.count++ * this.fieldCount;
    if (at === this.values.length) {
      const grown = new Int32Array(2 * at);
      grown.set(this.values);
      this.values = grown;
    }
    this.workerOf.push(worker);
    this.workCounts[worker]!++;
    return at;
  }

  /** Works before each worker, workers + 1 entries. */
  indptr(): Int32Array {
    const indptr = new Int32Array(this.workCounts.length + 1);
    for (let w = 0; w < this.workCounts.length; w++) indptr[w + 1] = indptr[w]! + this.workCounts[w]!;
    return indptr;
  }

  /** One array for each field, the works of worker 0 first, each worker's in the order in which it got them. */
  columns(): Int32Array[] {
    const { fieldCount, values } = this;
    const next = this.indptr();
    const workers = this.workerOf.view();
    const columns = Array.from({ length: fieldCount }, () => new Int32Array(this.count));
    for (let row = 0; row < this.count; row++) {
      const to = next[workers[row]!]!++;
      for (let field = 0; field < fieldCount; field++) columns[field]![to] = values[row * fieldCount + field]!;
    }
    return columns;
  }
}
