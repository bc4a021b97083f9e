// Keys of a lane chart: move, zoom, fit, walk along the bars, pin.

import { COLOR_MODES } from "../draw/classes.ts";
import { SORTS } from "../draw/lane-layout.ts";
import { laneOf } from "../model/jobs.ts";
import type { Prepared } from "../model/prepared.ts";
import type { Viewer } from "../viewer.ts";
import { clampSpan, type Span, zoomSpan } from "./gestures.ts";
import type { LaneChart } from "./lane-chart.ts";

export interface ChartKeys {
  readonly app: Viewer;
  readonly prepared: Prepared;
  readonly chart: LaneChart;
  readonly limits: Span;
  time(): Span;
  /** What `f` fits: the selection, or null for everything. */
  fit(): Span | null;
  /** Reads a bar out. */
  say(slice: number): void;
}

const ZOOM_STEP = 1.3;
const PAN_SHARE = 0.12;

let pointerShare = 0.5;
addEventListener("pointermove", (event) => {
  const target = event.target;
  if (target instanceof HTMLCanvasElement) pointerShare = event.offsetX / Math.max(target.clientWidth, 1);
});

export function chartKey(event: KeyboardEvent, keys: ChartKeys): boolean {
  const { app, limits } = keys;
  const span = keys.time();
  const length = span[1] - span[0];
  const pan = (direction: number): boolean => {
    const shift = direction * PAN_SHARE * length;
    app.set({ time: clampSpan([span[0] + shift, span[1] + shift], limits) });
    return true;
  };
  const zoom = (factor: number): boolean => {
    app.set({ time: zoomSpan(span, span[0] + pointerShare * length, factor, limits) });
    return true;
  };
  switch (event.key.toLowerCase()) {
    case "w":
      return zoom(1 / ZOOM_STEP);
    case "s":
      return zoom(ZOOM_STEP);
    case "a":
      return pan(-1);
    case "d":
      return pan(1);
    case "f": {
      const fit = keys.fit();
      const fitted = fit !== null && app.state.time?.[0] === fit[0] && app.state.time[1] === fit[1];
      app.set(fit === null || fitted ? { time: null, rows: [1, 0] } : { time: fit });
      return true;
    }
    case "c":
      app.set({ color: next(COLOR_MODES, app.state.color) });
      return true;
    case "o":
      app.set({ sort: next(SORTS, app.state.sort) });
      return true;
    case "t":
      app.set({ table: !app.state.table });
      return true;
    case "escape":
      return stepBack(app);
  }
  if (!takesArrows(keys.chart.canvas)) return false;
  switch (event.key) {
    case "ArrowRight":
      return walk(keys, 1, 0);
    case "ArrowLeft":
      return walk(keys, -1, 0);
    case "ArrowDown":
      return walk(keys, 0, 1);
    case "ArrowUp":
      return walk(keys, 0, -1);
    case "Home":
      return walk(keys, Number.NEGATIVE_INFINITY, 0);
    case "End":
      return walk(keys, Number.POSITIVE_INFINITY, 0);
  }
  return false;
}

/** Arrows are a chart's while it has the focus, and while nothing has it and there is nothing that they would scroll. */
export function takesArrows(canvas: HTMLCanvasElement): boolean {
  const { activeElement, body } = document;
  if (activeElement === canvas) return true;
  const view = canvas.closest(".view");
  return activeElement === body && (view === null || view.scrollHeight <= view.clientHeight);
}

function next<T>(all: readonly T[], value: T): T {
  return all[(all.indexOf(value) + 1) % all.length]!;
}

/** One step back: the pin, the request, the range, the zoom. */
export function stepBack(app: Viewer): boolean {
  const { pin, request, range, time, table, rows } = app.state;
  if (app.notices.closeLast()) return true;
  if (table) app.set({ table: false });
  else if (pin >= 0 || request !== null) app.set({ pin: -1, request: null });
  else if (range !== null) app.set({ range: null });
  else if (time !== null || rows[0] !== 1) app.set({ time: null, rows: [1, 0] });
  else return false;
  return true;
}

function walk(keys: ChartKeys, along: number, down: number): boolean {
  const { app, prepared } = keys;
  const { document, index } = prepared;
  const { lanes, slices } = document;
  if (slices.count === 0) return true;
  const { pin } = app.state;
  let slice: number;
  if (pin < 0) slice = firstVisible(keys);
  else if (down === 0) {
    const lane = laneOf(document, pin);
    slice = Math.min(Math.max(pin + along, lanes.offset[lane]!), lanes.offset[lane + 1]! - 1);
  } else {
    const order = laneOrder(keys);
    const middle = (slices.start[pin]! + slices.end[pin]!) / 2;
    let at = order.indexOf(laneOf(document, pin));
    slice = pin;
    do {
      at += down;
      const lane = order[at];
      if (lane === undefined) break;
      const found = Math.max(index.firstStartingAfter(lane, middle) - 1, lanes.offset[lane]!);
      if (found < lanes.offset[lane + 1]!) slice = found;
    } while (slice === pin);
  }
  app.set({ pin: slice, request: null });
  keys.say(slice);
  return true;
}

function laneOrder(keys: ChartKeys): number[] {
  const { group, sort } = keys.app.state;
  return keys.prepared.rows(group, sort).rows.flatMap((row) => row.lanes);
}

function firstVisible(keys: ChartKeys): number {
  const { lanes } = keys.prepared.document;
  const [from, to] = keys.time();
  for (const lane of laneOrder(keys)) {
    const visible = keys.prepared.index.slicesIn(lane, from, to);
    if (visible.to > visible.from) return visible.from;
  }
  return lanes.offset[0]!;
}
