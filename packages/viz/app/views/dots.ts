// Sets of dots on one plot, as how many lie in each cell: depth of colour is their number, and a cell that several sets
// share has their mixed colour, so that none covers another however many there are.

import { blend, hexColor, pixel } from "../draw/palette.ts";
import type { Frame } from "./time-chart.ts";

/** Chosen: so many dots can be told apart, and are drawn larger and nearly as deep as many together. */
const FEW = 10_000;
/** Depth of colour of a cell with one dot, in a cloud and among few; chosen: an outlier in a cloud must still be seen. */
const FAINTEST = { cloud: 0.4, few: 0.85 };
/** Mixtures of two colours that are told apart. */
const MIXTURES = 8;

/** Two values for each time; those that are not above 0 have no dot. */
export function drawDots(
  frame: Frame,
  atUs: ArrayLike<number>,
  first: { readonly values: Float64Array; readonly color: string },
  second: { readonly values: Float64Array; readonly color: string },
): void {
  const { context, x, y, ratio, time } = frame;
  let visible = 0;
  for (let row = 0; row < atUs.length; row++) if (atUs[row]! >= time[0] && atUs[row]! <= time[1]) visible++;
  const isFew = visible <= FEW;
  const size = Math.max(1, Math.round(2 * ratio));
  const drawn = isFew ? Math.round(3 * ratio) : size;
  const faintest = isFew ? FAINTEST.few : FAINTEST.cloud;
  const columns = Math.ceil(context.canvas.width / size) + 1;
  const lines = Math.ceil(context.canvas.height / size) + 1;
  const counts = [first, second].map(({ values }) => {
    const count = new Uint32Array(columns * lines);
    for (let row = 0; row < values.length; row++) {
      const at = atUs[row]!;
      if (!(values[row]! > 0) || at < time[0] || at > time[1]) continue;
      count[Math.floor(y(values[row]!) / size) * columns + Math.floor(x(at) / size)]!++;
    }
    return count;
  }) as [Uint32Array, Uint32Array];
  let most = 1;
  for (let cell = 0; cell < columns * lines; cell++) most = Math.max(most, counts[0][cell]! + counts[1][cell]!);
  const colors = Array.from({ length: MIXTURES + 1 }, (_, share) =>
    hexColor(blend(pixel(first.color), pixel(second.color), share / MIXTURES)),
  );
  for (let cell = 0; cell < columns * lines; cell++) {
    const dots = counts[0][cell]! + counts[1][cell]!;
    if (dots === 0) continue;
    context.globalAlpha = faintest + (1 - faintest) * (most === 1 ? 1 : Math.log(dots) / Math.log(most));
    context.fillStyle = colors[Math.round((counts[1][cell]! / dots) * MIXTURES)]!;
    context.fillRect((cell % columns) * size, Math.floor(cell / columns) * size, drawn, drawn);
  }
  context.globalAlpha = 1;
}
