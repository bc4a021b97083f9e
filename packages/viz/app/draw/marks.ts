// What stands on and around the lanes: labels on bars, the tracks above, row names and busy shares beside them.

import { max } from "d3-array";
import { scaleLinear } from "d3-scale";
import { KINDS } from "../documents/timeline.ts";
import { integer, percent, timeAxis } from "../format.ts";
import { type Classes, requestName } from "./classes.ts";
import type { LaneChartInput } from "./lane-chart-input.ts";
import type { LaneLayout } from "./lane-layout.ts";
import { AXIS_HEIGHT, canvasFont, uiScale } from "./measures.ts";
import { inkOn } from "./palette.ts";

/** Names on bars that have room for them. */
export function drawLabels(
  context: CanvasRenderingContext2D,
  input: LaneChartInput,
  layout: LaneLayout,
  classes: Classes,
): void {
  const ratio = devicePixelRatio;
  if (layout.rowHeight < 11 * ratio) return;
  const { document, index } = input.prepared;
  const [from, to] = input.time;
  const perUs = context.canvas.width / (to - from);
  const colors = classes.colors(input.palette);
  const bright = input.bright === null ? null : new Set(input.bright.map((place) => place.slice));
  context.font = canvasFont(11, ratio);
  context.textBaseline = "middle";
  let drawn = 0;
  for (let row = layout.firstVisibleRow; row <= layout.lastVisibleRow; row++) {
    for (const lane of layout.rows.rows[row]!.lanes) {
      const [top, bottom] = layout.laneSpan(lane);
      if (bottom - top < 11 * ratio) continue;
      const visible = index.slicesIn(lane, from, to);
      // A row that is dense has no bar wide enough.
      if (visible.to - visible.from > 400) continue;
      for (let i = visible.from; i < visible.to; i++) {
        if (bright !== null && !bright.has(i)) continue;
        const x0 = Math.max((document.slices.start[i]! - from) * perUs, 0);
        const x1 = Math.min((document.slices.end[i]! - from) * perUs, context.canvas.width);
        const room = x1 - x0 - 10 * ratio;
        if (room < 16 * ratio || drawn > 1500) continue;
        const text = fitted(context, barTexts(input, i), room);
        if (text === "") continue;
        context.fillStyle = inkOn(colors[classes.ofSlice[i]!]!);
        context.fillText(text, x0 + 5 * ratio, (top + bottom) / 2 + ratio);
        drawn++;
      }
    }
  }
}

/** Texts for a bar, longest first. */
function barTexts(input: LaneChartInput, i: number): string[] {
  const { slices } = input.prepared.document;
  const request = slices.request[i]!;
  const name = request < 0 ? `p${-1 - request}` : `${request}`;
  const kind = KINDS[slices.kind[i]!]!;
  if (kind === "merge") return [`${requestName(request)} · merge`, `${name} merge`, name];
  const span = `${integer(slices.kvStart[i]!)}–${integer(slices.kvEnd[i]!)}`;
  return [
    `${requestName(request)} · head ${slices.kvHead[i]} · KV ${span}`,
    `${requestName(request)} · KV ${span}`,
    requestName(request),
    name,
  ];
}

function fitted(context: CanvasRenderingContext2D, texts: readonly string[], room: number): string {
  return texts.find((text) => context.measureText(text).width <= room) ?? "";
}

/** Time axis, busy workers and bandwidth, each track of so many CSS pixels. */
export function drawTracks(
  canvas: HTMLCanvasElement,
  input: LaneChartInput,
  occupancy: Float32Array,
  trackHeight: number,
): void {
  const context = canvas.getContext("2d", { alpha: false })!;
  const ratio = devicePixelRatio;
  const { palette, prepared } = input;
  const { document } = prepared;
  const [from, to] = input.time;
  const width = canvas.width;
  context.fillStyle = palette.background;
  context.fillRect(0, 0, width, canvas.height);
  const x = scaleLinear().domain([from, to]).range([0, width]);
  const axisBottom = AXIS_HEIGHT * ratio;
  const tickTop = 18 * ratio;
  context.font = canvasFont(11, ratio);
  context.textBaseline = "middle";
  context.textAlign = "center";
  const { ticks, text: tickText } = timeAxis(from, to, Math.max(2, Math.floor(width / ratio / 110)));
  for (const tick of ticks) {
    const at = Math.round(x(tick));
    context.fillStyle = palette.line;
    context.fillRect(at, tickTop, ratio, canvas.height);
    context.fillStyle = palette.muted;
    const text = tickText(tick);
    const half = context.measureText(text).width / 2 + 2 * ratio;
    context.fillText(text, Math.min(Math.max(at, half), width - half), tickTop - 9 * ratio);
  }
  context.textAlign = "left";
  const height = trackHeight * ratio;
  const lanes = document.lanes.count;
  areaTrack(context, input, axisBottom, height, (column) => occupancy[Math.min(column, occupancy.length - 1)]! / lanes);
  if (document.bandwidth !== undefined) {
    const { atUs, gigabytesPerSecond } = document.bandwidth;
    const most = (max(Array.from(gigabytesPerSecond as ArrayLike<number>)) ?? 0) || 1;
    lineTrack(context, input, axisBottom + height, height, x, (k) => gigabytesPerSecond[k]! / most, atUs);
  }
}

