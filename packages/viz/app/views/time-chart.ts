// A small chart over simulated time. All charts of a replay share their time and their crosshair; a drag zooms them all.

import { scaleLinear, scaleLog } from "d3-scale";
import { canvasFont, uiScale } from "../draw/measures.ts";
import type { Palette } from "../draw/palette.ts";
import { timeAxis } from "../format.ts";
import { h } from "../ui/dom.ts";
import { listen, type Span } from "./gestures.ts";
import { fit } from "./lane-chart.ts";

const GUTTER = 52;

/** Room for the numbers beside a plot, in CSS pixels: as wide as they are. The style sheet has the same. */
function gutter(): number {
  return GUTTER * uiScale();
}

export interface TimeChartEvents {
  time(): Span;
  limits(): Span;
  onTime(time: Span): void;
  onHover(timeUs: number | null): void;
  onClick(timeUs: number, chart: TimeChart, y: number): void;
  onReset(): void;
}

export interface Frame {
  readonly context: CanvasRenderingContext2D;
  readonly palette: Palette;
  /** Device pixels of a time and of a value. */
  readonly x: (us: number) => number;
  readonly y: (value: number) => number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly ratio: number;
  readonly time: Span;
}

export interface TimeChartSpec {
  readonly title: string;
  /** Largest value of the y axis in what is visible. */
  readonly domain: (time: Span) => Span;
  readonly log?: boolean;
  /** Of whole things: no ticks between. */
  readonly areCounts?: boolean;
  readonly format: (value: number) => string;
  readonly draw: (frame: Frame) => void;
  /** What the header of the chart says about a time; null: about everything. */
  readonly readout: (timeUs: number | null) => readonly (readonly [color: string | null, text: string])[];
  readonly height: number;
  readonly axis?: boolean;
}

export class TimeChart {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly #spec: TimeChartSpec;
  readonly #readout: HTMLElement;
  readonly #crosshair: HTMLElement = h("div", { class: "crosshair", hidden: true });
  #selection: Span | null = null;
  #events: TimeChartEvents;

  constructor(spec: TimeChartSpec, events: TimeChartEvents) {
    this.#spec = spec;
    this.#events = events;
    this.canvas = h("canvas", { class: "time-canvas", role: "img", "aria-label": spec.title });
    this.canvas.style.height = `calc(${spec.height}px * var(--tall) + ${spec.axis === true ? 22 : 0}px * var(--ui))`;
    this.#readout = h("span", { class: "readout" });
    this.element = h(
      "figure",
      { class: "time-chart" },
      h("figcaption", {}, h("span", { class: "chart-title" }, spec.title), this.#readout),
      this.canvas,
      this.#crosshair,
    );
    // Gestures work on the plot right of the axis numbers: shift by the gutter.
    const plot = (): number => Math.max(this.canvas.clientWidth - gutter(), 1);
    const toTime = (x: number): number => {
      const [from, to] = events.time();
      return from + ((x - gutter()) / plot()) * (to - from);
    };
    const widen = (span: Span): Span => {
      const extra = (gutter() / plot()) * (span[1] - span[0]);
      return [span[0] - extra, span[1]];
    };
    const narrow = (span: Span): Span => {
      const share = gutter() / Math.max(this.canvas.clientWidth, 1);
      return [span[0] + share * (span[1] - span[0]), span[1]];
    };
    listen(
      this.canvas,
      {
        time: () => widen(events.time()),
        rows: () => [1, 0],
        limits: () => widen(events.limits()),
        rowCount: () => 1,
        plotHeight: () => this.canvas.clientHeight,
        onTime: (time) => events.onTime(narrow(time)),
        onRows: () => {},
        onRange: (range) => {
          this.#selection = range === null ? null : [Math.max(range[0], events.time()[0]), range[1]];
          this.draw(this.#palette!, this.#hover);
        },
        onRangeEnd: () => {
          const selection = this.#selection;
          this.#selection = null;
          if (selection !== null && selection[1] > selection[0]) events.onTime(selection);
        },
        onMove: (x) => events.onHover(toTime(x)),
        onLeave: () => events.onHover(null),
        onClick: (x, y) => events.onClick(toTime(x), this, y),
        onDoubleClick: () => events.onReset(),
      },
      "range",
    );
  }

  #palette: Palette | null = null;
  #hover: number | null = null;
  /** What the plot was last drawn for. */
  #drawn: unknown[] = [];

  draw(palette: Palette, hover: number | null): void {
    this.#palette = palette;
    if (!fit(this.canvas)) return;
    this.#showHover(hover);
    const time = this.#events.time();
    const { width, height } = this.canvas;
    const key = [palette, time[0], time[1], width, height, this.#selection?.[0], this.#selection?.[1]];
    if (key.every((part, k) => part === this.#drawn[k])) return;
    this.#drawn = key;
    this.#drawPlot(palette, time);
  }

  #drawPlot(palette: Palette, time: Span): void {
    const spec = this.#spec;
    const ratio = devicePixelRatio;
    const context = this.canvas.getContext("2d", { alpha: false })!;
    const { width, height } = this.canvas;
    const [low, high] = spec.domain(time);
    const left = gutter() * ratio;
    const right = width - ratio;
    const top = 5 * ratio;
    const bottom = height - (spec.axis === true ? 22 * uiScale() : 3) * ratio;
    const xScale = scaleLinear().domain(time).range([left, right]);
    const yScale = (spec.log === true ? scaleLog() : scaleLinear()).domain([low, high]).range([bottom, top]);
    const x = (us: number): number => xScale(us);
    const y = (value: number): number => yScale(spec.log === true ? Math.max(value, low) : value);
    context.fillStyle = palette.background;
    context.fillRect(0, 0, width, height);
    context.font = canvasFont(10.5, ratio);
    context.textBaseline = "middle";
    context.textAlign = "right";
    const all = spec.log === true ? logTicks(low, high) : yScale.ticks(height >= 80 * ratio ? 4 : 2);
    const ticks = spec.areCounts === true ? all.filter(Number.isInteger) : all;
    for (const tick of ticks) {
      const at = Math.round(y(tick));
      context.fillStyle = palette.line;
      context.fillRect(left, at, right - left, Math.max(1, Math.floor(ratio)));
      context.fillStyle = palette.muted;
      context.fillText(spec.format(tick), left - 6 * ratio, Math.min(Math.max(at, 7 * ratio), bottom - 2 * ratio));
    }
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, bottom);
    context.clip();
    spec.draw({ context, palette, x, y, left, right, top, bottom, ratio, time });
    if (this.#selection !== null) {
      context.globalAlpha = 0.18;
      context.fillStyle = palette.accent;
      context.fillRect(x(this.#selection[0]), 0, x(this.#selection[1]) - x(this.#selection[0]), bottom);
      context.globalAlpha = 1;
    }
    context.restore();
    if (spec.axis === true) {
      context.textAlign = "center";
      const { ticks, text } = timeAxis(...time, Math.max(2, Math.floor((width - left) / ratio / 110)));
      for (const tick of ticks) {
        context.fillStyle = palette.line;
        context.fillRect(Math.round(x(tick)), bottom, ratio, 4 * ratio);
        context.fillStyle = palette.muted;
        const half = context.measureText(text(tick)).width / 2;
        context.fillText(text(tick), Math.min(x(tick), width - half), bottom + 13 * ratio);
      }
    }
  }

  #showHover(hover: number | null): void {
    if (hover === this.#hover && this.#readout.childElementCount > 0) return;
    this.#hover = hover;
    const [from, to] = this.#events.time();
    this.#crosshair.hidden = hover === null || hover < from || hover > to;
    if (hover !== null) {
      const plot = this.canvas.clientWidth - gutter();
      this.#crosshair.style.left = `${this.canvas.offsetLeft + gutter() + ((hover - from) / (to - from)) * plot}px`;
    }
    this.#readout.replaceChildren(
      ...this.#spec.readout(hover).map(([color, text]) => {
        const entry = h("span", { class: "readout-entry" });
        if (color !== null) {
          const mark = h("span", { class: "swatch" });
          mark.style.backgroundColor = color;
          entry.append(mark);
        }
        entry.append(text);
        return entry;
      }),
    );
  }
}

function logTicks(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high) + 1e-9; power++) ticks.push(10 ** power);
  return ticks;
}

