// How configurations of a sweep look: a colour and a shape for each value of one field, so that neither is needed alone; filled
// where limits are kept, hollow where one is missed; large on the front.

import { type Palette, shade } from "./palette.ts";

export interface MarkClass {
  readonly label: string;
  readonly color: string;
  /** Of lines and outlines: stands out from the ground where the colour alone would not. */
  readonly edge: string;
  readonly shape: Shape;
}

/** Outline around (0, 0) as an SVG path, for a size of one. */
export type Shape = (size: number) => string;

const polygon =
  (...points: readonly (readonly [number, number])[]): Shape =>
  (size) =>
    `M${points.map(([x, y]) => `${round(x * size)},${round(y * size)}`).join("L")}Z`;

/** Of about equal area. */
const SHAPES: readonly Shape[] = [
  (size) => `M${-size},0a${size},${size} 0 1,0 ${2 * size},0a${size},${size} 0 1,0 ${-2 * size},0Z`,
  polygon([-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]),
  polygon([0, -1.2], [1.2, 0.9], [-1.2, 0.9]),
  polygon([0, -1.28], [1.28, 0], [0, 1.28], [-1.28, 0]),
  polygon([0, 1.2], [1.2, -0.9], [-1.2, -0.9]),
  polygon(
    [-0.4, -1.1],
    [0.4, -1.1],
    [0.4, -0.4],
    [1.1, -0.4],
    [1.1, 0.4],
    [0.4, 0.4],
    [0.4, 1.1],
    [-0.4, 1.1],
    [-0.4, 0.4],
    [-1.1, 0.4],
    [-1.1, -0.4],
    [-0.4, -0.4],
  ),
];

/** More values than there are shapes take colours of the ramp, in order. */
export function markClasses(labels: readonly string[], palette: Palette): MarkClass[] {
  const { requests, ramp } = palette;
  const few = labels.length <= SHAPES.length;
  return labels.map((label, i) => {
    const color = few ? requests[i]! : ramp[Math.round((i / (labels.length - 1)) * (ramp.length - 1))]!;
    return { label, color, edge: few ? color : shade(color, palette.text), shape: SHAPES[few ? i : 0]! };
  });
}

const round = (value: number): number => Math.round(value * 100) / 100;
