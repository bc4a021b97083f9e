// The index behind every picture of lanes: exact busy time of any span in O(log n), what to show in a pixel column that
// holds many slices, and which slice lies under the pointer. Struct of arrays, no object per slice.
//
// Per lane, slices are sorted by start. Three parts:
//   prefix    busy time before every 16th slice of the lane, so that a span's busy time is two searches and ≤ 32 additions;
//   pyramid   the launch cut into 2^k equal buckets, for each lane: share of the bucket that is busy, and the slice that
//             covers most of it; levels 4 times coarser each. A frame reads the level whose buckets are just finer than a
//             pixel, in memory order: its cost depends on pixels, not on slices;
//   slices    where a bucket of the finest level would be wider than half a pixel, the visible slices themselves.
// A lane without many slices has no pyramid.
//
// An index of an overview has the pyramid alone: it answers at the depth that it has, however far one zooms in.

import { buildLevels, FULL, type Level, levelsFrom, type SpanData } from "../../src/levels.ts";

const PREFIX_STEP = 16;

/** What a row of pixel columns shows: busy share, and the slice to colour it by (−1: none). */
export interface LaneSamples {
  readonly share: Float32Array;
  readonly slice: Int32Array;
  /** Length in columns of the longest slice met so far in the column. */
  readonly longest: Float32Array;
}

/** What an index has computed: plain, so that another thread can compute it. */
export interface IndexParts {
  readonly prefix: Float64Array;
  readonly prefixOffset: Int32Array;
  readonly levels: readonly Level[];
  /** The pyramid knows slices that the data lack. */
  readonly overview: boolean;
}

export class BusyIndex {
  readonly data: SpanData;
  readonly #prefix: Float64Array;
  readonly #prefixOffset: Int32Array;
  readonly #levels: readonly Level[];
  readonly #overview: boolean;

  /** `given`: what was computed before, or the finest level of an overview. */
  constructor(data: SpanData, given?: IndexParts | { readonly overviewLevel: Level }) {
    this.data = data;
    if (given !== undefined && "prefix" in given) {
      this.#prefix = given.prefix;
      this.#prefixOffset = given.prefixOffset;
      this.#levels = given.levels;
      this.#overview = given.overview;
      return;
    }
    const { laneCount, offset } = data;
    this.#prefixOffset = new Int32Array(laneCount + 1);
    let most = 0;
    for (let lane = 0; lane < laneCount; lane++) {
      const count = offset[lane + 1]! - offset[lane]!;
      if (count > most) most = count;
      this.#prefixOffset[lane + 1] = this.#prefixOffset[lane]! + Math.floor(count / PREFIX_STEP) + 1;
    }
    this.#prefix = new Float64Array(this.#prefixOffset[laneCount]!);
    for (let lane = 0; lane < laneCount; lane++) this.#fillPrefix(lane);
    this.#overview = given !== undefined;
    this.#levels = given === undefined ? buildLevels(data, most) : levelsFrom(given.overviewLevel, laneCount);
  }

  get parts(): IndexParts {
    return {
      prefix: this.#prefix,
      prefixOffset: this.#prefixOffset,
      levels: this.#levels,
      overview: this.#overview,
    };
  }