/** A filled step function; each pixel column shows its largest value. */
export function drawSteps(
  frame: Frame,
  atUs: ArrayLike<number>,
  values: ArrayLike<number>,
  stroke: string,
  fill: string | null,
  untilUs: number,
): void {
  const { context, x, y, left, right, time, ratio, bottom } = frame;
  const columns = Math.max(1, Math.ceil(right - left));
  const most = new Float64Array(columns).fill(Number.NaN);
  const perUs = columns / (time[1] - time[0]);
  for (let i = 0; i < atUs.length; i++) {
    const from = (atUs[i]! - time[0]) * perUs;
    const to = ((i + 1 < atUs.length ? atUs[i + 1]! : untilUs) - time[0]) * perUs;
    if (to < 0) continue;
    if (from >= columns) break;
    for (let c = Math.max(0, Math.floor(from)); c <= Math.min(columns - 1, Math.floor(to)); c++) {
      if (!(most[c]! >= values[i]!)) most[c] = values[i]!;
    }
  }
  const path = (close: boolean): void => {
    context.beginPath();
    let open = false;
    for (let c = 0; c < columns; c++) {
      if (Number.isNaN(most[c]!)) continue;
      if (!open && close) context.lineTo(left + c, bottom);
      context.lineTo(left + c, y(most[c]!));
      open = true;
    }
    if (close) context.lineTo(Math.min(x(untilUs), right), bottom);
  };
  if (fill !== null) {
    path(true);
    context.fillStyle = fill;
    context.fill();
  }
  path(false);
  context.strokeStyle = stroke;
  context.lineWidth = 1.5 * ratio;
  context.stroke();
}

/** A horizontal limit with its name. */
export function drawLimit(frame: Frame, value: number, label: string): void {
  const { context, y, left, right, palette, ratio } = frame;
  const at = Math.round(y(value));
  context.strokeStyle = palette.bound;
  context.lineWidth = 1.25 * ratio;
  context.setLineDash([5 * ratio, 4 * ratio]);
  context.beginPath();
  context.moveTo(left, at);
  context.lineTo(right, at);
  context.stroke();
  context.setLineDash([]);
  // On ground of its own: the label is read where marks are densest.
  context.textAlign = "right";
  const [x, middle] = [right - 4 * ratio, at - 8 * ratio];
  context.globalAlpha = 0.85;
  context.fillStyle = palette.background;
  const width = context.measureText(label).width + 6 * ratio;
  context.fillRect(x - width + 3 * ratio, middle - 6.5 * ratio, width, 13 * ratio);
  context.globalAlpha = 1;
  context.fillStyle = palette.bound;
  context.fillText(label, x, middle);
}
