// Piecewise linear functions over measured rows [x, y], x ascending.

import type { CurveTable } from "./profile.ts";

type Rows = CurveTable["rows"];

/** Value at x: between rows linear, below the first and above the last row constant. */
export function interpolate(rows: Rows, x: number): number {
  const last = rows.length - 1;
  if (x <= rows[0]![0]) return rows[0]![1];
  if (x >= rows[last]![0]) return rows[last]![1];
  let high = 1;
  while (rows[high]![0] < x) high++;
  const [x0, y0] = rows[high - 1]!;
  const [x1, y1] = rows[high]!;
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

/** Like interpolate, but goes on above the last row with y proportional to x: for times of work that has no end. */
export function extrapolate(rows: Rows, x: number): number {
  const [lastX, lastY] = rows[rows.length - 1]!;
  return x <= lastX ? interpolate(rows, x) : (lastY * x) / lastX;
}
