// Configurations of a sweep as marks over two measures, with the limits and the front of these two. An SVG, so that what is seen
// is what is saved.

import { scaleLinear, scaleLog } from "d3-scale";
import type { Row } from "../documents/sweep.ts";
import { FONT, uiScale } from "../draw/measures.ts";
import type { Palette } from "../draw/palette.ts";
import type { MarkClass } from "../draw/point-marks.ts";
import { frontOf, type Measure } from "../model/sweep.ts";
import { h, s } from "../ui/dom.ts";

/** Configurations, and how each is marked. */
export interface MarkedRows {
  readonly palette: Palette;
  readonly rows: readonly Row[];
  readonly classOf: (row: Row) => MarkClass;
  readonly keepsLimits: (row: Row) => boolean;
  readonly onFront: ReadonlySet<number>;
}

export interface ScatterInput extends MarkedRows {
  readonly x: Measure;
  readonly y: Measure;
  readonly smallest: ReadonlySet<number>;
}

export interface ScatterEvents {
  /** −1: nothing is near. */
  readonly onHover: (configuration: number, clientX: number, clientY: number) => void;
  readonly onPick: (configuration: number) => void;
}

interface Placed {
  readonly row: Row;
  readonly x: number;
  readonly y: number;
}

const MARGIN = { top: 14, right: 18, bottom: 42, left: 62 };
const MARK = 4;
const FRONT_MARK = 6.5;
/** A mark answers to a pointer this near. */
const REACH = 24;

export class Scatter {
  readonly element: HTMLElement;
  svg: SVGSVGElement = s("svg");
  readonly #stage: HTMLElement = h("div", { class: "scatter-stage" });
  #drawn: unknown[] = [];
  #placed: readonly Placed[] = [];
  /** What follows the pointer, on a layer of its own: thousands of marks below it are not painted again. */
  readonly #rings: SVGSVGElement = s("svg", { class: "scatter-over", "aria-hidden": "true" });

