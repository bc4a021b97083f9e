// The values that stand at given ranks of a sorted weighted list, without sorting it: radix selection over the bits of
// float64, 16 at a time from the top. Four passes, whatever the ranks; right because the bits of non-negative floats
// order like the floats.

const DIGIT = 0x1_0000;

interface Target {
  /** Rank among the samples that share the digits found so far. */
  rank: number;
  high: number;
  low: number;
  /** Which of the pass's histograms counts the samples that share its digits. */
  histogram: number;
}

/**
 * Values at ranks (from 0) of the sorted list in which sample i stands `weights[i]` times.
 * Values must be ≥ 0, weights ≥ 0 with a sum above every rank.
 */
export function selectRanks(values: Float64Array, weights: Int32Array, ranks: readonly number[]): number[] {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  const targets: Target[] = ranks.map((rank) => ({ rank, high: 0, low: 0, histogram: 0 }));
  for (let pass = 0; pass < 4; pass++) {
    const histograms = shareHistograms(targets);
    countDigits(words, weights, pass, targets, histograms);
    for (const target of targets) {
      const histogram = histograms[target.histogram]!;
      let digit = 0;
      while (histogram[digit]! <= target.rank) target.rank -= histogram[digit++]!;
      if (pass === 0) target.high = digit * DIGIT;
      else if (pass === 1) target.high += digit;
      else if (pass === 2) target.low = digit * DIGIT;
      else target.low += digit;
    }
  }
  const result = new Float64Array(targets.length);
  const resultWords = new Uint32Array(result.buffer);
  targets.forEach((target, i) => {
    resultWords[2 * i] = target.low;
    resultWords[2 * i + 1] = target.high;
  });
  return [...result];
}

/** One histogram for each distinct run of digits. */
function shareHistograms(targets: readonly Target[]): Float64Array[] {
  const histograms: Float64Array[] = [];
  targets.forEach((target, i) => {
    const same = targets.findIndex((other) => other.high === target.high && other.low === target.low);
    target.histogram = same < i ? targets[same]!.histogram : histograms.push(new Float64Array(DIGIT)) - 1;
  });
  return histograms;
}

function countDigits(
  words: Uint32Array,
  weights: Int32Array,
  pass: number,
  targets: readonly Target[],
  histograms: readonly Float64Array[],
): void {
  if (pass === 0) {
    const histogram = histograms[0]!;
    for (let i = 0; i < weights.length; i++) histogram[words[2 * i + 1]! >>> 16]! += weights[i]!;
    return;
  }
  histograms.forEach((histogram, h) => {
    const { high, low } = targets.find((target) => target.histogram === h)!;
    if (pass === 1) {
      for (let i = 0; i < weights.length; i++) {
        const word = words[2 * i + 1]!;
        if (((word ^ high) & 0xffff_0000) === 0) histogram[word & 0xffff]! += weights[i]!;
      }
    } else if (pass === 2) {
      for (let i = 0; i < weights.length; i++) {
        if (words[2 * i + 1]! === high) histogram[words[2 * i]! >>> 16]! += weights[i]!;
      }
    } else {
      for (let i = 0; i < weights.length; i++) {
        const word = words[2 * i]!;
        if (words[2 * i + 1]! === high && (word ^ low) >>> 16 === 0) histogram[word & 0xffff]! += weights[i]!;
      }
    }
  });
}
