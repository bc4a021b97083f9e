// Weighted samples of one non-negative quantity, for mean, deviation and percentiles.
//
// Up to `exactSamples` samples are kept and percentiles are exact: numpy's linear interpolation over the samples, each
// repeated as often as its weight says. Beyond that only a histogram stays, whose bins are 0.1 % wide; mean, deviation,
// minimum and maximum are exact always.

import type { Curve, Summary } from "../documents/report.ts";
import { selectRanks } from "./select-ranks.ts";

/**
 * Bins of the histogram: exponent and 10 bits of mantissa of a float64, so 2^-10 wide relative to their value, from 2^-20
 * to 2^44; what is outside counts in the outermost bins.
 */
const MANTISSA_BITS = 10;
const BIN_SHIFT = 20 - MANTISSA_BITS;
const FIRST_BIN = (1023 - 20) << MANTISSA_BITS;
const BINS = 64 << MANTISSA_BITS;

/** Chosen: what a picture of a few hundred pixels can show; the tail, where limits cut, ten times as fine. */
const CURVE_PERCENTS: readonly number[] = [
  ...Array.from({ length: 100 }, (_, percent) => percent),
  ...Array.from({ length: 9 }, (_, tenth) => (991 + tenth) / 10),
  99.95,
  99.99,
  100,
];

/** Chosen: 2^22 samples are 48 MiB. */
const EXACT_SAMPLES: number = 2 ** 22;

/** Chosen: arrays of at most half a MiB, never copied. */
const CHUNK = 2 ** 16;

const scratch = new Float64Array(1);
const scratchWords = new Uint32Array(scratch.buffer);

export class Distribution {
  /** Sum of all weights. */
  count = 0;
  #size = 0;
  #values: Float64Array[] = [];
  #weights: Int32Array[] = [];
  /** The arrays that are being filled, and up to where. */
  #lastValues = new Float64Array(0);
  #lastWeights = new Int32Array(0);
  #filled = 0;
  /** Sums of differences to the first sample, which keeps them small. */
  #origin = 0;
  #sum = 0;
  #squares = 0;
  #minimum = Number.POSITIVE_INFINITY;
  #maximum = Number.NEGATIVE_INFINITY;
  #bins: Float64Array | undefined;
  /** Percentiles found so far, and the count of samples they are of. */
  readonly #selected = new Map<number, number>();
  #selectedAt = 0;
  readonly #exactSamples: number;

  constructor(exactSamples: number = EXACT_SAMPLES) {
    this.#exactSamples = exactSamples;
  }

  get isExact(): boolean {
    return this.#bins === undefined;
  }

  /** Adds `weight` ≥ 1 samples of one value ≥ 0. */
  add(value: number, weight: number): void {
    if (this.count === 0) this.#origin = value;
    this.count += weight;
    const delta = value - this.#origin;
    this.#sum += delta * weight;
    this.#squares += delta * delta * weight;
    if (value < this.#minimum) this.#minimum = value;
    if (value > this.#maximum) this.#maximum = value;
    if (this.#filled === this.#lastValues.length) this.#grow();
    if (this.#bins !== undefined) {
      this.#bins[binOf(value)]! += weight;
      return;
    }
    this.#lastValues[this.#filled] = value;
    this.#lastWeights[this.#filled++] = weight;
    this.#size++;
  }

  /** Percentiles by linear interpolation between the closest ranks; all null without samples. */
  percentiles(percents: readonly number[]): (number | null)[] {
    if (this.count === 0) return percents.map(() => null);
    if (this.#selectedAt !== this.count) this.#selected.clear();
    this.#selectedAt = this.count;
    const missing = percents.filter((percent) => !this.#selected.has(percent));
    if (missing.length > 0) this.#select(missing);
    return percents.map((percent) => this.#selected.get(percent)!);
  }

  /** Going through the samples takes long, so what was found is kept for who asks for it again. */
  #select(percents: readonly number[]): void {
    const positions = percents.map((percent) => (percent / 100) * (this.count - 1));
    const ranks = positions.flatMap((position) => [
      Math.floor(position),
      Math.min(Math.ceil(position), this.count - 1),
    ]);
    const extremes = { minimum: this.#minimum, maximum: this.#maximum };
    const values =
      this.#bins === undefined
        ? selectRanks({ values: this.#values, weights: this.#weights, size: this.#size, extremes }, ranks)
        : this.#selectBinned(ranks, this.#bins);
    for (const [i, percent] of percents.entries()) {
      const position = positions[i]!;
      const low = values[2 * i]!;
      const high = values[2 * i + 1]!;
      // Equal ends are returned as they are: no rounding of their own.
      this.#selected.set(percent, low === high ? low : low + (high - low) * (position - Math.floor(position)));
    }
  }

  /** `scale` turns the samples' unit into that of the summary. */
  summary(scale: number): Summary {
    if (this.count === 0) return EMPTY;
    const [median, p75, p90, p95, p99] = this.percentiles([50, 75, 90, 95, 99]).map((value) => value! * scale);
    const meanDelta = this.#sum / this.count;
    const variance = Math.max(0, this.#squares / this.count - meanDelta * meanDelta);
    return {
      mean: (this.#origin + meanDelta) * scale,
      median: median!,
      std: Math.sqrt(variance) * scale,
      min: this.#minimum * scale,
      max: this.#maximum * scale,
      p75: p75!,
      p90: p90!,
      p95: p95!,
      p99: p99!,
    };
  }

  /** The distribution as a curve of exact percentiles, `scale` times the samples; undefined without samples. */
  curve(scale: number): Curve | undefined {
    if (this.count === 0) return undefined;
    const values = this.percentiles(CURVE_PERCENTS).map((value) => value! * scale);
    return { shares: CURVE_PERCENTS.map((percent) => percent / 100), values };
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
    if (this.#bins !== undefined) return;
    if (this.#size < this.#exactSamples) {
      const capacity = Math.min(this.#exactSamples - this.#size, Math.max(1024, Math.min(this.#size, CHUNK)));
      this.#lastValues = new Float64Array(capacity);
      this.#lastWeights = new Int32Array(capacity);
      this.#values.push(this.#lastValues);
      this.#weights.push(this.#lastWeights);
      this.#filled = 0;
      return;
    }
    const bins = new Float64Array(BINS);
    for (const [i, values] of this.#values.entries()) {
      const weights = this.#weights[i]!;
      for (let j = 0; j < values.length; j++) bins[binOf(values[j]!)]! += weights[j]!;
    }
    this.#bins = bins;
    this.#values = [];
    this.#weights = [];
    this.#lastValues = new Float64Array(0);
    this.#lastWeights = new Int32Array(0);
    this.#filled = 0;
  }
}

const EMPTY: Summary = {
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

/** Bits of a non-negative float64 order like its value: the leading ones are a logarithmic bin. */
function binOf(value: number): number {
  scratch[0] = value;
  return Math.min(Math.max((scratchWords[1]! >>> BIN_SHIFT) - FIRST_BIN, 0), BINS - 1);
}

function binMiddle(bin: number): number {
  scratchWords[0] = 0;
  scratchWords[1] = (FIRST_BIN + bin) << BIN_SHIFT;
  const low = scratch[0]!;
  scratchWords[1] = (FIRST_BIN + bin + 1) << BIN_SHIFT;
  return (low + scratch[0]!) / 2;
}
