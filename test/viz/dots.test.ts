import { describe, expect, it } from "vitest";
import { PALETTES } from "../../packages/viz/app/draw/palette.ts";
import { drawDots } from "../../packages/viz/app/views/dots.ts";
import type { Frame } from "../../packages/viz/app/views/time-chart.ts";

const FIRST = "#d55e00";
const SECOND = "#9fb0c3";

/** Cells of 2 × 2 pixels on a plot of 100 × 100 that are drawn for so many dots of both sets, by their place. */
function cellsOf(first: readonly (readonly [x: number, y: number, dots: number])[], second: typeof first) {
  const cells = new Map<string, { color: string; alpha: number }>();
  const context = {
    canvas: { width: 100, height: 100 },
    fillStyle: "",
    globalAlpha: 1,
    fillRect(x: number, y: number) {
      cells.set(`${x},${y}`, { color: this.fillStyle, alpha: this.globalAlpha });
    },
  };
  const dots = [...first.map((dot) => ({ dot, set: 0 })), ...second.map((dot) => ({ dot, set: 1 }))].flatMap(
    ({ dot: [x, y, count], set }) => Array.from({ length: count }, () => ({ x, y, set })),
  );
  const values = (set: number): Float64Array =>
    Float64Array.from(dots, (dot) => (dot.set === set ? dot.y : Number.NaN));
  const same = (value: number): number => value;
  const frame = { context, palette: PALETTES.light, x: same, y: same, ratio: 1, time: [0, 100] };
  drawDots(
    frame as unknown as Frame,
    dots.map((dot) => dot.x),
    { values: values(0), color: FIRST },
    { values: values(1), color: SECOND },
  );
  expect(context.globalAlpha).toBe(1);
  return cells;
}

describe("dots of two sets", () => {
  it("mix their colours in the proportion of their numbers where they share a cell, so that none covers the other", () => {
    const cells = cellsOf(
      [
        [10, 10, 1],
        [20, 20, 30],
        [30, 30, 30],
      ],
      [
        [20, 20, 30],
        [30, 30, 10],
        [41, 41, 1],
      ],
    );
    expect(cells.size).toBe(4);
    expect(cells.get("10,10")!.color).toBe(FIRST);
    expect(cells.get("40,40")!.color).toBe(SECOND);
    expect(cells.get("20,20")!.color).toBe("#ba8762");
    expect(cells.get("30,30")!.color).toBe("#c87331");
  });

  it("are a cloud when they are many: deep where most are, and an outlier can still be seen", () => {
    const cells = cellsOf(
      [
        [10, 10, 30_000],
        [20, 20, 100],
        [30, 30, 1],
      ],
      [],
    );
    const alpha = (place: string): number => cells.get(place)!.alpha;
    expect(alpha("10,10")).toBe(1);
    expect(alpha("20,20")).toBeLessThan(alpha("10,10"));
    expect(alpha("30,30")).toBeLessThan(alpha("20,20"));
    expect(alpha("30,30")).toBeGreaterThanOrEqual(0.4);
    for (const { alpha } of cellsOf(
      [
        [10, 10, 20],
        [20, 20, 1],
      ],
      [],
    ).values())
      expect(alpha).toBeGreaterThanOrEqual(0.85);
  });

  it("outside the visible time, and values that are none, are not drawn", () => {
    expect(cellsOf([[101, 10, 1]], [[50, 0, 1]]).size).toBe(0);
  });
});
