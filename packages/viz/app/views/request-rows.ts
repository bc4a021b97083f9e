// Requests over time as rows of phases, on the replay's shared time axis.

import { LaneLayout } from "../draw/lane-layout.ts";
import type { Palette } from "../draw/palette.ts";
import { ColorTable, Raster } from "../draw/raster.ts";
import { integer } from "../format.ts";
import type { Replay } from "../model/replay.ts";
import { PHASES, type RequestLanes, requestLanes } from "../model/request-lanes.ts";
import { h, swatch } from "../ui/dom.ts";
import type { Viewer } from "../viewer.ts";
import { listen, type Span } from "./gestures.ts";
import { fit } from "./lane-chart.ts";

export interface RequestRowsEvents {
  time(): Span;
  limits(): Span;
  onTime(time: Span): void;
  onHover(timeUs: number | null): void;
  onRequest(row: number, x: number, y: number): void;
  onPick(row: number): void;
}

export function phaseColors(palette: Palette): readonly [string, string, string] {
  return [palette.others[1], palette.kinds[0], palette.kinds[1]];
}

export class RequestRows {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly #lanes: RequestLanes;
  readonly #raster = new Raster();
  readonly #legend: HTMLElement;
  readonly #events: RequestRowsEvents;
  #layout: LaneLayout | null = null;
  /** What it was last drawn for. */
  #drawn: unknown[] = [];

  constructor(_app: Viewer, replay: Replay, events: RequestRowsEvents) {
    this.#events = events;
    this.#lanes = requestLanes(replay.report.requests!, replay.endUs);
    this.canvas = h("canvas", {
      class: "request-canvas",
      role: "img",
      "aria-label": "Requests over time: queued, prefill, decode",
    });
    this.#legend = h("span", { class: "readout" });
    this.element = h(
      "figure",
      { class: "time-chart request-rows" },
      h(
        "figcaption",
        {},
        h("span", { class: "chart-title" }, `Requests (up to ${integer(this.#lanes.most)} at once)`),
        this.#legend,
      ),
      this.canvas,
    );
    let selection: Span | null = null;
    const timeAt = (x: number): number => {
      const [from, to] = events.time();
      return from + (x / Math.max(this.canvas.clientWidth, 1)) * (to - from);
    };
    listen(
      this.canvas,
      {
        time: () => events.time(),
        rows: () => [1, 0],
        limits: () => events.limits(),
        rowCount: () => 1,
        plotHeight: () => this.canvas.clientHeight,
        onTime: (time) => events.onTime(time),
        onRows: () => {},
        onRange: (range) => {
          selection = range;
        },
        onRangeEnd: () => {
          if (selection !== null && selection[1] > selection[0]) events.onTime(selection);
          selection = null;
        },
        onMove: (x, y) => {
          events.onHover(timeAt(x));
          const box = this.canvas.getBoundingClientRect();
          events.onRequest(this.#rowAt(x, y), box.left + x, box.top + y);
        },
        onLeave: () => {
          events.onHover(null);
          events.onRequest(-1, 0, 0);
        },
        onClick: (x, y) => events.onPick(this.#rowAt(x, y)),
        onDoubleClick: () => events.onTime(events.limits()),
      },
      "pan",
    );
  }

  #rowAt(x: number, y: number): number {
    const lane = this.#layout?.laneAt(y * devicePixelRatio) ?? -1;
    if (lane === -1) return -1;
    const [from, to] = this.#events.time();
    const perPixel = (to - from) / Math.max(this.canvas.clientWidth, 1);
    const slice = this.#lanes.index.sliceAt(lane, from + x * perPixel, perPixel * 3);
    return slice === -1 ? -1 : this.#lanes.rowOfSlice[slice]!;
  }

  draw(palette: Palette, selected: number): void {
    if (!fit(this.canvas)) return;
    const { width, height } = this.canvas;
    const key = [palette, selected, width, height, ...this.#events.time()];
    if (key.every((part, k) => part === this.#drawn[k])) return;
    this.#drawn = key;
    const colors = phaseColors(palette);
    this.#legend.replaceChildren(
      ...PHASES.map((phase, i) => h("span", { class: "readout-entry" }, swatch(colors[i]!), phase)),
    );
    const lanes = this.#lanes;
    const layout = new LaneLayout(lanes.rows, height, 1, 0);
    this.#layout = layout;
    this.#raster.resize(width, height);
    const bright: number[] = [];
    const first = selected >= 0 ? lanes.firstSlice[selected]! : -1;
    for (let i = first; i >= 0 && i < lanes.rowOfSlice.length && lanes.rowOfSlice[i] === selected && i < first + 3; i++)
      bright.push(i);
    const [fromUs, toUs] = this.#events.time();
    this.#raster.draw(this.canvas.getContext("2d", { alpha: false })!, {
      index: lanes.index,
      ofSlice: lanes.ofSlice,
      table: new ColorTable(colors, palette, bright.length > 0),
      layout,
      fromUs,
      toUs,
      boundUs: Number.POSITIVE_INFINITY,
      bright: bright.length > 0 ? bright : null,
      laneOfBright: bright.length > 0 ? bright.map(() => lanes.laneOfRow[selected]!) : null,
    });
  }
}