  constructor(name: string, heading: readonly Node[], events: ScatterEvents) {
    this.element = h("figure", { class: "scatter", "aria-label": name }, h("figcaption", {}, ...heading), this.#stage);
    this.#stage.addEventListener("pointermove", (event) => {
      const near = this.#near(event);
      events.onHover(near, event.clientX, event.clientY);
    });
    this.#stage.addEventListener("pointerleave", () => events.onHover(-1, 0, 0));
    this.#stage.addEventListener("click", (event) => events.onPick(this.#near(event)));
  }

  #near(event: PointerEvent | MouseEvent): number {
    const box = this.#stage.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let least = REACH;
    for (const place of this.#placed) {
      const distance = Math.hypot(place.x - x, place.y - y);
      if (distance >= least) continue;
      least = distance;
      best = place.row.configuration;
    }
    return best;
  }

  /** `marked`: configurations that have a ring, the strongest first. */
  draw(input: ScatterInput, marked: readonly number[]): void {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    if (width < 80 || height < 60) return;
    const { palette, x, y, rows, classOf } = input;
    const key = [palette, x, y, rows, classOf, width, height, uiScale()];
    if (key.some((part, k) => part !== this.#drawn[k])) {
      this.#drawn = key;
      this.#build(input, width, height);
    }
    this.#rings.replaceChildren(
      ...marked.flatMap((configuration, i) => {
        const place = this.#placed.find(({ row }) => row.configuration === configuration);
        if (place === undefined) return [];
        const ring = { cx: place.x, cy: place.y, r: 10.5, fill: "none", stroke: palette.text };
        return [s("circle", { ...ring, "stroke-width": i === 0 ? 2 : 1.25 })];
      }),
    );
  }

  #build(input: ScatterInput, width: number, height: number): void {
    const { palette, x, y } = input;
    const ui = uiScale();
    const margin = { top: MARGIN.top, right: MARGIN.right, bottom: MARGIN.bottom * ui, left: MARGIN.left * ui };
    const rows = input.rows.filter((row) => x.of(row) !== null && y.of(row) !== null);
    const toX = axis(x, rows, [margin.left, width - margin.right]);
    const toY = axis(y, rows, [height - margin.bottom, margin.top]);
    this.#placed = rows.map((row) => ({ row, x: toX.at(x.of(row)!), y: toY.at(y.of(row)!) }));
    this.svg = s("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      "font-family": FONT,
      "font-size": 11 * ui,
      role: "img",
      "aria-label": `${y.name} against ${x.name}; the table has the same numbers`,
    });
    this.svg.append(s("rect", { width, height, fill: palette.background }));
    const frame = { left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
    this.#beyond(input, frame, toX, toY);
    this.#axes(input, frame, toX, toY, ui);
    const limitNames = this.#limits(input, frame, toX, toY);
    if (rows.length === 0) {
      const middle = { x: width / 2, y: height / 2, fill: palette.muted, "text-anchor": "middle" };
      this.svg.append(s("text", middle, "nothing to show"));
    }
    this.#front(input, rows, toX, toY);
    // Large marks last: they are what the picture is about.
    for (const large of [false, true]) {
      for (const place of this.#placed)
        if (input.onFront.has(place.row.configuration) === large) this.#mark(input, place);
    }
    this.svg.append(...limitNames);
    this.#label(input, frame, ui);
    this.#stage.replaceChildren(this.svg, this.#rings);
  }

  #mark({ palette, classOf, keepsLimits, onFront }: ScatterInput, { row, x, y }: Placed): void {
    const { color, edge, shape } = classOf(row);
    const isLarge = onFront.has(row.configuration);
    const isFilled = keepsLimits(row);
    this.svg.append(
      s("path", {
        d: shape((isLarge ? FRONT_MARK : MARK) * uiScale()),
        transform: `translate(${round(x)},${round(y)})`,
        fill: isFilled ? color : palette.background,
        stroke: !isFilled || edge !== color ? edge : palette.background,
        "stroke-width": isFilled ? 1 : isLarge ? 2.25 : 1.5,
        opacity: isLarge ? 1 : 0.7,
      }),
    );
  }

  #axes({ palette, x, y }: ScatterInput, frame: Frame, toX: Axis, toY: Axis, ui: number): void {
    const { left, right, top, bottom } = frame;
    const line = { stroke: palette.line, "stroke-width": 1 };
    const text = { fill: palette.muted };
    let before = Number.NEGATIVE_INFINITY;
    for (const value of toX.ticks(Math.max(2, (right - left) / 90))) {
      const at = toX.at(value);
      this.svg.append(s("line", { x1: at, x2: at, y1: top, y2: bottom, ...line }));
      const label = x.tick(value);
      const half = (label.length * 6 * ui) / 2;
      if (at - half < before + 8) continue;
      before = at + half;
      const middle = Math.min(Math.max(at, half), right + MARGIN.right - half);
      this.svg.append(s("text", { x: middle, y: bottom + 16 * ui, "text-anchor": "middle", ...text }, label));
    }
    const name = x.better === "less" ? `← ${x.name}, less is better` : `${x.name}, more is better →`;
    this.svg.append(s("text", { x: (left + right) / 2, y: bottom + 33 * ui, "text-anchor": "middle", ...text }, name));
    for (const value of toY.ticks(Math.max(2, (bottom - top) / 34))) {
      const at = toY.at(value);
      this.svg.append(s("line", { x1: left, x2: right, y1: at, y2: at, ...line }));
      this.svg.append(s("text", { x: left - 7, y: at + 4 * ui, "text-anchor": "end", ...text }, y.tick(value)));
    }
  }

  /** Beyond a limit the ground is tinted. */
  #beyond({ palette, x, y }: ScatterInput, { left, right, top, bottom }: Frame, toX: Axis, toY: Axis): void {
    if (y.limit !== undefined) {
      const height = Math.max(toY.at(y.limit) - top, 0);
      this.svg.append(s("rect", { x: left, y: top, width: right - left, height, fill: palette.waste }));
    }
    if (x.limit !== undefined) {
      const from = toX.at(x.limit);
      const width = Math.max(right - from, 0);
      this.svg.append(s("rect", { x: from, y: top, width, height: bottom - top, fill: palette.waste }));
    }
  }

  /** Draws the lines; their names are for later, above the marks. */
  #limits({ palette, x, y }: ScatterInput, frame: Frame, toX: Axis, toY: Axis): SVGTextElement[] {
    const { left, right, top, bottom } = frame;
    const line = { stroke: palette.bound, "stroke-width": 1.5, "stroke-dasharray": "5 4" };
    const text = { fill: palette.bound, "font-weight": 600 };
    const clear = { "paint-order": "stroke", stroke: palette.background, "stroke-width": 3 };
    const names: SVGTextElement[] = [];
    if (y.limit !== undefined) {
      const at = toY.at(y.limit);
      this.svg.append(s("line", { x1: left, x2: right, y1: at, y2: at, ...line }));
      const place = { x: right - 4, y: at - 5, "text-anchor": "end" };
      names.push(s("text", { ...place, ...text, ...clear }, `limit ${y.tick(y.limit)}`));
    }
    if (x.limit !== undefined) {
      const at = toX.at(x.limit);
      this.svg.append(s("line", { x1: at, x2: at, y1: top, y2: bottom, ...line }));
      names.push(s("text", { x: at + 5, y: bottom - 6, ...text, ...clear }, `limit ${x.tick(x.limit)}`));
    }
    return names;
  }

  /** Steps along the points that none beats in these two measures. */
  #front({ palette, x, y }: ScatterInput, rows: readonly Row[], toX: Axis, toY: Axis): void {
    const points = frontOf(rows, x, y).map((row) => [round(toX.at(x.of(row)!)), round(toY.at(y.of(row)!))] as const);
    const steps = points.map(([atX, atY], i) => (i === 0 ? `M${atX},${atY}` : `H${atX}V${atY}`)).join("");
    if (points.length > 1) {
      this.svg.append(
        s("path", { d: steps, fill: "none", stroke: palette.curve, "stroke-width": 1.25, opacity: 0.75 }),
      );
    }
  }

  #label({ palette, smallest }: ScatterInput, { right, top }: Frame, ui: number): void {
    const place = this.#placed.find(({ row }) => smallest.has(row.configuration));
    if (place === undefined) return;
    const text = "smallest";
    const isRight = place.x + 18 + text.length * 6.2 * ui < right;
    const clear = {
      "paint-order": "stroke",
      stroke: palette.background,
      "stroke-width": 4,
      "stroke-linejoin": "round",
    };
    this.svg.append(
      s("circle", { cx: place.x, cy: place.y, r: 10.5, fill: "none", stroke: palette.text, "stroke-width": 1.25 }),
      s(
        "text",
        {
          x: place.x + (isRight ? 15 : -15),
          y: Math.max(place.y - 8, top + 10),
          "text-anchor": isRight ? "start" : "end",
          fill: palette.text,
          "font-weight": 600,
          ...clear,
        },
        text,
      ),
    );
  }
}

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Axis {
  at(value: number): number;
  ticks(count: number): number[];
}

