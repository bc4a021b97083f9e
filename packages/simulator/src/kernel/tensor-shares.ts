// Tensor cores: each SM divides its throughput equally among those of its lanes that still have flops to do.
//
// One lane alone may be unable to use all of it: it gets at most 1 / leastSharers.
//
// Work is in µs of a whole SM. A lane's share changes only when a neighbour on its SM starts or ends, so an SM's next
// completion is a fixed time until then: an indexed heap of SMs by that time gives the first one of the GPU.

export class TensorShares {
  private readonly unitCount: number;
  private readonly laneCount: number;
  private readonly leastSharers: number;
  /** µs of a whole SM that a lane still needs; negative: it is not computing. */
  private readonly leftUs: Float64Array;
  private readonly active: Int32Array;
  private readonly settledUs: Float64Array;
  private readonly nextUs: Float64Array;
  private readonly heap: Int32Array;
  /** Place of an SM in the heap, −1 when it is idle. */
  private readonly place: Int32Array;
  private size = 0;

  constructor(unitCount: number, laneCount: number, leastSharers: number) {
    this.unitCount = unitCount;
    this.laneCount = laneCount;
    this.leastSharers = leastSharers;
    this.leftUs = new Float64Array(laneCount).fill(-1);
    this.active = new Int32Array(unitCount);
    this.settledUs = new Float64Array(unitCount);
    this.nextUs = new Float64Array(unitCount);
    this.heap = new Int32Array(unitCount);
    this.place = new Int32Array(unitCount).fill(-1);
  }

  fits(unitCount: number, laneCount: number, leastSharers: number): boolean {
    return this.unitCount === unitCount && this.laneCount === laneCount && this.leastSharers === leastSharers;
  }

  /** When the first lane is done; Infinity when none computes. */
  get firstUs(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.nextUs[this.heap[0]!]!;
  }

  begin(lane: number, smUs: number, nowUs: number): void {
    const sm = lane % this.unitCount;
    this.settle(sm, nowUs);
    this.leftUs[lane] = smUs;
    this.active[sm]!++;
    this.reschedule(sm, nowUs);
  }

  /** Ends the first lane and returns it; only while firstUs is finite. */
  endFirst(): number {
    const sm = this.heap[0]!;
    const nowUs = this.nextUs[sm]!;
    this.settle(sm, nowUs);
    const { leftUs } = this;
    let lane = -1;
    for (let other = sm; other < this.laneCount; other += this.unitCount) {
      if (leftUs[other]! >= 0 && (lane < 0 || leftUs[other]! < leftUs[lane]!)) lane = other;
    }
    leftUs[lane] = -1;
    this.active[sm]!--;
    this.reschedule(sm, nowUs);
    return lane;
  }

  /** Brings the remaining work of an SM's lanes up to now. */
  private settle(sm: number, nowUs: number): void {
    const { leftUs, active, settledUs } = this;
    if (active[sm]! > 0) {
      const doneUs = (nowUs - settledUs[sm]!) / Math.max(active[sm]!, this.leastSharers);
      for (let lane = sm; lane < this.laneCount; lane += this.unitCount) {
        if (leftUs[lane]! >= 0) leftUs[lane] = Math.max(0, leftUs[lane]! - doneUs);
      }
    }
    settledUs[sm] = nowUs;
  }

  private reschedule(sm: number, nowUs: number): void {
    const { leftUs, active } = this;
    if (active[sm] === 0) {
      this.remove(sm);
      return;
    }
    let least = Number.POSITIVE_INFINITY;
    for (let lane = sm; lane < this.laneCount; lane += this.unitCount) {
      if (leftUs[lane]! >= 0 && leftUs[lane]! < least) least = leftUs[lane]!;
    }
    this.nextUs[sm] = nowUs + least * Math.max(active[sm]!, this.leastSharers);
    if (this.place[sm] === -1) {
      this.place[sm] = this.size;
      this.heap[this.size++] = sm;
    }
    this.sift(sm);
  }

  private remove(sm: number): void {
    const at = this.place[sm]!;
    this.place[sm] = -1;
    const last = this.heap[--this.size]!;
    if (at === this.size) return;
    this.heap[at] = last;
    this.place[last] = at;
    this.sift(last);
  }

  private sift(sm: number): void {
    const { heap, place } = this;
    let at = place[sm]!;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(sm, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      place[heap[at]!] = at;
      at = parent;
    }
    for (let child = 2 * at + 1; child < this.size; child = 2 * at + 1) {
      if (child + 1 < this.size && this.isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.isBefore(heap[child]!, sm)) break;
      heap[at] = heap[child]!;
      place[heap[at]!] = at;
      at = child;
    }
    heap[at] = sm;
    place[sm] = at;
  }

  /** Of SMs that are done at the same time the one with more lanes at work: CTAs that are alike end in turns, SM by SM. */
  private isBefore(sm: number, other: number): boolean {
    const us = this.nextUs[sm]!;
    const otherUs = this.nextUs[other]!;
    return us < otherUs || (us === otherUs && this.active[sm]! > this.active[other]!);
  }
}
