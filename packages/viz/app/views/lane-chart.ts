// The picture of SM occupancy: time axis, busy workers, bandwidth, lanes of bars, busy share per row. It draws what it is
// told (LaneChartInput) and reports gestures; it keeps no state but its size.

import type { LaneChartInput } from "../draw/lane-chart-input.ts";
import { LaneLayout, spareHeight } from "../draw/lane-layout.ts";
import { drawBusyBars, drawLabels, drawTracks } from "../draw/marks.ts";
import { AXIS_HEIGHT, TRACK_HEIGHT } from "../draw/measures.ts";
import { drawOverlay } from "../draw/overlay.ts";
import type { Palette } from "../draw/palette.ts";
import { ColorTable, Raster } from "../draw/raster.ts";
import { integer } from "../format.ts";
import type { Prepared } from "../model/prepared.ts";
import { h, s } from "../ui/dom.ts";
import { type Gestures, listen } from "./gestures.ts";

export interface LaneChartEvents {
  onTime(time: readonly [number, number]): void;
  onRows(rows: readonly [number, number]): void;
  /** A slice under the pointer (−1: none), with where the pointer is. */
  onHover(slice: number, lane: number, timeUs: number, x: number, y: number): void;
  onLeave(): void;
  onPick(slice: number, lane: number): void;
  onOpen(slice: number): void;
  onRange(range: readonly [number, number] | null): void;
}

// Chosen: below this height, in CSS pixels, the bandwidth track costs more than it tells.
const LOW = 330;

export class LaneChart {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly #tracks: HTMLCanvasElement;
  readonly #busy: HTMLCanvasElement;
  readonly #labels: HTMLCanvasElement;
  readonly #overlay: SVGSVGElement;
  readonly #names: HTMLElement;
  #named: Prepared | null = null;
  readonly #raster = new Raster();
  readonly #events: LaneChartEvents;
  readonly #observer: ResizeObserver;
  #table: { key: unknown[]; table: ColorTable } | null = null;
  #input: LaneChartInput | null = null;
  #layout: LaneLayout | null = null;
  #width = 0;
  #height = 0;

