// The least loaded of P workers, ties to the lowest index: a binary heap over typed arrays, ordered by (load, worker).

/** A priority queue of workers by load. */
export class WorkerQueue {
  /** Load of each worker, in the unit of what is added. */
  readonly loads: Float64Array;
  private readonly heap: Int32Array;

  constructor(workers: number) {
    this.loads = new Float64Array(workers);
    this.heap = new Int32Array(workers);
    for (let w = 0; w < workers; w++) this.heap[w] = w;
  }

  /** The least loaded worker. */
  least(): number {
    return this.heap[0]!;
  }

  /** Adds load to the least loaded worker and restores the order. */
  addToLeast(load: number): void {
    const { heap, loads } = this;
    const worker = heap[0]!;
    loads[worker]! += load;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.isBefore(heap[child]!, worker)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = worker;
  }

  private isBefore(a: number, b: number): boolean {
    return this.loads[a]! < this.loads[b]! || (this.loads[a] === this.loads[b] && a < b);
  }
}
