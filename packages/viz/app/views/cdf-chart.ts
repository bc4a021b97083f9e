// Cumulative distributions, side by side: where on the curve a limit cuts, and which request sits at a percentile.

import { scaleLog } from "d3-scale";
import { canvasFont, uiScale } from "../draw/measures.ts";
import type { Palette } from "../draw/palette.ts";
import { milliseconds } from "../format.ts";
import { h } from "../ui/dom.ts";
import { fit } from "./lane-chart.ts";

export interface Distribution {
  readonly name: string;
  /** Ascending samples with their share of requests at or below. */
  readonly values: ArrayLike<number>;
  readonly shares: ArrayLike<number>;
  /** Row of the request behind each sample; null where the samples are percentiles of a summary. */
  readonly rows: ArrayLike<number> | null;
  readonly limit: number | undefined;
}

export class CdfChart {
  readonly element: HTMLElement;
  readonly #canvas: HTMLCanvasElement;
  readonly #distribution: Distribution;
  readonly #note: HTMLElement;
  #palette: Palette | null = null;
  #at: number | null = null;
  /** What it was last drawn for. */
  #drawn: unknown[] = [];

  constructor(distribution: Distribution, pick: (row: number) => void) {
    this.#distribution = distribution;
    const { name, rows } = distribution;
    this.#canvas = h("canvas", { class: "cdf-canvas", role: "img", "aria-label": `Distribution of ${name}` });
    this.#note = h("span", { class: "readout" });
    this.element = h(
      "figure",
      { class: `cdf ${rows === null ? "" : "pickable"}` },
      h("figcaption", {}, h("span", { class: "chart-title" }, name), this.#note),
      this.#canvas,
    );
    this.#canvas.addEventListener("pointermove", (event) => {
      this.#at = this.#nearest(event.offsetY);
      this.draw(this.#palette!);
    });
    this.#canvas.addEventListener("pointerleave", () => {
      this.#at = null;
      this.draw(this.#palette!);
    });
    this.#canvas.addEventListener("click", (event) => {
      const at = this.#nearest(event.offsetY);
      if (at !== null && rows !== null) pick(rows[at]!);
    });
  }

  /** The sample at the height of the pointer: its percentile. */
  #nearest(offsetY: number): number | null {
    const { shares } = this.#distribution;
    if (shares.length === 0) return null;
    const share = 1 - (offsetY - 6) / (this.#canvas.clientHeight - 6 - 18 * uiScale());
    let low = 0;
    let high = shares.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (shares[middle]! < share) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  draw(palette: Palette): void {
    this.#palette = palette;
    if (!fit(this.#canvas)) return;
    const key = [palette, this.#canvas.width, this.#canvas.height, this.#at];
    if (key.every((part, k) => part === this.#drawn[k])) return;
    this.#drawn = key;
    const { values, shares, limit } = this.#distribution;
    const ratio = devicePixelRatio;
    const context = this.#canvas.getContext("2d", { alpha: false })!;
    const { width, height } = this.#canvas;
    context.fillStyle = palette.background;
    context.fillRect(0, 0, width, height);
    context.font = canvasFont(10.5, ratio);
    context.textBaseline = "middle";
    const top = 6 * ratio;
    const bottom = height - 18 * ratio * uiScale();
    const left = 30 * ratio * uiScale();
    const right = width - 6 * ratio;
    if (values.length === 0) {
      context.fillStyle = palette.muted;
      context.fillText("no samples", left, (top + bottom) / 2);
      this.#note.textContent = "";
      return;
    }
    const low = Math.max(values[0]!, 1e-3);
    const high = Math.max(values[values.length - 1]!, limit ?? 0, low * 1.01);
    const x = scaleLog().domain([low, high]).range([left, right]);
    const y = (share: number): number => bottom - share * (bottom - top);
    for (const share of [0, 0.5, 0.9, 1]) {
      context.fillStyle = palette.line;
      context.fillRect(left, Math.round(y(share)), right - left, Math.max(1, Math.floor(ratio)));
      context.fillStyle = palette.muted;
      context.textAlign = "right";
      if (share !== 1) context.fillText(share === 0 ? "0" : `p${share * 100}`, left - 4 * ratio, y(share));
    }
    context.textAlign = "center";
    let before = Number.NEGATIVE_INFINITY;
    for (const tick of [low, ...decades(low, high), high]) {
      const text = milliseconds(tick);
      const half = context.measureText(text).width / 2;
      const at = Math.min(Math.max(x(tick), left + half), right - half);
      if (at - half < before + 8 * ratio) continue;
      context.fillStyle = palette.muted;
      context.fillText(text, at, bottom + 10 * ratio * uiScale());
      before = at + half;
    }
    context.beginPath();
    context.moveTo(x(low), y(0));
    for (let i = 0; i < values.length; i++) {
      const at = x(Math.max(values[i]!, low));
      if (this.#distribution.rows !== null) context.lineTo(at, y(i === 0 ? 0 : shares[i - 1]!));
      context.lineTo(at, y(shares[i]!));
    }
    context.strokeStyle = palette.curve;
    context.lineWidth = 1.75 * ratio;
    context.stroke();
    if (limit !== undefined) {
      context.strokeStyle = palette.bound;
      context.lineWidth = 1.25 * ratio;
      context.setLineDash([5 * ratio, 4 * ratio]);
      context.beginPath();
      context.moveTo(x(Math.max(limit, low)), top);
      context.lineTo(x(Math.max(limit, low)), bottom);
      context.stroke();
      context.setLineDash([]);
    }
    this.#mark(context, x, y, palette, ratio, low);
  }

  #mark(
    context: CanvasRenderingContext2D,
    x: (value: number) => number,
    y: (share: number) => number,
    palette: Palette,
    ratio: number,
    low: number,
  ): void {
    const { values, shares, limit } = this.#distribution;
    const at = this.#at;
    if (at === null) {
      const within = limit === undefined ? null : shareBelow(values, shares, limit);
      this.#note.textContent = within === null ? "" : `${(within * 100).toFixed(1)} % within ${milliseconds(limit!)}`;
      return;
    }
    context.fillStyle = palette.accent;
    context.beginPath();
    context.arc(x(Math.max(values[at]!, low)), y(shares[at]!), 4 * ratio, 0, 2 * Math.PI);
    context.fill();
    this.#note.textContent = `p${(shares[at]! * 100).toFixed(1)}: ${milliseconds(values[at]!)}`;
  }
}

function decades(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.ceil(Math.log10(low)); 10 ** power < high; power++) ticks.push(10 ** power);
  return ticks;
}

/** Share of samples at or below a value. */
function shareBelow(values: ArrayLike<number>, shares: ArrayLike<number>, limit: number): number {
  let share = 0;
  for (let i = 0; i < values.length && values[i]! <= limit; i++) share = shares[i]!;
  return share;
}

/** The distribution of samples that are there (NaN: none). */
export function distributionOf(name: string, samples: Float64Array, limit: number | undefined): Distribution {
  const rows = Array.from(samples.keys()).filter((row) => !Number.isNaN(samples[row]!));
  rows.sort((a, b) => samples[a]! - samples[b]!);
  return {
    name,
    values: rows.map((row) => samples[row]!),
    shares: rows.map((_, i) => (i + 1) / rows.length),
    rows,
    limit,
  };
}