  constructor(events: LaneChartEvents, label: string) {
    this.#events = events;
    this.canvas = h("canvas", {
      class: "lanes",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "timeline",
      "aria-label": label,
      "aria-describedby": "chart-keys",
    });
    this.#tracks = h("canvas", { class: "tracks", "aria-hidden": "true" });
    this.#busy = h("canvas", { class: "busy", "aria-hidden": "true" });
    this.#labels = h("canvas", { class: "labels", "aria-hidden": "true" });
    this.#overlay = s("svg", { class: "overlay", "aria-hidden": "true" });
    this.#names = h("div", { class: "track-names" });
    this.element = h(
      "div",
      { class: "lane-chart" },
      this.#names,
      h("div", { class: "busy-name" }, "Busy"),
      this.#tracks,
      this.#labels,
      this.canvas,
      this.#busy,
      this.#overlay,
    );
    const gestures: Gestures = {
      time: () => this.#input!.time,
      rows: () => this.#input!.rows,
      limits: () => this.#input!.limits,
      rowCount: () => this.#layout?.rows.rows.length ?? 1,
      plotHeight: () => this.canvas.clientHeight,
      onTime: (time) => events.onTime(time),
      onRows: (rows) => events.onRows(rows),
      onRange: (range) => events.onRange(range),
      onMove: (x, y) => this.#hover(x, y),
      onLeave: () => events.onLeave(),
      onClick: (x, y) => {
        const hit = this.hit(x, y);
        events.onPick(hit.slice, hit.lane);
      },
      onDoubleClick: (x, y) => events.onOpen(this.hit(x, y).slice),
    };
    listen(this.canvas, gestures, "pan");
    listen(this.#tracks, { ...gestures, onClick: () => events.onRange(null) }, "range");
    this.#observer = new ResizeObserver(() => this.draw());
    this.#observer.observe(this.element);
  }

  destroy(): void {
    this.#observer.disconnect();
    this.element.remove();
  }

  update(input: LaneChartInput): void {
    this.#input = input;
    this.draw();
  }

  /** What lies under a point of the plot, in CSS pixels. */
  hit(x: number, y: number): { slice: number; lane: number; timeUs: number } {
    const input = this.#input;
    if (input === null || this.#layout === null) return { slice: -1, lane: -1, timeUs: 0 };
    const [from, to] = input.time;
    const perPixel = (to - from) / Math.max(this.canvas.clientWidth, 1);
    const timeUs = from + x * perPixel;
    const lane = this.#layout.laneAt(y * devicePixelRatio);
    return { lane, timeUs, slice: lane === -1 ? -1 : input.prepared.index.sliceAt(lane, timeUs, perPixel * 2) };
  }

  /** Middle of a slice on the screen, in CSS pixels of the plot, where it can be pointed at. */
  place(slice: number, lane: number): { x: number; y: number } | null {
    const input = this.#input;
    if (input === null || this.#layout === null) return null;
    const { start, end } = input.prepared.document.slices;
    const [from, to] = input.time;
    const middle = (Math.max(start[slice]!, from) + Math.min(end[slice]!, to)) / 2;
    const [top, bottom] = this.#layout.laneSpan(lane);
    return {
      x: ((middle - from) / (to - from)) * this.canvas.clientWidth,
      y: (top + bottom) / 2 / devicePixelRatio,
    };
  }

  get layout(): LaneLayout | null {
    return this.#layout;
  }

  get occupancy(): Float32Array {
    return this.#raster.occupancy;
  }

  #hover(x: number, y: number): void {
    const { slice, lane, timeUs } = this.hit(x, y);
    const box = this.canvas.getBoundingClientRect();
    this.#events.onHover(slice, lane, timeUs, box.left + x, box.top + y);
  }

  draw(): void {
    const input = this.#input;
    if (input === null) return;
    const { prepared, palette } = input;
    // A low chart needs its height for the lanes.
    const hasBandwidth = prepared.document.bandwidth !== undefined && this.element.clientHeight >= LOW;
    this.element.classList.toggle("low", !hasBandwidth);
    const tracks = hasBandwidth ? 2 : 1;
    const rows = prepared.rows(input.group, input.sort);
    const plotHeight = this.element.clientHeight - AXIS_HEIGHT - TRACK_HEIGHT * tracks;
    // What rows of whole pixels leave over makes the tracks taller; it does not depend on the zoom, which must not move the plot.
    const spare = spareHeight(rows.rows.length, Math.floor(plotHeight * devicePixelRatio)) / devicePixelRatio;
    const trackHeight = TRACK_HEIGHT + Math.floor(Math.max(spare, 0) / tracks);
    const tracksHeight = AXIS_HEIGHT + trackHeight * tracks;
    this.element.style.setProperty("--track", `${trackHeight}px`);
    this.element.style.gridTemplateRows = `${tracksHeight}px minmax(0, 1fr)`;
    this.#nameTracks(prepared);
    fit(this.#tracks);
    fit(this.#labels);
    fit(this.#busy);
    if (!fit(this.canvas)) return;
    this.#width = this.canvas.width;
    this.#height = this.canvas.height;
    const [zoom, firstRow] = input.rows;
    const layout = new LaneLayout(rows, this.#height, zoom, firstRow);
    this.#layout = layout;
    const classes = prepared.classes(input.color);
    this.#raster.resize(this.#width, this.#height);
    const context = this.canvas.getContext("2d", { alpha: false })!;
    const bright = input.bright;
    this.#raster.draw(context, {
      index: prepared.index,
      ofSlice: classes.ofSlice,
      table: this.#colorTable(classes.colors(palette), palette, bright !== null),
      layout,
      fromUs: input.time[0],
      toUs: input.time[1],
      boundUs: prepared.document.lowerBoundUs > 0 ? prepared.document.lowerBoundUs : Number.POSITIVE_INFINITY,
      bright: bright === null ? null : bright.map((place) => place.slice),
      laneOfBright: bright === null ? null : bright.map((place) => place.lane),
    });
    drawLabels(context, input, layout, classes);
    drawTracks(this.#tracks, input, this.#raster.occupancy, trackHeight);
    drawBusyBars(this.#busy, this.#labels, input, layout);
    drawOverlay(this.#overlay, input, layout, {
      width: this.canvas.clientWidth,
      height: this.canvas.clientHeight,
      shown: layout.shownHeight / devicePixelRatio,
      top: tracksHeight,
    });
  }

  #nameTracks({ document }: Prepared): void {
    if (this.#named?.document === document) return;
    this.#named = this.#input!.prepared;
    const name = (text: string, most: string): HTMLElement =>
      h("p", { class: "track-name" }, text, h("br"), h("b", {}, most));
    const { bandwidth } = document;
    this.#names.replaceChildren(name("Busy workers", `of ${integer(document.lanes.count)}`));
    if (bandwidth === undefined) return;
    let peak = 0;
    for (let k = 0; k < bandwidth.atUs.length; k++) peak = Math.max(peak, bandwidth.gigabytesPerSecond[k]!);
    this.#names.append(name("Bandwidth", `≤ ${integer(peak)} GB/s`));
  }

  #colorTable(colors: readonly string[], palette: Palette, faded: boolean): ColorTable {
    const key = [palette, faded, colors.join()];
    if (this.#table === null || key.some((part, k) => part !== this.#table!.key[k])) {
      this.#table = { key, table: new ColorTable(colors, palette, faded) };
    }
    return this.#table.table;
  }
}

/** All of a timeline, with a little air after its end. */
export function fullSpan(prepared: Prepared): number {
  const { durationUs, lowerBoundUs } = prepared.document;
  return Math.max(durationUs, lowerBoundUs, 1e-3) * 1.02;
}

/** Gives a canvas the size of its box in device pixels; false while it has none. */
export function fit(canvas: HTMLCanvasElement): boolean {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return width > 0 && height > 0;
}
