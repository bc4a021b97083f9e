// Every configuration as one line over all fields that vary, its cost and its latencies: which settings lead where. An SVG, as
// the pictures above it.

import { scaleLinear } from "d3-scale";
import type { Row } from "../documents/sweep.ts";
import { FONT, uiScale } from "../draw/measures.ts";
import type { Palette } from "../draw/palette.ts";
import { type Measure, type Sweep, valueText } from "../model/sweep.ts";
import { h, s } from "../ui/dom.ts";
import { axis, type MarkedRows } from "./scatter.ts";

export interface ParallelInput extends MarkedRows {
  readonly measures: readonly Measure[];
}

interface Column {
  readonly name: string;
  readonly at: (row: Row) => number | undefined;
  readonly ticks: readonly { readonly y: number; readonly text: string }[];
  readonly limit?: number | undefined;
}

const MARGIN = { top: 26, right: 64, bottom: 10, left: 64 };
const REACH = 12;
/** Height of a line of a heading. */
const LINE = 13;
/** Mean width of a bold letter of 11 px in the widest of the fonts. */
const LETTER = 6.4;

export class ParallelAxes {
  readonly element: HTMLElement;
  svg: SVGSVGElement = s("svg");
  readonly #stage: HTMLElement = h("div", { class: "scatter-stage" });
  readonly #sweep: Sweep;
  #drawn: unknown[] = [];
  #lines: readonly { readonly row: Row; readonly points: readonly (readonly [number, number])[] }[] = [];
  readonly #strong: SVGSVGElement = s("svg", { class: "scatter-over", "aria-hidden": "true" });

  constructor(
    sweep: Sweep,
    hover: (configuration: number, x: number, y: number) => void,
    pick: (configuration: number) => void,
  ) {
    this.#sweep = sweep;
    this.element = h(
      "figure",
      { class: "scatter parallel", "aria-label": "All fields" },
      h("figcaption", {}, h("span", { class: "chart-title" }, "What leads where")),
      this.#stage,
    );
    this.#stage.addEventListener("pointermove", (event) => hover(this.#near(event), event.clientX, event.clientY));
    this.#stage.addEventListener("pointerleave", () => hover(-1, 0, 0));
    this.#stage.addEventListener("click", (event) => pick(this.#near(event)));
  }

