// Lanes in start-up, by the time at which it is over. Nearly all start-ups of a launch take equally long, so a new entry
// belongs at the end, or a few places before it: insertion into a ring.

export class StartQueue {
  size = 0;
  private readonly lanes: Int32Array;
  private readonly us: Float64Array;
  private head = 0;

  constructor(capacity: number) {
    this.lanes = new Int32Array(capacity);
    this.us = new Float64Array(capacity);
  }

  /** When the first start-up is over; Infinity when there is none. */
  get firstUs(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.us[this.head]!;
  }

  /** After all entries of the same time. */
  push(lane: number, us: number): void {
    const { lanes, us: times } = this;
    const capacity = lanes.length;
    let at = this.head + this.size++;
    if (at >= capacity) at -= capacity;
    for (let left = this.size - 1; left > 0; left--) {
      const before = at === 0 ? capacity - 1 : at - 1;
      if (times[before]! <= us) break;
      lanes[at] = lanes[before]!;
      times[at] = times[before]!;
      at = before;
    }
    lanes[at] = lane;
    times[at] = us;
  }

  /** Takes the first lane out; only while size > 0. */
  pop(): number {
    const lane = this.lanes[this.head]!;
    this.head = this.head + 1 === this.lanes.length ? 0 : this.head + 1;
    this.size--;
    return lane;
  }
}
