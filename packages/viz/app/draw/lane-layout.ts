// Where each lane lies on the screen: order of the rows, row zoom and scroll, snapped to device pixels.

import { laneLabel } from "../../src/lanes.ts";
import type { LaneWork } from "../../src/work-sums.ts";
import type { TimelineDocument } from "../documents/timeline.ts";

export const ROW_MODES = ["sm", "worker"] as const;
export type RowMode = (typeof ROW_MODES)[number];
export const SORTS = ["sm", "finish", "load"] as const;
export type Sort = (typeof SORTS)[number];

/** Rows of lanes: an SM with its workers, or a worker by itself. */
export interface Rows {
  readonly rows: readonly { readonly label: string; readonly lanes: readonly number[]; readonly busyUs: number }[];
  readonly rowOfLane: Int32Array;
}

export function makeRows(document: TimelineDocument, work: LaneWork, mode: RowMode, sort: Sort): Rows {
  const { lanes } = document;
  const groups = new Map<number, number[]>();
  for (let lane = 0; lane < lanes.count; lane++) {
    const key = mode === "sm" ? lanes.sm[lane]! : lane;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [lane]);
    else group.push(lane);
  }
  if (mode === "sm") for (let sm = 0; sm < document.device.smCount; sm++) if (!groups.has(sm)) groups.set(sm, []);
  const rows = [...groups].map(([key, members]) => ({
    label: mode === "sm" ? `SM ${key}` : laneLabel(lanes, key),
    key: mode === "sm" ? key : lanes.sm[key]! + key / lanes.count,
    lanes: members,
    busyUs: members.reduce((sum, lane) => sum + work.busyUs[lane]!, 0),
    finishUs: members.reduce((last, lane) => Math.max(last, work.finishUs[lane]!), 0),
  }));
  if (sort === "finish") rows.sort((a, b) => b.finishUs - a.finishUs || a.key - b.key);
  else if (sort === "load") rows.sort((a, b) => b.busyUs - a.busyUs || a.key - b.key);
  else rows.sort((a, b) => a.key - b.key);
  const rowOfLane = new Int32Array(lanes.count);
  rows.forEach((row, r) => {
    for (const lane of row.lanes) rowOfLane[lane] = r;
  });
  return { rows, rowOfLane };
}

/** Whole pixels for each of `count` rows where that costs little of the height: rows of unequal height look like data. */
function wholeRowHeight(count: number, height: number): number | null {
  const fitted = height / count;
  const whole = Math.min(Math.floor(fitted), 96);
  // Tall rows may differ by a pixel: nobody sees it, and the empty strip below would be larger.
  return whole >= (whole >= 10 ? 0.97 : 0.85) * fitted || whole === 96 ? whole : null;
}

/** Pixels that all rows together leave empty below them, unless they are so few that they are not stretched to fill it. */
export function spareHeight(count: number, height: number): number {
  const whole = wholeRowHeight(Math.max(count, 1), height);
  return whole === null || whole === 96 ? 0 : height - whole * count;
}

/** Positions in device pixels for a plot of `height` pixels. */
export class LaneLayout {
  readonly rows: Rows;
  readonly rowHeight: number;
  readonly #offset: number;
  readonly height: number;

  constructor(rows: Rows, height: number, zoom: number, firstRow: number) {
    const count = Math.max(rows.rows.length, 1);
    this.rows = rows;
    this.height = height;
    const whole = zoom === 1 ? wholeRowHeight(count, height) : null;
    this.rowHeight = whole ?? (height / count) * zoom;
    const content = this.rowHeight * count;
    this.#offset = Math.max(0, Math.min(firstRow * this.rowHeight, content - height));
  }

  /** Height of the rows that can be seen: whole pixels may leave a strip below them. */
  get shownHeight(): number {
    return Math.min(this.height, Math.round(this.rowHeight * this.rows.rows.length));
  }

  rowTop(row: number): number {
    return Math.round(row * this.rowHeight - this.#offset);
  }

  /** Gap below a row: an SM must be seen as one where there is room for it. */
  get gap(): number {
    return this.rowHeight >= 12 ? 2 : this.rowHeight >= 4 ? 1 : 0;
  }

  /** Top and bottom of a lane; at least one pixel. */
  laneSpan(lane: number): readonly [number, number] {
    const row = this.rows.rowOfLane[lane]!;
    const members = this.rows.rows[row]!.lanes;
    const top = this.rowTop(row);
    const inner = Math.max(this.rowTop(row + 1) - top - this.gap, 1);
    const at = members.indexOf(lane);
    const from = top + Math.floor((at * inner) / members.length);
    const to = top + Math.floor(((at + 1) * inner) / members.length);
    return [from, Math.max(to, from + 1)];
  }

  rowAt(y: number): number {
    const row = Math.floor((y + this.#offset) / this.rowHeight);
    return row >= 0 && row < this.rows.rows.length ? row : -1;
  }

  laneAt(y: number): number {
    const row = this.rowAt(y);
    if (row === -1) return -1;
    const { lanes } = this.rows.rows[row]!;
    for (const lane of lanes) {
      const [from, to] = this.laneSpan(lane);
      if (y >= from && y < to) return lane;
    }
    return lanes[lanes.length - 1] ?? -1;
  }

  get firstVisibleRow(): number {
    return Math.max(0, Math.floor(this.#offset / this.rowHeight));
  }

  get lastVisibleRow(): number {
    return Math.min(this.rows.rows.length - 1, Math.floor((this.#offset + this.height) / this.rowHeight));
  }
}