  /** The line whose height at the pointer's place is nearest. */
  #near(event: MouseEvent): number {
    const box = this.#stage.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let least = REACH;
    for (const { row, points } of this.#lines) {
      const k = points.findIndex(([right]) => right >= x);
      if (k < 1) continue;
      const [[x0, y0], [x1, y1]] = [points[k - 1]!, points[k]!];
      const distance = Math.abs(y0 + ((x - x0) / (x1 - x0)) * (y1 - y0) - y);
      if (distance >= least) continue;
      least = distance;
      best = row.configuration;
    }
    return best;
  }

  draw(input: ParallelInput, marked: readonly number[]): void {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    if (width < 160 || height < 60) return;
    const { palette, rows, classOf } = input;
    const key = [palette, rows, classOf, width, height, uiScale()];
    if (key.some((part, k) => part !== this.#drawn[k])) {
      this.#drawn = key;
      this.#build(input, width, height);
    }
    this.#strong.replaceChildren(
      ...[...marked].reverse().flatMap((configuration) => {
        const line = this.#lines.find(({ row }) => row.configuration === configuration);
        if (line === undefined) return [];
        const shape = { d: pathOf(line.points), fill: "none" };
        return [
          s("path", { ...shape, stroke: palette.background, "stroke-width": 6 }),
          s("path", { ...shape, stroke: palette.text, "stroke-width": 3.5 }),
          s("path", { ...shape, stroke: classOf(line.row).edge, "stroke-width": 2 }),
        ];
      }),
    );
  }

  #build(input: ParallelInput, width: number, height: number): void {
    const { palette, rows, classOf, keepsLimits, onFront } = input;
    const ui = uiScale();
    const names = [...this.#sweep.paths, ...input.measures.map(({ name }) => name)];
    const placeOf = scaleLinear()
      .domain([0, Math.max(names.length - 1, 1)])
      .range([MARGIN.left * ui, width - MARGIN.right * ui]);
    const headings = names.map((name) => headingLines(name, placeOf(1) - placeOf(0), ui));
    const lines = Math.max(...headings.map((heading) => heading.length));
    const [top, bottom] = [(MARGIN.top + (lines - 1) * LINE) * ui, height - MARGIN.bottom];
    const columns = [
      ...this.#sweep.paths.map((path) => this.#field(path, top, bottom)),
      ...input.measures.map((measure) => measured(measure, rows, top, bottom)),
    ];
    this.#lines = rows.flatMap((row) => {
      const points = columns.map((column, i) => [placeOf(i), column.at(row)] as const);
      return points.every((point): point is readonly [number, number] => point[1] !== undefined)
        ? [{ row, points }]
        : [];
    });
    this.svg = s("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      "font-family": FONT,
      "font-size": 11 * ui,
      role: "img",
      "aria-label": "Every configuration as a line over its fields, cost and latencies; the table has the same numbers",
    });
    this.svg.append(s("rect", { width, height, fill: palette.background }));
    // Chosen: thousands of lines together stay lighter than those of the front.
    const faint = Math.max(0.04, 0.28 * Math.min(1, 150 / rows.length));
    for (const large of [false, true]) {
      for (const { row, points } of this.#lines) {
        if (onFront.has(row.configuration) !== large) continue;
        this.svg.append(
          s("path", {
            d: pathOf(points),
            fill: "none",
            stroke: classOf(row).edge,
            "stroke-width": large ? 1.75 : 1,
            opacity: large ? 0.95 : faint,
            "stroke-dasharray": keepsLimits(row) ? undefined : "4 3",
          }),
        );
      }
    }
    columns.forEach((column, i) => {
      this.#column(column, headings[i]!, placeOf(i), i === columns.length - 1, palette, top, bottom, ui);
    });
    this.#stage.replaceChildren(this.svg, this.#strong);
  }

  #column(
    { name, ticks, limit }: Column,
    heading: readonly string[],
    x: number,
    isLast: boolean,
    palette: Palette,
    top: number,
    bottom: number,
    ui: number,
  ): void {
    const clear = {
      "paint-order": "stroke",
      stroke: palette.background,
      "stroke-width": 4,
      "stroke-linejoin": "round",
    };
    this.svg.append(
      s("line", { x1: x, x2: x, y1: top, y2: bottom, stroke: palette.muted, "stroke-width": 1 }),
      s(
        "text",
        { "text-anchor": "middle", "font-weight": 600, fill: palette.text, ...clear },
        s("title", {}, name),
        ...heading.map((line, i) => s("tspan", { x, y: top - (12 + (heading.length - 1 - i) * LINE) * ui }, line)),
      ),
    );
    if (limit !== undefined) {
      this.svg.append(
        s("line", { x1: x - 9, x2: x + 9, y1: limit, y2: limit, stroke: palette.bound, "stroke-width": 3 }),
      );
    }
    for (const { y, text } of ticks) {
      this.svg.append(
        s(
          "text",
          {
            x: x + (isLast ? 7 : -7),
            y: y + 4 * ui,
            "text-anchor": isLast ? "start" : "end",
            fill: palette.muted,
            ...clear,
          },
          text,
        ),
      );
    }
  }

  /** The first value is at the bottom. */
  #field(path: string, top: number, bottom: number): Column {
    const values = this.#sweep.valuesOf(path);
    const y = (i: number): number => bottom - 8 - ((i + 0.5) / values.length) * (bottom - top - 16);
    const place = new Map(values.map((value, i) => [value, y(i)]));
    return {
      name: path,
      at: ({ fields }) => place.get(valueText(fields, path)),
      ticks: values.length > 24 ? [] : values.map((text, i) => ({ y: y(i), text })),
    };
  }
}

/** A name in one line, or where that is wider than the space of its axis in two: `speculative`, `Tokens`. */
function headingLines(name: string, room: number, ui: number): string[] {
  const letters = Math.max(3, Math.floor((room - 6) / (LETTER * ui)));
  if (name.length <= letters) return [name];
  const words = name.split(/(?<=[a-z])(?=[A-Z])|(?<=[ .])/);
  const lengthOf = (count: number): number => words.slice(0, count).join("").length;
  const cuts = words.slice(1).map((_, i) => i + 1);
  const cut = cuts.reduce(
    (best, at) => (Math.abs(2 * lengthOf(at) - name.length) < Math.abs(2 * lengthOf(best) - name.length) ? at : best),
    cuts[0] ?? 1,
  );
  return [words.slice(0, cut).join(""), words.slice(cut).join("")]
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line) => (line.length <= letters ? line : `${line.slice(0, letters - 1)}…`));
}

function measured(measure: Measure, rows: readonly Row[], top: number, bottom: number): Column {
  const held = rows.filter((row) => measure.of(row) !== null);
  const scale = axis(measure, held, [bottom - 6, top + 6]);
  return {
    name: measure.name,
    at: (row) => {
      const value = measure.of(row);
      return value === null ? undefined : scale.at(value);
    },
    ticks: scale.ticks((bottom - top) / 24).map((value) => ({ y: scale.at(value), text: measure.tick(value) })),
    limit: measure.limit === undefined ? undefined : scale.at(measure.limit),
  };
}

function pathOf(points: readonly (readonly [number, number])[]): string {
  return `M${points.map(([x, y]) => `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`).join("L")}`;
}
