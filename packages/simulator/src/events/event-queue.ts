// A binary heap of events over typed arrays, ordered by (time, sequence number): events of one instant come out in the
// order in which they went in, whatever else is in the queue. Times are microseconds, payloads int32.

export class EventQueue {
  #times = new Float64Array(16);
  #sequences = new Float64Array(16);
  #payloads = new Int32Array(16);
  #size = 0;
  #nextSequence = 0;

  get size(): number {
    return this.#size;
  }

  /** Time of the earliest event; Infinity when there is none. */
  get nextTimeUs(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!;
  }

  push(timeUs: number, payload: number): void {
    if (this.#size === this.#times.length) this.#grow();
    const times = this.#times;
    const sequences = this.#sequences;
    const payloads = this.#payloads;
    let hole = this.#size++;
    // The new event has the highest sequence number, so it rises only past strictly later times.
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (times[parent]! <= timeUs) break;
      times[hole] = times[parent]!;
      sequences[hole] = sequences[parent]!;
      payloads[hole] = payloads[parent]!;
      hole = parent;
    }
    times[hole] = timeUs;
    sequences[hole] = this.#nextSequence++;
    payloads[hole] = payload;
  }

  /** Removes the earliest event and returns its payload; its time is `nextTimeUs` before the call. */
  pop(): number {
    if (this.#size === 0) throw new RangeError("pop of an empty event queue");
    const times = this.#times;
    const sequences = this.#sequences;
    const payloads = this.#payloads;
    const result = payloads[0]!;
    const last = --this.#size;
    const time = times[last]!;
    const sequence = sequences[last]!;
    const payload = payloads[last]!;
    let hole = 0;
    for (let child = 1; child < last; child = 2 * hole + 1) {
      const right = child + 1;
      if (right < last && isBefore(times[right]!, sequences[right]!, times[child]!, sequences[child]!)) child = right;
      if (!isBefore(times[child]!, sequences[child]!, time, sequence)) break;
      times[hole] = times[child]!;
      sequences[hole] = sequences[child]!;
      payloads[hole] = payloads[child]!;
      hole = child;
    }
    times[hole] = time;
    sequences[hole] = sequence;
    payloads[hole] = payload;
    return result;
  }

  #grow(): void {
    const capacity = this.#times.length * 2;
    const times = new Float64Array(capacity);
    const sequences = new Float64Array(capacity);
    const payloads = new Int32Array(capacity);
    times.set(this.#times);
    sequences.set(this.#sequences);
    payloads.set(this.#payloads);
    this.#times = times;
    this.#sequences = sequences;
    this.#payloads = payloads;
  }
}

function isBefore(timeA: number, sequenceA: number, timeB: number, sequenceB: number): boolean {
  return timeA < timeB || (timeA === timeB && sequenceA < sequenceB);
}
