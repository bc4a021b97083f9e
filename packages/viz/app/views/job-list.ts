// Jobs as lines of KV tiles. Only the lines on the screen are drawn, so that a hundred thousand jobs scroll as ten do.

import { scaleLinear } from "d3-scale";
import { MERGE } from "../documents/timeline.ts";
import { canvasFont, uiScale } from "../draw/measures.ts";
import { inkOn, type Palette } from "../draw/palette.ts";
import { integer, short } from "../format.ts";
import type { Prepared } from "../model/prepared.ts";
import type { JobScale } from "../state.ts";
import { h } from "../ui/dom.ts";
import { fit } from "./lane-chart.ts";

/** In CSS pixels, where texts have their usual size. */
const SIZES = { row: 19, label: 132, head: 84, count: 64 };

export interface JobListInput {
  /** Jobs from top to bottom. */
  readonly order: readonly number[];
  readonly scale: JobScale;
  readonly selected: number;
  readonly palette: Palette;
}

export interface JobListEvents {
  onPick(job: number): void;
  onHover(slice: number, lane: number, x: number, y: number): void;
}

export class JobList {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly #axis: HTMLCanvasElement;
  readonly #scroll: HTMLElement;
  readonly #space: HTMLElement;
  readonly #prepared: Prepared;
  readonly #mostTokens: number;
  readonly #observer: ResizeObserver;
  #input: JobListInput | null = null;
  #sizes: typeof SIZES = SIZES;

  constructor(prepared: Prepared, events: JobListEvents) {
    this.#prepared = prepared;
    const { jobs } = prepared;
    this.#mostTokens = jobs.reduce((most, _, i) => Math.max(most, this.#tokensOf(i)), 1);
    this.canvas = h("canvas", {
      class: "job-canvas",
      tabindex: 0,
      role: "application",
      "aria-label": `${integer(jobs.length)} jobs as lines of KV tiles; arrow keys choose one`,
    });
    this.#axis = h("canvas", { class: "job-axis", "aria-hidden": "true" });
    this.#space = h("div", {});
    this.#scroll = h("div", { class: "job-scroll" }, this.canvas, this.#space);
    this.element = h("div", { class: "job-list" }, this.#axis, this.#scroll);
    this.#scroll.addEventListener("scroll", () => this.#draw());
    this.canvas.addEventListener("click", (event) => {
      const job = this.#input!.order[this.#rowAt(event.offsetY)];
      if (job !== undefined) events.onPick(job);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const hit = this.#pieceAt(event.offsetX, event.offsetY);
      events.onHover(hit?.slice ?? -1, hit?.lane ?? -1, event.clientX, event.clientY);
    });
    this.canvas.addEventListener("pointerleave", () => events.onHover(-1, -1, 0, 0));
    this.#observer = new ResizeObserver(() => this.#draw());
    this.#observer.observe(this.#scroll);
  }

  destroy(): void {
    this.#observer.disconnect();
  }

  update(input: JobListInput): void {
    this.#input = input;
    this.#draw();
  }

  /** Scrolls a row into view. */
  reveal(row: number): void {
    const top = row * this.#sizes.row;
    const { scrollTop, clientHeight } = this.#scroll;
    if (top < scrollTop || top + this.#sizes.row > scrollTop + clientHeight) {
      this.#scroll.scrollTop = Math.max(0, top - clientHeight / 2);
    }
  }

  /** KV tokens of a job: of its request, or as far as its pieces reach. */
  #tokensOf(job: number): number {
    const { slices, kvLens } = this.#prepared.document;
    const { request, members } = this.#prepared.jobs[job]!;
    let reach = 0;
    for (const { slice } of members) reach = Math.max(reach, slices.kvEnd[slice]!);
    return Math.max(reach, request >= 0 ? kvLens[request]! : 0);
  }

  #rowAt(y: number): number {
    return Math.floor((y + this.#scroll.scrollTop) / this.#sizes.row);
  }

  #x(job: number): (tokens: number) => number {
    const most = this.#input!.scale === "share" ? Math.max(this.#tokensOf(job), 1) : this.#mostTokens;
    const right = Math.max(this.canvas.clientWidth - this.#sizes.count, this.#sizes.label + 10);
    return (tokens) => this.#sizes.label + (tokens / most) * (right - this.#sizes.label);
  }

  #pieceAt(x: number, y: number): { slice: number; lane: number } | null {
    const job = this.#input?.order[this.#rowAt(y)];
    if (job === undefined) return null;
    const { slices } = this.#prepared.document;
    const at = this.#x(job);
    for (const member of this.#prepared.jobs[job]!.members) {
      if (slices.kind[member.slice] === MERGE) continue;
      if (x >= at(slices.kvStart[member.slice]!) && x < Math.max(at(slices.kvEnd[member.slice]!), at(0) + 3))
        return member;
    }
    return null;
  }

