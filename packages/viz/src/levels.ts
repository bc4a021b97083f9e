// The pyramid of a timeline: for each lane, time cut into 2^k equal buckets, with the share of each bucket that is busy and
// the slice that covers most of it. Levels are four times coarser each. What the page draws millions of slices from, and
// what the binary form may bring along as an overview.

export interface SpanData {
  readonly laneCount: number;
  readonly offset: Int32Array;
  readonly start: Float64Array;
  readonly end: Float64Array;
  /** All of time: 0 to spanUs. */
  readonly spanUs: number;
}

export interface Level {
  readonly buckets: number;
  /** Busy share of each bucket of each lane, 0 to 65,535. */
  readonly share: Uint16Array;
  /** Slice that covers most of the bucket, −1 for none. */
  readonly slice: Int32Array;
  /** Share that slice covers of the bucket, 0 to 65,535. */
  readonly covered: Uint16Array;
}

const LEVEL_FACTOR = 4;
// Chosen: with 4 slices in a bucket, drawing slices directly below half a pixel costs at most 8 slices a pixel.
const SLICES_PER_BUCKET = 4;
/** A whole bucket. */
export const FULL: number = 65_535;

/** Coarsest first; none where a lane has few slices. */
export function buildLevels(data: SpanData, mostSlices: number): Level[] {
  if (mostSlices < 4096 || !(data.spanUs > 0)) return [];
  return levelsFrom(finestLevel(data, 2 ** Math.ceil(Math.log2(mostSlices / SLICES_PER_BUCKET))), data.laneCount);
}

/** The coarser levels of a finest one, and itself; coarsest first. */
export function levelsFrom(finest: Level, laneCount: number): Level[] {
  const levels = [finest];
  // Chosen: no screen has fewer columns than 512 / 2.
  while (levels[0]!.buckets / LEVEL_FACTOR >= 512) levels.unshift(coarser(levels[0]!, laneCount));
  return levels;
}

function emptyLevel(buckets: number, laneCount: number): Level {
  const size = buckets * laneCount;
  return {
    buckets,
    share: new Uint16Array(size),
    slice: new Int32Array(size).fill(-1),
    covered: new Uint16Array(size),
  };
}

export function finestLevel(data: SpanData, buckets: number): Level {
  const level = emptyLevel(buckets, data.laneCount);
  const perUs = buckets / data.spanUs;
  const busy = new Float32Array(buckets);
  const most = new Float32Array(buckets);
  const { start, end, offset } = data;
  for (let lane = 0; lane < data.laneCount; lane++) {
    busy.fill(0);
    most.fill(0);
    const base = lane * buckets;
    const last = offset[lane + 1]!;
    for (let i = offset[lane]!; i < last; i++) {
      const from = start[i]! * perUs;
      const to = Math.min(end[i]! * perUs, buckets);
      for (let b = from | 0; b < to; b++) {
        const covered = Math.min(to, b + 1) - Math.max(from, b);
        busy[b]! += covered;
        if (covered > most[b]!) {
          most[b] = covered;
          level.slice[base + b] = i;
        }
      }
    }
    for (let b = 0; b < buckets; b++) {
      // Rounded up: a sliver of work must not vanish.
      level.share[base + b] = Math.min(Math.ceil(busy[b]! * FULL), FULL);
      level.covered[base + b] = Math.min(Math.ceil(most[b]! * FULL), FULL);
    }
  }
  return level;
}

function coarser(fine: Level, laneCount: number): Level {
  const level = emptyLevel(fine.buckets / LEVEL_FACTOR, laneCount);
  for (let b = 0; b < level.share.length; b++) {
    let share = 0;
    let best = 0;
    for (let k = b * LEVEL_FACTOR; k < (b + 1) * LEVEL_FACTOR; k++) {
      share += fine.share[k]!;
      if (fine.covered[k]! > best) {
        best = fine.covered[k]!;
        level.slice[b] = fine.slice[k]!;
      }
    }
    level.share[b] = Math.ceil(share / LEVEL_FACTOR);
    level.covered[b] = Math.ceil(best / LEVEL_FACTOR);
  }
  return level;
}
