// Lines over the plot: the lower bound and the waste to its right, the selected range, the pinned and hovered bars, and the
// links from the pieces of a job to its merge.

import { MERGE } from "../documents/timeline.ts";
import { duration, times } from "../format.ts";
import { laneOf } from "../model/jobs.ts";
import { s } from "../ui/dom.ts";
import type { LaneChartInput } from "./lane-chart-input.ts";
import type { LaneLayout } from "./lane-layout.ts";
import { uiScale } from "./measures.ts";

interface Box {
  readonly width: number;
  readonly height: number;
  /** Height of the plot that has rows. */
  readonly shown: number;
  /** Height of the tracks above the plot. */
  readonly top: number;
}

/** CSS pixels that the longest label of the lower bound takes. */
const LONG_LABEL = 320;

// Chosen: more links than this are a grey smear.
const MAX_LINKS = 400;

export function drawOverlay(svg: SVGSVGElement, input: LaneChartInput, layout: LaneLayout, box: Box): void {
  const { document } = input.prepared;
  const [from, to] = input.time;
  const x = (us: number): number => ((us - from) / (to - from)) * box.width;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${box.width} ${box.top + box.height}`);
  if (input.range !== null) drawRange(svg, input.range, x, box);
  if (input.linked !== null) drawLinks(svg, input, layout, x, box);
  for (const [slice, name] of [
    [input.pin, "pinned"],
    [input.hover, "hovered"],
  ] as const) {
    if (slice < 0 || slice >= document.slices.count) continue;
    const rect = outline(input, layout, slice, x, box);
    if (rect !== null) svg.append(s("rect", { class: `outline ${name}`, ...rect }));
  }
  const bound = document.lowerBoundUs;
  if (bound > 0) drawBound(svg, bound, document.durationUs, x, box);
}

function drawBound(svg: SVGSVGElement, bound: number, durationUs: number, x: (us: number) => number, box: Box): void {
  const at = x(bound);
  if (at < 0 || at > box.width) return;
  const ratio = durationUs / bound;
  const wasted = durationUs - bound;
  const right = at < box.width * 0.55;
  const room = right ? box.width - at : at;
  const short = `lower bound ${duration(bound)}`;
  const isLong = wasted > bound * 0.005 && room > LONG_LABEL * uiScale();
  const text = isLong ? `${short}  ·  waste → ${duration(wasted)} (${times(ratio)})` : short;
  svg.append(
    s("line", { class: "bound", x1: at, x2: at, y1: 22, y2: box.top + box.shown }),
    s("text", { class: "bound-label", x: at + (right ? 6 : -6), y: 34, "text-anchor": right ? "start" : "end" }, text),
  );
}

function drawRange(svg: SVGSVGElement, range: readonly [number, number], x: (us: number) => number, box: Box): void {
  const from = Math.max(x(range[0]), 0);
  const to = Math.min(x(range[1]), box.width);
  if (to <= from) return;
  svg.append(
    s("rect", { class: "range", x: from, width: to - from, y: 18, height: box.top + box.shown - 18 }),
    s(
      "text",
      { class: "range-label", x: (from + to) / 2, y: 60, "text-anchor": "middle" },
      duration(range[1] - range[0]),
    ),
  );
}

function outline(
  input: LaneChartInput,
  layout: LaneLayout,
  slice: number,
  x: (us: number) => number,
  box: Box,
): { x: number; y: number; width: number; height: number } | null {
  const { document } = input.prepared;
  const lane = laneOf(document, slice);
  const [top, bottom] = layout.laneSpan(lane);
  const left = Math.max(x(document.slices.start[slice]!), 0);
  const right = Math.min(x(document.slices.end[slice]!), box.width);
  if (right < 0 || left > box.width || bottom < 0 || top > layout.height) return null;
  const ratio = devicePixelRatio;
  return {
    x: left - 0.5,
    y: box.top + top / ratio - 0.5,
    width: Math.max(right - left, 2) + 1,
    height: (bottom - top) / ratio + 1,
  };
}

function drawLinks(
  svg: SVGSVGElement,
  input: LaneChartInput,
  layout: LaneLayout,
  x: (us: number) => number,
  box: Box,
): void {
  const { slices } = input.prepared.document;
  const members = input.linked!;
  const merges = members.filter((place) => slices.kind[place.slice] === MERGE);
  const pieces = members.filter((place) => slices.kind[place.slice] !== MERGE);
  const y = (lane: number): number => {
    const [top, bottom] = layout.laneSpan(lane);
    return Math.min(Math.max(box.top + (top + bottom) / 2 / devicePixelRatio, box.top), box.top + box.height);
  };
  let drawn = 0;
  for (const merge of merges) {
    const x1 = x(slices.start[merge.slice]!);
    const y1 = y(merge.lane);
    for (const piece of pieces) {
      if (drawn++ >= MAX_LINKS) return;
      const x0 = x(slices.end[piece.slice]!);
      const y0 = y(piece.lane);
      if (Math.max(x0, x1) < 0 || Math.min(x0, x1) > box.width) continue;
      const bend = Math.max(Math.abs(x1 - x0) / 2, 12);
      svg.append(s("path", { class: "join", d: `M${x0},${y0}C${x0 + bend},${y0} ${x1 - bend},${y1} ${x1},${y1}` }));
    }
    svg.append(s("circle", { class: "join-end", cx: x1, cy: y1, r: 3 }));
  }
}
