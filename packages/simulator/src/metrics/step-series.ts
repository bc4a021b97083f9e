// The steps of a replay as a series of bounded length: when it is full, every other step is dropped and only every
// 2n-th step of each replica is kept from then on.

import type { StepSeries } from "../documents/report.ts";

const FIELDS = 12;

export class StepSeriesRecorder {
  /** Steps whose number within their replica is a multiple of this are kept. A power of two. */
  stride = 1;
  readonly #limit: number;
  #rows: Float64Array;
  #count = 0;

  constructor(limit: number) {
    this.#limit = Math.max(2, limit);
    this.#rows = new Float64Array(FIELDS * Math.min(this.#limit, 1024));
  }

  add(
    replica: number,
    step: number,
    startUs: number,
    durationUs: number,
    running: number,
    waiting: number,
    tokens: number,
    prefillTokens: number,
    kvBlocksUsed: number,
    attentionUs: number,
    attentionImbalance: number,
    preemptions: number,
  ): void {
    if (this.#count === this.#limit) this.#thin();
    if ((step & (this.stride - 1)) !== 0) return;
    if ((this.#count + 1) * FIELDS > this.#rows.length) {
      const larger = new Float64Array(Math.min(this.#limit * FIELDS, this.#rows.length * 2));
      larger.set(this.#rows);
      this.#rows = larger;
    }
    const rows = this.#rows;
    let at = this.#count++ * FIELDS;
    rows[at++] = step;
    rows[at++] = replica;
    rows[at++] = startUs;
    rows[at++] = durationUs;
    rows[at++] = running;
    rows[at++] = waiting;
    rows[at++] = tokens;
    rows[at++] = prefillTokens;
    rows[at++] = kvBlocksUsed;
    rows[at++] = attentionUs;
    rows[at++] = attentionImbalance;
    rows[at++] = preemptions;
  }

  /** All kept steps in start order, equal starts by replica. */
  series(): StepSeries {
    const rows = this.#rows;
    const order = Array.from({ length: this.#count }, (_, i) => i * FIELDS);
    order.sort((a, b) => rows[a + 2]! - rows[b + 2]! || rows[a + 1]! - rows[b + 1]!);
    const column = (field: number): number[] => order.map((at) => rows[at + field]!);
    const times = (field: number): number[] => order.map((at) => roundToNs(rows[at + field]!));
    return {
      step: column(0),
      replica: column(1),
      startUs: times(2),
      durationUs: times(3),
      running: column(4),
      waiting: column(5),
      tokens: column(6),
      prefillTokens: column(7),
      kvBlocksUsed: column(8),
      attentionUs: times(9),
      attentionImbalance: column(10).map((value) => (Number.isNaN(value) ? null : value)),
      preemptions: column(11),
    };
  }

  #thin(): void {
    const rows = this.#rows;
    // Doubling may drop nothing where step numbers have common factors with the stride already; it does in the end.
    while (this.#count === this.#limit) {
      this.stride *= 2;
      let kept = 0;
      for (let i = 0; i < this.#count; i++) {
        if ((rows[i * FIELDS]! & (this.stride - 1)) !== 0) continue;
        rows.copyWithin(kept * FIELDS, i * FIELDS, (i + 1) * FIELDS);
        kept++;
      }
      this.#count = kept;
      // Only step 0 of each replica is left: the limit is below the number of replicas.
      if (this.stride > 2 ** 30) throw new RangeError(`a step series of ${this.#limit} entries is too short`);
    }
  }
}

/** Microseconds with three decimals: what is shorter than a nanosecond is rounding noise. */
export function roundToNs(us: number): number {
  return Math.round(us * 1000) / 1000;
}
