// The values that stand at given ranks of a sorted weighted list, without sorting it: samples are counted in bins over
// the bits between the smallest and the largest, then only the bins that hold a rank are looked into. Right because the
// bits of non-negative floats order like the floats.

/** Samples in a list of arrays, of which only the last may be filled in part. */
export interface WeightedSamples {
  readonly values: readonly Float64Array[];
  readonly weights: readonly Int32Array[];
  /** Samples in all arrays. */
  readonly size: number;
  /** Of all values, where it is known already. */
  readonly extremes?: { readonly minimum: number; readonly maximum: number };
}

/** Chosen: the counts (512 KiB) stay in the second-level cache. */
const BINS = 2 ** 16;
/** Chosen: below it sorting is quicker than counting. */
const SORTED_SIZE = 512;

/**
 * Values at ranks (from 0) of the sorted list in which sample i stands `weights[i]` times.
 * Values must be ≥ 0, weights > 0 with a sum above every rank.
 */
export function selectRanks(samples: WeightedSamples, ranks: readonly number[]): number[] {
  if (samples.size <= SORTED_SIZE) return selectSorted(samples, ranks);
  const range = bitRange(samples.extremes ?? extremesOf(samples));
  if (range.first === range.last && range.isLow) return ranks.map(() => samples.values[0]![0]!);
  const shift = Math.max(0, Math.ceil(Math.log2((range.last - range.first + 1) / BINS)));
  const counts = new Float64Array(BINS);
  const word = range.isLow ? 0 : 1;
  eachSample(samples, (words, weights, count) => {
    for (let i = 0; i < count; i++) counts[(words[2 * i + word]! - range.first) >>> shift]! += weights[i]!;
  });

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
  const result = new Array<number>(ranks.length);
  const parts = gather(samples, word, range.first, shift, [...wanted.keys()]);
  [...wanted.values()].forEach((inBin, i) => {
    const values = selectRanks(
      parts[i]!,
      inBin.map(({ rank }) => rank),
    );
    inBin.forEach(({ position }, j) => {
      result[position] = values[j]!;
    });
  });
  return result;
}

function selectSorted({ values, weights, size }: WeightedSamples, ranks: readonly number[]): number[] {
  const order = Array.from({ length: size }, (_, i) => i).sort((a, b) => values[0]![a]! - values[0]![b]!);
  return ranks.map((rank) => {
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
  eachSample(samples, (_, __, count, values) => {
    for (let i = 0; i < count; i++) {
      const value = values[i]!;
      if (value < minimum) minimum = value;
      if (value > maximum) maximum = value;
    }
  });
  return { minimum, maximum };
}

/** Copies the samples of some bins, one list for each. */
function gather(
  samples: WeightedSamples,
  word: number,
  first: number,
  shift: number,
  bins: readonly number[],
): WeightedSamples[] {
  const partOf = new Int32Array(BINS).fill(-1);
  for (const [part, bin] of bins.entries()) partOf[bin] = part;
  const sizes = bins.map(() => 0);
  eachSample(samples, (words, _, count) => {
    for (let i = 0; i < count; i++) {
      const part = partOf[(words[2 * i + word]! - first) >>> shift]!;
      if (part >= 0) sizes[part]!++;
    }
  });
  const values = sizes.map((size) => new Float64Array(size));
  const copies = sizes.map((size) => new Int32Array(size));
  const filled = bins.map(() => 0);
  eachSample(samples, (words, weights, count, array) => {
    for (let i = 0; i < count; i++) {
      const part = partOf[(words[2 * i + word]! - first) >>> shift]!;
      if (part < 0) continue;
      const at = filled[part]!++;
      values[part]![at] = array[i]!;
      copies[part]![at] = weights[i]!;
    }
  });
  return sizes.map((size, part) => ({ values: [values[part]!], weights: [copies[part]!], size }));
}

/** Calls back for each array with its bits as pairs (low, high) of words. */
function eachSample(
  { values, weights, size }: WeightedSamples,
  visit: (words: Uint32Array, weights: Int32Array, count: number, values: Float64Array) => void,
): void {
  let left = size;
  for (const [i, array] of values.entries()) {
    const count = Math.min(left, array.length);
    visit(new Uint32Array(array.buffer, array.byteOffset, array.length * 2), weights[i]!, count, array);
    left -= count;
  }
}
