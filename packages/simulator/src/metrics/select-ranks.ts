// The values that stand at given ranks of a sorted weighted list, without sorting it: samples are counted in bins over
// the bits between the smallest and the largest, then only the bins that hold a rank are looked into. Right because the
// bits of non-negative floats order like the floats.

import { grown } from "../typed-arrays.ts";

/** Samples in a list of arrays, of which only the last may be filled in part. */
export interface WeightedSamples {
  readonly values: readonly Float64Array[];
  readonly weights: readonly Int32Array[];
  /** Samples in all arrays. */
  readonly size: number;
  /** Of all values, where it is known already. */
  readonly extremes: { readonly minimum: number; readonly maximum: number } | undefined;
}

/** Chosen: the counts (512 KiB) stay in the second-level cache. */
const MOST_BINS = 2 ** 16;
/** Chosen: below it sorting is quicker than counting. */
const SORTED_SIZE = 512;

/** Which bits of a sample say its bin: a word of it, less `first`, shifted. */
interface Binning {
  readonly word: number;
  readonly first: number;
  readonly shift: number;
  readonly bins: number;
}

/**
 * Values at ranks (from 0) of the sorted list in which sample i stands `weights[i]` times.
 * Values must be ≥ 0, weights > 0 with a sum above every rank.
 */
export function selectRanks(samples: WeightedSamples, ranks: readonly number[]): Float64Array {
  if (samples.size <= SORTED_SIZE) return selectSorted(samples, ranks);
  const range = bitRange(samples.extremes ?? extremesOf(samples));
  if (range.first === range.last && range.isLow) return new Float64Array(ranks.length).fill(samples.values[0]![0]!);
  // No more bins than samples: emptying them takes time too.
  const bins = Math.min(MOST_BINS, 2 ** Math.ceil(Math.log2(samples.size)));
  const shift = Math.max(0, Math.ceil(Math.log2((range.last - range.first + 1) / bins)));
  const binning = { word: range.isLow ? 0 : 1, first: range.first, shift, bins };
  const counts = new Float64Array(bins);
  eachArray(samples, (values, weights, count) => countInBins(values, weights, count, binning, counts));

  /** Rank within its bin, by bin. */
  const wanted = new Map<number, { position: number; rank: number }[]>();
  // From the lowest rank to the highest, so that the bins are walked once.
  const ascending = ranks.map((rank, position) => ({ rank, position })).sort((a, b) => a.rank - b.rank);
  let bin = 0;
  let below = 0;
  for (const { rank, position } of ascending) {
    while (below + counts[bin]! <= rank) below += counts[bin++]!;
    const inBin = wanted.get(bin) ?? [];
    inBin.push({ position, rank: rank - below });
    wanted.set(bin, inBin);
  }
  const result = new Float64Array(ranks.length);
  const parts = new Parts(binning, [...wanted.keys()]);
  eachArray(samples, (values, weights, count) => parts.gather(values, weights, count));
  [...wanted.values()].forEach((inBin, part) => {
    const values = selectRanks(
      parts.samplesOf(part),
      inBin.map(({ rank }) => rank),
    );
    inBin.forEach(({ position }, j) => {
      result[position] = values[j]!;
    });
  });
  return result;
}

function countInBins(
  values: Float64Array,
  weights: Int32Array,
  count: number,
  { word, first, shift }: Binning,
  counts: Float64Array,
): void {
  const words = wordsOf(values);
  for (let i = 0; i < count; i++) counts[(words[2 * i + word]! - first) >>> shift]! += weights[i]!;
}

/** The samples of some bins, one list for each. */
class Parts {
  readonly #binning: Binning;
  readonly #partOf: Int32Array;
  readonly #values: Float64Array[];
  readonly #weights: Int32Array[];
  readonly #sizes: Int32Array;

  constructor(binning: Binning, wanted: readonly number[]) {
    this.#binning = binning;
    this.#partOf = new Int32Array(binning.bins).fill(-1);
    for (const [part, bin] of wanted.entries()) this.#partOf[bin] = part;
    this.#values = wanted.map(() => new Float64Array(64));
    this.#weights = wanted.map(() => new Int32Array(64));
    this.#sizes = new Int32Array(wanted.length);
  }

  /** Copies what is wanted of an array. */
  gather(values: Float64Array, weights: Int32Array, count: number): void {
    const { word, first, shift } = this.#binning;
    const partOf = this.#partOf;
    const words = wordsOf(values);
    for (let i = 0; i < count; i++) {
      const part = partOf[(words[2 * i + word]! - first) >>> shift]!;
      if (part >= 0) this.#add(part, values[i]!, weights[i]!);
    }
  }

  samplesOf(part: number): WeightedSamples {
    const values = [this.#values[part]!];
    return { values, weights: [this.#weights[part]!], size: this.#sizes[part]!, extremes: undefined };
  }

  #add(part: number, value: number, weight: number): void {
    const at = this.#sizes[part]!++;
    if (at === this.#values[part]!.length) {
      this.#values[part] = grown(this.#values[part]!, 2 * at);
      this.#weights[part] = grown(this.#weights[part]!, 2 * at);
    }
    this.#values[part]![at] = value;
    this.#weights[part]![at] = weight;
  }
}

function selectSorted({ values, weights, size }: WeightedSamples, ranks: readonly number[]): Float64Array {
  const order = Array.from({ length: size }, (_, i) => i).sort((a, b) => values[0]![a]! - values[0]![b]!);
  return Float64Array.from(ranks, (rank) => {
    let i = 0;
    for (let below = weights[0]![order[0]!]!; below <= rank; below += weights[0]![order[i]!]!) i++;
    return values[0]![order[i]!]!;
  });
}

/** Smallest and largest high word; where all samples share it, low word. */
function bitRange({ minimum, maximum }: { minimum: number; maximum: number }): {
  first: number;
  last: number;
  isLow: boolean;
} {
  const [lowFirst, first, lowLast, last] = new Uint32Array(Float64Array.of(minimum, maximum).buffer);
  if (first === last) return { first: lowFirst!, last: lowLast!, isLow: true };
  return { first: first!, last: last!, isLow: false };
}

function extremesOf(samples: WeightedSamples): { minimum: number; maximum: number } {
  let minimum = Number.POSITIVE_INFINITY;
  let maximum = Number.NEGATIVE_INFINITY;
  eachArray(samples, (values, _, count) => {
    for (let i = 0; i < count; i++) {
      const value = values[i]!;
      if (value < minimum) minimum = value;
      if (value > maximum) maximum = value;
    }
  });
  return { minimum, maximum };
}

/** Calls back for each array, with how many samples are in it. */
function eachArray(
  { values, weights, size }: WeightedSamples,
  visit: (values: Float64Array, weights: Int32Array, count: number) => void,
): void {
  let left = size;
  for (const [i, array] of values.entries()) {
    const count = Math.min(left, array.length);
    visit(array, weights[i]!, count);
    left -= count;
  }
}

/** Bits as pairs (low, high) of words. */
function wordsOf(values: Float64Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
}
