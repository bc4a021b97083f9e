// Measured attention times of even batches between the measured shapes: linear in each coordinate, as the work is.

import type { AttentionTime } from "./layer-times.ts";

/** Shape of a launch; the fields that are averages may be fractions. */
export type AttentionLaunch = Omit<AttentionTime, "us">;

interface Grid {
  /** Ascending values of each coordinate; all combinations are measured. */
  readonly axes: readonly (readonly number[])[];
  readonly us: Float64Array;
}

const COORDINATES = ["prefillTokens", "prefillHistory", "decodes", "decodeKv"] as const;

export class AttentionGrid {
  private readonly decode: Grid;
  private readonly prefill: Grid;
  private readonly mixed: Grid;

  constructor(times: readonly AttentionTime[]) {
    this.decode = gridOf(times.filter((time) => time.prefillTokens === 0 && time.decodes > 0));
    this.prefill = gridOf(times.filter((time) => time.prefillTokens > 0 && time.decodes === 0));
    this.mixed = gridOf(times.filter((time) => time.prefillTokens > 0 && time.decodes > 0));
  }

  /** The nearest launch inside the measured range. */
  clamped(launch: AttentionLaunch): AttentionLaunch {
    const { axes } = this.gridFor(launch);
    const clamp = (axis: number): number => {
      const values = axes[axis]!;
      return Math.min(Math.max(launch[COORDINATES[axis]!], values[0]!), values.at(-1)!);
    };
    return { prefillTokens: clamp(0), prefillHistory: clamp(1), decodes: clamp(2), decodeKv: clamp(3) };
  }

  /** µs of one launch inside the measured range. */
  us(launch: AttentionLaunch): number {
    return blend(this.gridFor(launch), launch, 0, 0);
  }

  private gridFor(launch: AttentionLaunch): Grid {
    return launch.prefillTokens === 0 ? this.decode : launch.decodes === 0 ? this.prefill : this.mixed;
  }
}

/** Linear along one axis between what is found along the others. */
function blend(grid: Grid, launch: AttentionLaunch, axis: number, index: number): number {
  if (axis === grid.axes.length) return grid.us[index]!;
  const values = grid.axes[axis]!;
  const x = launch[COORDINATES[axis]!];
  let high = 0;
  while (values[high]! < x) high++;
  const at = index * values.length + high;
  if (high === 0 || values[high] === x) return blend(grid, launch, axis + 1, at);
  const low = values[high - 1]!;
  const share = (x - low) / (values[high]! - low);
  return (1 - share) * blend(grid, launch, axis + 1, at - 1) + share * blend(grid, launch, axis + 1, at);
}

/** A full grid among the shapes: all values of every axis, or where that has holes, its powers of two. */
function gridOf(times: readonly AttentionTime[]): Grid {
  const byKey = new Map(times.map((time) => [COORDINATES.map((name) => time[name]).join(), time.us]));
  const all = COORDINATES.map((name) => [...new Set(times.map((time) => time[name]))].sort((a, b) => a - b));
  const powers = all.map((values) => values.filter((value) => value === 0 || (value & (value - 1)) === 0));
  for (const axes of [all, powers]) {
    let keys: number[][] = [[]];
    for (const values of axes) keys = keys.flatMap((key) => values.map((value) => [...key, value]));
    const us = keys.map((key) => byKey.get(key.join()));
    if (us.length > 0 && us.every((value) => value !== undefined)) return { axes, us: Float64Array.from(us) };
  }
  return { axes: COORDINATES.map(() => [0]), us: Float64Array.of(0) };
}
