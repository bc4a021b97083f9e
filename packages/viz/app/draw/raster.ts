// Lanes as pixels. One row of colours is computed per lane and copied down its height, so that the cost of a frame depends
// on the pixels drawn and not on the slices behind them. A column shows its busy share as depth of colour: zoomed out,
// nothing disappears and nothing is drawn twice.

import type { BusyIndex, LaneSamples } from "../model/busy-index.ts";
import type { LaneLayout } from "./lane-layout.ts";
import { blend, type Palette, pixel } from "./palette.ts";

const STEPS = 16;
// Chosen: the lightest tint in which one busy percent is still seen against the track.
const FAINTEST = 0.16;
// Share of a slice's colour that is left when something else is selected.
const FADED = 0.26;

/** Every pixel colour a frame can need: class × ground (before or after the bound) × busy share, plus bar edges. */
export class ColorTable {
  readonly track: number;
  readonly waste: number;
  readonly background: number;
  readonly #table: Uint32Array;
  readonly #edges: Uint32Array;
  readonly full: Uint32Array;

  constructor(colors: readonly string[], palette: Palette, faded: boolean) {
    this.track = pixel(palette.track);
    this.waste = pixel(palette.waste);
    this.background = pixel(palette.background);
    this.#table = new Uint32Array(colors.length * 2 * (STEPS + 1));
    this.#edges = new Uint32Array(colors.length * 2);
    this.full = Uint32Array.from(colors, pixel);
    colors.forEach((color, c) => {
      [this.track, this.waste].forEach((ground, g) => {
        const solid = faded ? blend(ground, pixel(color), FADED) : pixel(color);
        this.#edges[c * 2 + g] = blend(solid, this.background, 0.5);
        for (let step = 0; step <= STEPS; step++) {
          const share = step === 0 ? 0 : FAINTEST + ((1 - FAINTEST) * step) / STEPS;
          this.#table[(c * 2 + g) * (STEPS + 1) + step] = blend(ground, solid, share);
        }
      });
    });
  }

  color(klass: number, ground: 0 | 1, share: number): number {
    const step = share >= 1 ? STEPS : Math.ceil(share * STEPS);
    return this.#table[(klass * 2 + ground) * (STEPS + 1) + step]!;
  }

  edge(klass: number, ground: 0 | 1): number {
    return this.#edges[klass * 2 + ground]!;
  }
}

export interface RasterInput {
  readonly index: BusyIndex;
  readonly ofSlice: Uint8Array;
  readonly table: ColorTable;
  readonly layout: LaneLayout;
  /** Visible time. */
  readonly fromUs: number;
  readonly toUs: number;
  readonly boundUs: number;
  /** Slices that stand out, drawn over the faded rest; ascending. */
  readonly bright: ArrayLike<number> | null;
  readonly laneOfBright: ArrayLike<number> | null;
}

/** Owns the pixels of one canvas and the scratch rows of a frame. */
export class Raster {
  #image: ImageData = new ImageData(1, 1);
  #pixels: Uint32Array = new Uint32Array(1);
  #row: Uint32Array = new Uint32Array(1);
  #samples: LaneSamples = { share: new Float32Array(0), slice: new Int32Array(0), longest: new Float32Array(0) };
  #written: Uint8Array = new Uint8Array(0);
  /** Busy lanes in each column of the last frame. */
  occupancy: Float32Array = new Float32Array(0);

  resize(width: number, height: number): void {
    if (this.#image.width === width && this.#image.height === height) return;
    this.#image = new ImageData(width, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.#row = new Uint32Array(width);
    this.#samples = {
      share: new Float32Array(width),
      slice: new Int32Array(width),
      longest: new Float32Array(width),
    };
    this.occupancy = new Float32Array(width);
    this.#written = new Uint8Array(height);
  }

  draw(context: CanvasRenderingContext2D, input: RasterInput): void {
    const { index, layout, table, fromUs, toUs } = input;
    const { width, height } = this.#image;
    const pixels = this.#pixels;
    const { share } = this.#samples;
    pixels.fill(table.background);
    this.occupancy.fill(0);
    this.#written.fill(0);
    const boundColumn = Math.ceil(((input.boundUs - fromUs) / (toUs - fromUs)) * width);
    const first = layout.firstVisibleRow;
    const last = layout.lastVisibleRow;
    for (let lane = 0; lane < index.data.laneCount; lane++) {
      index.sampleLane(lane, fromUs, toUs, width, this.#samples);
      for (let c = 0; c < width; c++) this.occupancy[c]! += Math.min(share[c]!, 1);
      const row = layout.rows.rowOfLane[lane]!;
      if (row < first || row > last) continue;
      this.#colorRow(input, boundColumn);
      const [top, bottom] = layout.laneSpan(lane);
      const to = Math.min(bottom, height);
      for (let y = Math.max(top, 0); y < to; y++) {
        if (this.#written[y] === 0) pixels.set(this.#row, y * width);
        else this.#addRow(y);
        this.#written[y] = 1;
      }
    }
    if (input.bright !== null) this.#drawBright(input);
    context.putImageData(this.#image, 0, 0);
  }

  /** Where lanes share a row of pixels, work wins over idleness: nothing disappears. */
  #addRow(y: number): void {
    const { slice } = this.#samples;
    const base = y * this.#row.length;
    for (let c = 0; c < this.#row.length; c++) if (slice[c]! >= 0) this.#pixels[base + c] = this.#row[c]!;
  }

  #colorRow(input: RasterInput, boundColumn: number): void {
    const { table, ofSlice } = input;
    const { share, slice } = this.#samples;
    const row = this.#row;
    const width = row.length;
    for (let c = 0; c < width; c++) {
      const ground = c >= boundColumn ? 1 : 0;
      const i = slice[c]!;
      if (i < 0) {
        row[c] = ground === 1 ? table.waste : table.track;
        continue;
      }
      const klass = ofSlice[i]!;
      // A cut between two bars is drawn where the bar is at least four columns wide.
      const begins = c > 0 && slice[c - 1] !== i && slice[c + 1] === i && slice[c + 2] === i && slice[c + 3] === i;
      row[c] = begins ? table.edge(klass, ground) : table.color(klass, ground, share[c]!);
    }
  }

  #drawBright(input: RasterInput): void {
    const { index, table, ofSlice, layout, fromUs, toUs } = input;
    const { start, end } = index.data;
    const { width, height } = this.#image;
    const perUs = width / (toUs - fromUs);
    const bright = input.bright!;
    for (let k = 0; k < bright.length; k++) {
      const i = bright[k]!;
      const x0 = (start[i]! - fromUs) * perUs;
      const x1 = (end[i]! - fromUs) * perUs;
      if (x1 <= 0 || x0 >= width) continue;
      const from = Math.max(Math.floor(x0), 0);
      const to = Math.min(Math.max(Math.floor(x1), from + 1), width);
      const [top, bottom] = layout.laneSpan(input.laneOfBright![k]!);
      const color = table.full[ofSlice[i]!]!;
      const wide = to - from >= 4;
      for (let y = Math.max(top, 0); y < Math.min(bottom, height); y++) {
        this.#pixels.fill(color, y * width + from, y * width + to);
        if (wide && x0 > 0) this.#pixels[y * width + from] = blend(color, table.background, 0.5);
      }
    }
  }
}
