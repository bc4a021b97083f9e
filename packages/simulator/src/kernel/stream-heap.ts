// A binary heap of lanes by the virtual time at which their stream of bytes ends.
//
// Hot path: typed arrays, no allocation. Lanes with equal keys come out in an order that depends on nothing but the
// sequence of pushes and pops.

export class StreamHeap {
  size = 0;
  private readonly keys: Float64Array;
  private readonly lanes: Int32Array;

  constructor(capacity: number) {
    this.keys = new Float64Array(capacity);
    this.lanes = new Int32Array(capacity);
  }

  get capacity(): number {
    return this.lanes.length;
  }

  /** Key of the first lane; only while size > 0. */
  firstKey(): number {
    return this.keys[0]!;
  }

  push(lane: number, key: number): void {
    const { keys, lanes } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const parentKey = keys[parent]!;
      if (parentKey <= key) break;
      keys[at] = parentKey;
      lanes[at] = lanes[parent]!;
      at = parent;
    }
    keys[at] = key;
    lanes[at] = lane;
  }

  /** Takes the first lane out; only while size > 0. */
  pop(): number {
    const { keys, lanes } = this;
    const first = lanes[0]!;
    const size = --this.size;
    if (size === 0) return first;
    const key = keys[size]!;
    const lane = lanes[size]!;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      let childKey = keys[child]!;
      if (child + 1 < size && keys[child + 1]! < childKey) childKey = keys[++child]!;
      if (key <= childKey) break;
      keys[at] = childKey;
      lanes[at] = lanes[child]!;
      at = child;
    }
    keys[at] = key;
    lanes[at] = lane;
    return first;
  }
}