  /** Rows and their columns grow with the texts. */
  #scale(): void {
    const scale = uiScale();
    const { row, label, head, count } = SIZES;
    this.#sizes = { row: Math.round(row * scale), label: label * scale, head: head * scale, count: count * scale };
  }

  #draw(): void {
    const input = this.#input;
    if (input === null) return;
    this.#scale();
    const visible = Math.max(this.#scroll.clientHeight, 1);
    this.canvas.style.height = `${visible}px`;
    this.#space.style.height = `${Math.max(input.order.length * this.#sizes.row - visible, 0)}px`;
    if (!fit(this.canvas)) return;
    this.#drawAxis(input);
    const { palette, order } = input;
    const ratio = devicePixelRatio;
    const context = this.canvas.getContext("2d", { alpha: false })!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = palette.background;
    context.fillRect(0, 0, this.canvas.clientWidth, visible);
    context.font = canvasFont(11, 1);
    context.textBaseline = "middle";
    const first = Math.floor(this.#scroll.scrollTop / this.#sizes.row);
    const last = Math.min(order.length - 1, first + Math.ceil(visible / this.#sizes.row));
    for (let row = first; row <= last; row++)
      this.#drawJob(context, input, order[row]!, row * this.#sizes.row - this.#scroll.scrollTop);
  }

  #drawJob(context: CanvasRenderingContext2D, input: JobListInput, job: number, top: number): void {
    const { palette } = input;
    const { slices } = this.#prepared.document;
    const { request, kvHead, qTile, members } = this.#prepared.jobs[job]!;
    const x = this.#x(job);
    const width = this.canvas.clientWidth;
    if (input.selected === job) {
      context.fillStyle = palette.track;
      context.fillRect(0, top, width, this.#sizes.row);
      context.fillStyle = palette.accent;
      context.fillRect(0, top, 3, this.#sizes.row);
    }
    context.textAlign = "left";
    context.fillStyle = palette.text;
    const name = request < 0 ? `prefix ${-1 - request}` : `request ${request}`;
    context.fillText(name, 12, top + this.#sizes.row / 2);
    context.fillStyle = palette.muted;
    context.fillText(`h${kvHead}${qTile > 0 ? ` r${short(qTile)}` : ""}`, this.#sizes.head, top + this.#sizes.row / 2);
    context.fillStyle = input.selected === job ? palette.background : palette.track;
    context.fillRect(x(0), top + 3, x(this.#tokensOf(job)) - x(0), this.#sizes.row - 6);
    let pieces = 0;
    for (const { slice } of members) {
      if (slices.kind[slice] === MERGE) continue;
      const from = x(slices.kvStart[slice]!);
      const to = Math.max(x(slices.kvEnd[slice]!), from + 1.5);
      // Neighbours differ in tone, so that a cut is seen even where it is narrower than a line.
      const color = pieces % 2 === 0 ? palette.kinds[1] : palette.others[0];
      pieces++;
      context.fillStyle = color;
      context.fillRect(from, top + 3, Math.max(to - from - (to - from > 4 ? 1 : 0), 1), this.#sizes.row - 6);
      const text = String(slices.worker[slice]);
      if (to - from > context.measureText(text).width + 6) {
        context.fillStyle = inkOn(color);
        context.fillText(text, from + 4, top + this.#sizes.row / 2 + 0.5);
      }
    }
    context.textAlign = "right";
    context.fillStyle = pieces > 1 ? palette.text : palette.muted;
    context.fillText(pieces === 1 ? "1 piece" : `${integer(pieces)} pieces`, width - 10, top + this.#sizes.row / 2);
  }

  #drawAxis(input: JobListInput): void {
    if (!fit(this.#axis)) return;
    const { palette, scale } = input;
    const ratio = devicePixelRatio;
    const context = this.#axis.getContext("2d", { alpha: false })!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const width = this.canvas.clientWidth;
    context.fillStyle = palette.background;
    context.fillRect(0, 0, this.#axis.clientWidth, 24);
    context.font = canvasFont(11, 1);
    context.textBaseline = "middle";
    context.fillStyle = palette.muted;
    context.textAlign = "left";
    context.fillText("Job", 12, 11);
    const most = scale === "share" ? 100 : this.#mostTokens;
    const x = scaleLinear()
      .domain([0, most])
      .range([this.#sizes.label, Math.max(width - this.#sizes.count, this.#sizes.label + 10)]);
    context.textAlign = "center";
    for (const tick of x.ticks(Math.max(2, Math.floor((width - this.#sizes.label) / 130)))) {
      context.fillText(
        scale === "share" ? `${tick} %` : `${integer(tick)}${tick === 0 ? " KV tokens" : ""}`,
        tick === 0 ? x(tick) + 28 : x(tick),
        11,
      );
    }
  }
}
