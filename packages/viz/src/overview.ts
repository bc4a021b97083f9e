// The overview of a long timeline: what a page can draw and explain before the slices have arrived.
//
// For each lane, a row of buckets with their busy share and the slice that covers most of each; those slices themselves; and
// the sums of all slices. It is computed from the slices with the code that the page uses, stands before them in the binary
// form, and is dropped when they are there.

import type { Timeline } from "@isochron/planner";
import { makeLanes } from "./lanes.ts";
import { finestLevel, type Level } from "./levels.ts";
import { sumSlices, type WorkSums } from "./work-sums.ts";

export const OVERVIEW_VERSION = 1;

/** Chosen: below this many slices the whole file opens in under half a second. */
const MIN_SLICES = 500_000;

/** Chosen: about a pixel each at 1280 pixels; 5 MB for 132 lanes, which stay in memory with the slices. */
const BUCKETS = 1024;

export interface Overview {
  readonly version: number;
  /** Slices of the whole timeline. */
  readonly sliceCount: number;
  /** All of time, in µs: the launch, or the end of the last slice. */
  readonly spanUs: number;
  readonly buckets: number;
  /** As in Level; `slice` is a position in `slices`. */
  readonly share: ArrayLike<number>;
  readonly slice: ArrayLike<number>;
  readonly covered: ArrayLike<number>;
  readonly slices: Readonly<Record<keyof Timeline["slices"], ArrayLike<number>>>;
  readonly work: WorkSums;
}

/** What an overview knows of the slices that it lacks. */
export interface OverviewParts {
  readonly sliceCount: number;
  readonly level: Level;
  readonly sums: WorkSums;
}

/** Null for a timeline that is short, that has slices on SMs which do not exist, or whose slices are not in the order of its lanes. */
export function makeOverview(timeline: Timeline, minSlices: number = MIN_SLICES): Overview | null {
  const { slices, device } = timeline;
  const count = slices.worker.length;
  if (count < minSlices) return null;
  // The encoder takes what it is given; whoever reads the file says what is wrong with it.
  for (let i = 0; i < count; i++) if (!(slices.sm[i]! < device.smCount)) return null;
  const lanes = makeLanes({ ...slices, ...device });
  if (lanes.order !== null) return null;
  const start = floats(slices.startUs);
  const end = floats(slices.endUs);
  let spanUs = timeline.durationUs;
  for (let i = 0; i < count; i++) if (end[i]! > spanUs) spanUs = end[i]!;
  if (!(spanUs > 0)) return null;
  const level = finestLevel({ laneCount: lanes.count, offset: lanes.offset, start, end, spanUs }, BUCKETS);
  const kept = Int32Array.from(new Set(level.slice)).sort();
  const picks = kept[0] === -1 ? kept.subarray(1) : kept;
  const position = new Map<number, number>([[-1, -1]]);
  picks.forEach((slice, at) => {
    position.set(slice, at);
  });
  return {
    version: OVERVIEW_VERSION,
    sliceCount: count,
    spanUs,
    buckets: BUCKETS,
    share: level.share,
    slice: level.slice.map((slice) => position.get(slice)!),
    covered: level.covered,
    slices: Object.fromEntries(
      Object.entries(slices).map(([name, column]) => [
        name,
        Array.from(picks, (slice) => (column as number[])[slice]!),
      ]),
    ) as unknown as Overview["slices"],
    work: sumSlices({ ...slices, start, end }, lanes.offset, timeline.batch.kvLens.length),
  };
}

function floats(values: ArrayLike<number>): Float64Array {
  return values instanceof Float64Array ? values : Float64Array.from(values);
}
