// Tensor cores: each SM divides its throughput equally among those of its lanes that still have flops to do.
//
// One lane alone may be unable to use all of it: it gets at most 1 / leastSharers.
//
// Work is in µs of a whole SM. A lane's share changes only when a neighbour on its SM starts or ends, so an SM's next
// completion is a fixed time until then: an indexed heap of SMs by that time gives the first one of the GPU.

import type { KernelCosts } from "./kernel-costs.ts";

type TensorSizes = Pick<KernelCosts, "unitCount" | "laneCount" | "leastSharers">;

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

  /** This one where it is for such a GPU, else a new one. */
  sizedFor({ unitCount, laneCount, leastSharers }: TensorSizes): TensorShares {
    const isFor = this.unitCount === unitCount && this.laneCount === laneCount && this.leastSharers === leastSharers;
    return isFor ? this : new TensorShares(unitCount, laneCount, leastSharers);
  }

  /** When the first lane is done; Infinity when none computes. */
  get firstUs(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.nextUs[this.heap[0]!]!;
  }

  begin(lane: number, smUs: number, nowUs: number): void {
    const { leftUs, active, laneCount, unitCount } = this;
    const sm = lane % unitCount;
    let least = smUs;
    if (active[sm]! > 0) {
      const doneUs = this.doneUs(sm, nowUs);
      for (let other = sm; other < laneCount; other += unitCount) {
        const left = leftUs[other]!;
        if (left < 0) continue;
        const still = Math.max(0, left - doneUs);
        leftUs[other] = still;
        if (still < least) least = still;
      }
    }
    leftUs[lane] = smUs;
    active[sm]!++;
    this.reschedule(sm, least, nowUs);
  }

  /** Ends the first lane and returns it; only while firstUs is finite. */
  endFirst(): number {
    const { leftUs, active, laneCount, unitCount } = this;
    const sm = this.heap[0]!;
    const nowUs = this.nextUs[sm]!;
    const doneUs = this.doneUs(sm, nowUs);
    let first = -1;
    let firstLeft = Number.POSITIVE_INFINITY;
    // Of all but the first.
    let least = Number.POSITIVE_INFINITY;
    for (let other = sm; other < laneCount; other += unitCount) {
      const left = leftUs[other]!;
      if (left < 0) continue;
      const still = Math.max(0, left - doneUs);
      leftUs[other] = still;
      if (still < firstLeft) {
        least = firstLeft;
        firstLeft = still;
        first = other;
      } else if (still < least) least = still;
    }
    leftUs[first] = -1;
    if (--active[sm]! === 0) this.remove(sm);
    else this.reschedule(sm, least, nowUs);
    return first;
  }

  /** What each lane of an SM has done since the last time that one of them began or ended. */
  private doneUs(sm: number, nowUs: number): number {
    return (nowUs - this.settledUs[sm]!) / Math.max(this.active[sm]!, this.leastSharers);
  }

  /** `least`: what the lane that is done first still needs. */
  private reschedule(sm: number, least: number, nowUs: number): void {
    this.settledUs[sm] = nowUs;
    this.nextUs[sm] = nowUs + least * Math.max(this.active[sm]!, this.leastSharers);
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