  #fillPrefix(lane: number): void {
    const { start, end, offset } = this.data;
    const from = offset[lane]!;
    const to = offset[lane + 1]!;
    let at = this.#prefixOffset[lane]!;
    let sum = 0;
    for (let block = from; block < to; block += PREFIX_STEP) {
      this.#prefix[at++] = sum;
      const next = Math.min(block + PREFIX_STEP, to);
      for (let i = block; i < next; i++) sum += end[i]! - start[i]!;
    }
    if ((to - from) % PREFIX_STEP === 0) this.#prefix[at] = sum;
  }

  /** First slice of the lane that starts after `timeUs`. */
  firstStartingAfter(lane: number, timeUs: number): number {
    const { start, offset } = this.data;
    let low = offset[lane]!;
    let high = offset[lane + 1]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (start[middle]! <= timeUs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Busy time of a lane before `timeUs`, in µs. */
  busyBefore(lane: number, timeUs: number): number {
    const { start, end, offset } = this.data;
    const from = offset[lane]!;
    const next = this.firstStartingAfter(lane, timeUs);
    const block = Math.floor((next - from) / PREFIX_STEP);
    let busy = this.#prefix[this.#prefixOffset[lane]! + block]!;
    for (let i = from + block * PREFIX_STEP; i < next; i++) busy += end[i]! - start[i]!;
    if (next > from && end[next - 1]! > timeUs) busy -= end[next - 1]! - timeUs;
    return busy;
  }

  /** Busy time of a lane in [fromUs, toUs), in µs. */
  busyIn(lane: number, fromUs: number, toUs: number): number {
    return this.busyBefore(lane, toUs) - this.busyBefore(lane, fromUs);
  }

  /** Slices of a lane that overlap [fromUs, toUs). */
  slicesIn(lane: number, fromUs: number, toUs: number): { from: number; to: number } {
    const first = this.firstStartingAfter(lane, fromUs);
    const begins = this.data.offset[lane]!;
    const from = first > begins && this.data.end[first - 1]! > fromUs ? first - 1 : first;
    return { from, to: Math.max(from, this.firstStartingAfter(lane, toUs)) };
  }

  /** The slice at a time, else the longest one within `slackUs` of it, else −1. */
  sliceAt(lane: number, timeUs: number, slackUs: number): number {
    const { start, end, offset } = this.data;
    const next = this.firstStartingAfter(lane, timeUs);
    if (next > offset[lane]! && end[next - 1]! >= timeUs) return next - 1;
    const { from, to } = this.slicesIn(lane, timeUs - slackUs, timeUs + slackUs);
    let best = -1;
    // Chosen: beyond 64 neighbours the choice among slivers under one pixel tells nothing.
    for (let i = Math.max(from, next - 64); i < Math.min(to, next + 64); i++) {
      if (best === -1 || end[i]! - start[i]! > end[best]! - start[best]!) best = i;
    }
    return best;
  }

  /** Fills `samples` for `columns` pixel columns over [fromUs, toUs). */
  sampleLane(lane: number, fromUs: number, toUs: number, columns: number, samples: LaneSamples): void {
    samples.share.fill(0, 0, columns);
    samples.slice.fill(-1, 0, columns);
    samples.longest.fill(0, 0, columns);
    const columnUs = (toUs - fromUs) / columns;
    const level = this.#levelFor(columnUs);
    if (level === null) this.#sampleSlices(lane, fromUs, columnUs, columns, samples);
    else this.#sampleBuckets(level, lane, fromUs, columnUs, columns, samples);
  }

  /** The coarsest level that still has two buckets to a column; null: draw slices. An overview has its finest level. */
  #levelFor(columnUs: number): Level | null {
    for (const level of this.#levels) {
      if ((this.data.spanUs / level.buckets) * 2 <= columnUs) return level;
    }
    return this.#overview ? this.#levels.at(-1)! : null;
  }

  #sampleSlices(lane: number, fromUs: number, columnUs: number, columns: number, samples: LaneSamples): void {
    const { start, end, offset } = this.data;
    const { share, slice, longest } = samples;
    const perUs = 1 / columnUs;
    const first = this.firstStartingAfter(lane, fromUs);
    const last = offset[lane + 1]!;
    for (let i = Math.max(first - 1, offset[lane]!); i < last; i++) {
      const x0 = (start[i]! - fromUs) * perUs;
      if (x0 >= columns) break;
      const x1 = (end[i]! - fromUs) * perUs;
      if (x1 <= 0) continue;
      const from = Math.max(x0, 0);
      const to = Math.min(x1, columns);
      const c0 = from | 0;
      const c1 = to | 0;
      if (c0 === c1) {
        share[c0]! += to - from;
        if (to - from >= longest[c0]!) {
          longest[c0] = to - from;
          slice[c0] = i;
        }
        continue;
      }
      const head = c0 + 1 - from;
      share[c0]! += head;
      if (head >= longest[c0]!) {
        longest[c0] = head;
        slice[c0] = i;
      }
      for (let c = c0 + 1; c < c1; c++) {
        share[c] = 1;
        slice[c] = i;
      }
      if (c1 < columns) {
        const tail = to - c1;
        share[c1]! += tail;
        if (tail > longest[c1]!) {
          longest[c1] = tail;
          slice[c1] = i;
        }
      }
    }
  }

  #sampleBuckets(
    level: Level,
    lane: number,
    fromUs: number,
    columnUs: number,
    columns: number,
    samples: LaneSamples,
  ): void {
    const { share, slice } = samples;
    const bucketUs = this.data.spanUs / level.buckets;
    const base = lane * level.buckets;
    const perColumn = columnUs / bucketUs;
    const origin = fromUs / bucketUs;
    const scale = 1 / (FULL * perColumn);
    for (let c = 0; c < columns; c++) {
      let b0 = origin + c * perColumn;
      let b1 = b0 + perColumn;
      if (b1 <= 0 || b0 >= level.buckets) continue;
      if (b0 < 0) b0 = 0;
      if (b1 > level.buckets) b1 = level.buckets;
      const first = b0 | 0;
      const last = Math.ceil(b1) - 1;
      let sum = level.share[base + first]! * (first + 1 - b0);
      let best = level.covered[base + first]!;
      let at = base + first;
      for (let b = first + 1; b <= last; b++) {
        sum += level.share[base + b]!;
        const covered = level.covered[base + b]!;
        if (covered > best) {
          best = covered;
          at = base + b;
        }
      }
      sum -= level.share[base + last]! * (last + 1 - b1);
      share[c] = sum * scale;
      slice[c] = level.slice[at]!;
    }
  }
}
