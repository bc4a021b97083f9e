// Weighted samples of one non-negative quantity, for mean, deviation and percentiles.
//
// Up to `exactSamples` samples are kept and percentiles are exact: numpy's linear interpolation over the samples, each
// repeated as often as its weight says. Beyond that only a histogram stays, whose bins are 0.1 % wide; mean, deviation,
// minimum and maximum are exact always.

import type { Summary } from "../documents/report.ts";
import { selectRanks } from "./select-ranks.ts";

/** Bins of the histogram: exponent and 10 bits of mantissa of a float64, so 2^-10 wide relative to their value. */
const MANTISSA_BITS = 10;
const BIN_SHIFT = 20 - MANTISSA_BITS;
const BINS = 0x7ff0_0000 >>> BIN_SHIFT;

/** Chosen: 2^22 samples are 48 MiB. */
const EXACT_SAMPLES: number = 2 ** 22;

const scratch = new Float64Array(1);
const scratchWords = new Uint32Array(scratch.buffer);

export class Distribution {
  /** Sum of all weights. */
  count = 0;
  #size = 0;
  #values = new Float64Array(1024);
  #weights = new Int32Array(1024);
  #mean = 0;
  #squares = 0;
  #minimum = Number.POSITIVE_INFINITY;
  #maximum = Number.NEGATIVE_INFINITY;
  #bins: Float64Array | undefined;
  readonly #exactSamples: number;

  constructor(exactSamples: number = EXACT_SAMPLES) {
    this.#exactSamples = exactSamples;
  }

  get isExact(): boolean {
    return this.#bins === undefined;
  }

  /** Adds `weight` samples of one value ≥ 0. */
  add(value: number, weight: number): void {
    this.count += weight;
    // Welford's update, weighted (West, 1979).
    const delta = value - this.#mean;
    const step = (delta * weight) / this.count;
    this.#mean += step;
    this.#squares += delta * weight * (value - this.#mean);
    if (value < this.#minimum) this.#minimum = value;
    if (value > this.#maximum) this.#maximum = value;
    if (this.#bins === undefined && this.#size === this.#values.length) this.#grow();
    if (this.#bins !== undefined) {
      this.#bins[binOf(value)]! += weight;
      return;
    }
    this.#values[this.#size] = value;
    this.#weights[this.#size++] = weight;
  }

  /** Percentiles by linear interpolation between the closest ranks; all null without samples. */
  percentiles(percents: readonly number[]): (number | null)[] {
    if (this.count === 0) return percents.map(() => null);
    const ranks: number[] = [];
    for (const percent of percents) {
      const position = (percent / 100) * (this.count - 1);
      ranks.push(Math.floor(position), Math.min(Math.ceil(position), this.count - 1));
    }
    const values = this.#bins === undefined ? this.#selectExact(ranks) : this.#selectBinned(ranks, this.#bins);
    return percents.map((percent, i) => {
      const position = (percent / 100) * (this.count - 1);
      const low = values[2 * i]!;
      const high = values[2 * i + 1]!;
      // Equal ends are returned as they are: no rounding of their own.
      return low === high ? low : low + (high - low) * (position - Math.floor(position));
    });
  }

  /** `scale` turns the samples' unit into that of the summary. */
  summary(scale: number): Summary {
    if (this.count === 0) {
      return {
        mean: null,
        median: null,
        std: null,
        min: null,
        max: null,
        p75: null,
        p90: null,
        p95: null,
        p99: null,
      };
    }
    const [median, p75, p90, p95, p99] = this.percentiles([50, 75, 90, 95, 99]).map((value) => value! * scale);
    return {
      mean: this.#mean * scale,
      median: median!,
      std: Math.sqrt(Math.max(0, this.#squares) / this.count) * scale,
      min: this.#minimum * scale,
      max: this.#maximum * scale,
      p75: p75!,
      p90: p90!,
      p95: p95!,
      p99: p99!,
    };
  }

  #selectExact(ranks: readonly number[]): number[] {
    return selectRanks(this.#values.subarray(0, this.#size), this.#weights.subarray(0, this.#size), ranks);
  }

  #selectBinned(ranks: readonly number[], bins: Float64Array): number[] {
    return ranks.map((rank) => {
      let below = 0;
      let bin = 0;
      while (below + bins[bin]! <= rank) below += bins[bin++]!;
      return Math.min(Math.max(binMiddle(bin), this.#minimum), this.#maximum);
    });
  }

  /** Makes room for more samples, or turns to bins. */
  #grow(): void {
    if (this.#size < this.#exactSamples) {
      const capacity = Math.min(this.#exactSamples, this.#size * 2);
      const values = new Float64Array(capacity);
      const weights = new Int32Array(capacity);
      values.set(this.#values);
      weights.set(this.#weights);
      this.#values = values;
      this.#weights = weights;
      return;
    }
    const bins = new Float64Array(BINS);
    for (let i = 0; i < this.#size; i++) bins[binOf(this.#values[i]!)]! += this.#weights[i]!;
    this.#bins = bins;
    this.#values = new Float64Array(0);
    this.#weights = new Int32Array(0);
  }
}

/** Bits of a non-negative float64 order like its value: the leading ones are a logarithmic bin. */
function binOf(value: number): number {
  scratch[0] = value;
  return scratchWords[1]! >>> BIN_SHIFT;
}

function binMiddle(bin: number): number {
  scratchWords[0] = 0;
  scratchWords[1] = bin << BIN_SHIFT;
  const low = scratch[0]!;
  scratchWords[1] = (bin + 1) << BIN_SHIFT;
  return (low + scratch[0]!) / 2;
}
