// Attention launches that were simulated before, by the lengths of their requests: the same numbers, found once.
//
// Decode steps follow one another with every request a token longer, which changes a launch by less than the simulation
// can know. So lengths of decodes are rounded to the nearest multiple of a power of two that is at most 1/64 of them,
// 0.8 % away at most, and a launch stays the same for some steps. What a step takes is a function of the step alone: a
// memo that remembers everything or nothing gives the same times.

/** Longest decodes of 128 tokens are exact, those of 8,192 are rounded to multiples of 128. */
const ROUNDING_BITS = 6;

/** Launches that are remembered; chosen: those of some thousand steps of every replica. */
const ENTRIES = 16_384;

export interface LaunchTimes {
  durationUs: number;
  imbalance: number;
  busyFraction: number;
}

export class LaunchMemo {
  /** The batch of the last call of `find`, rounded; entries [0, count). */
  qoLens: Int32Array = new Int32Array(256);
  kvLens: Int32Array = new Int32Array(256);
  private count = 0;
  private entry = 0;
  private readonly roundingBits: number;
  private readonly keys: (Int32Array | undefined)[] = new Array(ENTRIES).fill(undefined);
  private readonly durationUs = new Float64Array(ENTRIES);
  private readonly imbalance = new Float64Array(ENTRIES);
  private readonly busyFraction = new Float64Array(ENTRIES);

  /** With `isExact` lengths are taken as they are, and only equal batches are found again. */
  constructor(isExact: boolean) {
    this.roundingBits = isExact ? 31 : ROUNDING_BITS;
  }

  /** Rounds a batch and looks it up: true when `times` was filled in, else `remember` what `qoLens` and `kvLens` take. */
  find(count: number, qoLens: Int32Array, kvLens: Int32Array, times: LaunchTimes): boolean {
    if (this.qoLens.length < count) {
      this.qoLens = new Int32Array(2 * count);
      this.kvLens = new Int32Array(2 * count);
    }
    const { roundingBits } = this;
    let hash = count;
    for (let i = 0; i < count; i++) {
      const qoLen = qoLens[i]!;
      const kvLen = qoLen === 1 ? rounded(kvLens[i]!, roundingBits) : kvLens[i]!;
      this.qoLens[i] = qoLen;
      this.kvLens[i] = kvLen;
      hash = Math.imul(hash ^ kvLen, 0x9e3779b1);
      hash = Math.imul(hash ^ qoLen ^ (hash >>> 15), 0x85ebca6b);
    }
    this.count = count;
    const entry = (hash ^ (hash >>> 16)) & (ENTRIES - 1);
    this.entry = entry;
    const key = this.keys[entry];
    if (key === undefined || key.length !== 2 * count) return false;
    for (let i = 0; i < count; i++) {
      if (key[2 * i] !== this.kvLens[i] || key[2 * i + 1] !== this.qoLens[i]) return false;
    }
    times.durationUs = this.durationUs[entry]!;
    times.imbalance = this.imbalance[entry]!;
    times.busyFraction = this.busyFraction[entry]!;
    return true;
  }

  /** Keeps the times of the batch that `find` did not know, in place of another. */
  remember({ durationUs, imbalance, busyFraction }: LaunchTimes): void {
    const { entry, count } = this;
    let key = this.keys[entry];
    if (key === undefined || key.length !== 2 * count) {
      key = new Int32Array(2 * count);
      this.keys[entry] = key;
    }
    for (let i = 0; i < count; i++) {
      key[2 * i] = this.kvLens[i]!;
      key[2 * i + 1] = this.qoLens[i]!;
    }
    this.durationUs[entry] = durationUs;
    this.imbalance[entry] = imbalance;
    this.busyFraction[entry] = busyFraction;
  }
}

/** The nearest multiple of the largest power of two that is at most 2^−bits of the length; at least 1. */
function rounded(kvLen: number, bits: number): number {
  const shift = 31 - Math.clz32(kvLen) - bits;
  if (shift <= 0) return kvLen;
  return ((kvLen + (1 << (shift - 1))) >> shift) << shift;
}