/** By decades where values differ much. The limit is on it. */
export function axis(measure: Measure, rows: readonly Row[], range: readonly [number, number]): Axis {
  const values = rows.map((row) => measure.of(row)!);
  if (measure.limit !== undefined) values.push(measure.limit);
  const least = values.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY);
  const most = values.reduce((high, value) => Math.max(high, value), Number.NEGATIVE_INFINITY);
  // Chosen: a linear axis would press the smaller half of such values into a fifth of it.
  if (least > 0 && most / least >= 5) {
    const air = (most / least) ** 0.06;
    const scale = scaleLog()
      .domain([least / air, most * air])
      .range(range);
    return { at: (value) => scale(value), ticks: (count) => logTicks(least / air, most * air, count) };
  }
  if (least >= most || values.length === 0) {
    return { at: () => (range[0] + range[1]) / 2, ticks: () => values.slice(0, 1) };
  }
  const air = (most - least) * 0.08;
  const low = least >= 0 && least - air < (most - least) * 0.5 ? Math.min(0, least) : least - air;
  const scale = scaleLinear()
    .domain([low, most + air])
    .range(range);
  return {
    at: (value) => scale(value),
    ticks: (count) => distinct(scale.ticks(Math.min(count, 6)), measure),
  };
}

/** Without those that would be called the same, as halves of a GPU. */
function distinct(ticks: readonly number[], { tick }: Measure): number[] {
  return ticks.filter((value, i) => i === 0 || tick(value) !== tick(ticks[i - 1]!));
}

/** At 1, 2 and 5 of each decade, fewer where there are many decades. */
function logTicks(low: number, high: number, count: number): number[] {
  const decades = Math.log10(high / low);
  const digits = decades * 3 <= count ? [1, 2, 5] : decades * 2 <= count ? [1, 3] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const digit of digits) {
      const value = Number((digit * 10 ** power).toPrecision(1));
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks;
}

const round = (value: number): number => Math.round(value * 100) / 100;