const AIR = 6;

function areaTrack(
  context: CanvasRenderingContext2D,
  input: LaneChartInput,
  top: number,
  height: number,
  shareAt: (column: number) => number,
): void {
  const ratio = devicePixelRatio;
  const { palette } = input;
  const width = context.canvas.width;
  const y = (share: number): number => top + height - share * (height - AIR * ratio);
  context.fillStyle = palette.line;
  context.fillRect(0, top + height - ratio, width, ratio);
  context.beginPath();
  context.moveTo(0, y(0));
  for (let column = 0; column < width; column++) context.lineTo(column, y(Math.min(shareAt(column), 1)));
  context.lineTo(width, y(0));
  context.closePath();
  context.fillStyle = palette.curveFill;
  context.fill();
  context.beginPath();
  for (let column = 0; column < width; column++) context.lineTo(column, y(Math.min(shareAt(column), 1)));
  context.strokeStyle = palette.curve;
  context.lineWidth = 1.5 * ratio;
  context.stroke();
}

function lineTrack(
  context: CanvasRenderingContext2D,
  input: LaneChartInput,
  top: number,
  height: number,
  x: (us: number) => number,
  shareAt: (k: number) => number,
  atUs: ArrayLike<number>,
): void {
  const ratio = devicePixelRatio;
  const y = (share: number): number => top + height - share * (height - AIR * ratio);
  const width = context.canvas.width;
  context.fillStyle = input.palette.line;
  context.fillRect(0, top + height - ratio, width, ratio);
  context.beginPath();
  let before = y(0);
  context.moveTo(0, before);
  for (let k = 0; k < atUs.length; k++) {
    const from = x(atUs[k]!);
    const level = y(shareAt(k));
    if (from > width) break;
    context.lineTo(Math.max(from, 0), before);
    context.lineTo(Math.max(from, 0), level);
    before = level;
  }
  context.lineTo(Math.min(x(input.prepared.document.durationUs), width), before);
  context.strokeStyle = input.palette.bandwidth;
  context.lineWidth = 1.5 * ratio;
  context.stroke();
}

/** Row names on the left, busy share of each row on the right. */
export function drawBusyBars(
  busy: HTMLCanvasElement,
  labels: HTMLCanvasElement,
  input: LaneChartInput,
  layout: LaneLayout,
): void {
  const ratio = devicePixelRatio;
  const { palette, prepared } = input;
  const left = labels.getContext("2d", { alpha: false })!;
  const right = busy.getContext("2d", { alpha: false })!;
  for (const context of [left, right]) {
    context.fillStyle = palette.background;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.font = canvasFont(11, ratio);
    context.textBaseline = "middle";
  }
  left.textAlign = "right";
  const duration = prepared.document.durationUs || 1;
  // Chosen: names are readable 13 pixels apart.
  const stride = niceStride((13 * ratio * uiScale()) / layout.rowHeight);
  let before = Number.NEGATIVE_INFINITY;
  const textWidth = 40 * ratio * uiScale();
  const barRoom = busy.width - textWidth - 10 * ratio;
  for (let row = layout.firstVisibleRow; row <= layout.lastVisibleRow; row++) {
    const { label, lanes, busyUs } = layout.rows.rows[row]!;
    const top = layout.rowTop(row);
    const bottom = Math.max(layout.rowTop(row + 1) - layout.gap, top + 1);
    // The first and the last name are pushed into the picture; the next one keeps its distance from it.
    const middle = Math.min(Math.max((top + bottom) / 2, 5.5 * ratio), labels.height - 5.5 * ratio);
    const share = lanes.length === 0 ? 0 : busyUs / (duration * lanes.length);
    right.fillStyle = palette.track;
    right.fillRect(8 * ratio, top, barRoom, bottom - top);
    right.fillStyle = palette.muted;
    right.fillRect(8 * ratio, top, Math.max(share > 0 ? ratio : 0, barRoom * Math.min(share, 1)), bottom - top);
    if (row % stride !== 0 || middle - before < 10.5 * ratio * uiScale()) continue;
    before = middle;
    left.fillStyle = palette.muted;
    left.fillText(label, labels.width - 8 * ratio, middle);
    right.fillStyle = palette.text;
    right.fillText(percent(share), 8 * ratio + barRoom + 5 * ratio, middle);
  }
}

/** 1, 2, 4, 5, 10, 20 … : the smallest at or above `least`. */
function niceStride(least: number): number {
  for (let power = 1; ; power *= 10) for (const digit of [1, 2, 4, 5]) if (digit * power >= least) return digit * power;
}
