// How much longer attention was measured to take than it is simulated to, by the shape of a batch of equals.
//
// The simulation knows what an uneven batch does to a launch, the measurement knows what everything together costs. Their
// ratio changes little from one measured shape to the next, so between them it is linear in each coordinate, and beyond
// them constant. Ratios are found when they are first asked for.

import type { AttentionTime } from "./layer-times.ts";

/** µs of the simulated launch of a measured shape. */
export type SimulateShape = (shape: AttentionTime) => number;

interface Grid {
  /** Ascending values of each coordinate; all combinations are measured. */
  readonly axes: readonly (readonly number[])[];
  /** NaN until it is known. */
  readonly ratios: Float64Array;
  readonly shapes: readonly (AttentionTime | undefined)[];
}

const COORDINATES = ["prefillTokens", "prefillHistory", "decodes", "decodeKv"] as const;

export class AttentionRatios {
  private readonly decode: Grid;
  private readonly prefill: Grid;
  private readonly mixed: Grid;
  private readonly simulate: SimulateShape;

  constructor(times: readonly AttentionTime[], simulate: SimulateShape) {
    this.simulate = simulate;
    this.decode = gridOf(times.filter((time) => time.prefillTokens === 0 && time.decodes > 0));
    this.prefill = gridOf(times.filter((time) => time.prefillTokens > 0 && time.decodes === 0));
    this.mixed = gridOf(times.filter((time) => time.prefillTokens > 0 && time.decodes > 0));
  }

  /** Measured over simulated time of a launch like this one. Coordinates may be fractions. */
  at(prefillTokens: number, prefillHistory: number, decodes: number, decodeKv: number): number {
    const grid = prefillTokens === 0 ? this.decode : decodes === 0 ? this.prefill : this.mixed;
    const point = [prefillTokens, prefillHistory, decodes, decodeKv];
    return this.blend(grid, point, 0, 0);
  }

  /** Linear along one axis between what is found along the others. */
  private blend(grid: Grid, point: readonly number[], axis: number, index: number): number {
    if (axis === grid.axes.length) return this.ratio(grid, index);
    const values = grid.axes[axis]!;
    const x = point[axis]!;
    let high = 0;
    while (high < values.length && values[high]! < x) high++;
    const along = (at: number) => this.blend(grid, point, axis + 1, index * values.length + at);
    if (high === 0) return along(0);
    if (high === values.length) return along(high - 1);
    const low = values[high - 1]!;
    const share = (x - low) / (values[high]! - low);
    return share === 1 ? along(high) : (1 - share) * along(high - 1) + share * along(high);
  }

  private ratio(grid: Grid, index: number): number {
    const known = grid.ratios[index]!;
    if (known > 0) return known;
    const shape = grid.shapes[index]!;
    const ratio = shape.us / this.simulate(shape);
    grid.ratios[index] = ratio;
    return ratio;
  }
}

/**
 * The shapes on the largest full grid: powers of two on every axis, and all values of an axis where that leaves no hole.
 */
function gridOf(times: readonly AttentionTime[]): Grid {
  const byKey = new Map(times.map((time) => [COORDINATES.map((name) => time[name]).join(), time]));
  const all = COORDINATES.map((name) => [...new Set(times.map((time) => time[name]))].sort((a, b) => a - b));
  const powers = all.map((values) => values.filter((value) => Number.isInteger(Math.log2(value)) || value === 0));
  for (const axes of [all, powers]) {
    let keys: number[][] = [[]];
    for (const values of axes) keys = keys.flatMap((key) => values.map((value) => [...key, value]));
    const shapes = keys.map((key) => byKey.get(key.join()));
    if (shapes.length > 0 && shapes.every((shape) => shape !== undefined)) {
      return { axes, shapes, ratios: new Float64Array(shapes.length) };
    }
  }
  return { axes: all.map(() => [0]), shapes: [], ratios: Float64Array.of(1) };
}
