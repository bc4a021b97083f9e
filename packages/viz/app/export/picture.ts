// The chart as a picture of its own: SVG text, and PNG drawn from it.

import { scaleLinear } from "d3-scale";
import { titleOf } from "../documents/title.ts";
import { AXIS_HEIGHT, BUSY_WIDTH, FONT, LABEL_WIDTH } from "../draw/measures.ts";
import { duration, percent, timeAxis } from "../format.ts";
import type { Prepared } from "../model/prepared.ts";
import type { Viewer } from "../viewer.ts";
import type { LaneChart } from "../views/lane-chart.ts";

const TITLE_HEIGHT = 56;
// Chosen: beyond this a vector file is slower to open than a picture is to look at.
const MAX_RECTS = 40_000;

export function chartSvg(app: Viewer, prepared: Prepared, chart: LaneChart): string {
  const { palette, state } = app;
  const { document, index, verdict } = prepared;
  const layout = chart.layout!;
  const ratio = devicePixelRatio;
  const plotWidth = chart.canvas.clientWidth;
  const plotHeight = chart.canvas.clientHeight;
  const width = LABEL_WIDTH + plotWidth + BUSY_WIDTH;
  const top = TITLE_HEIGHT + AXIS_HEIGHT;
  const height = top + plotHeight + 12;
  const [from, to] = state.time ?? [0, document.durationUs * 1.02];
  const x = scaleLinear().domain([from, to]).range([0, plotWidth]);
  const parts: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family='${FONT}' font-size="11">`,
    `<rect width="100%" height="100%" fill="${palette.background}"/>`,
    text(12, 22, titleOf(document), palette.text, 'font-size="15" font-weight="600"'),
    text(12, 42, verdict.headline, palette.muted, 'font-size="12"'),
    `<g transform="translate(${LABEL_WIDTH},${top})">`,
  ];
  const axis = timeAxis(from, to, Math.max(2, Math.floor(plotWidth / 110)));
  for (const at of axis.ticks) {
    parts.push(text(x(at), -8, axis.text(at), palette.muted, 'text-anchor="middle"'));
  }
  const bound = document.lowerBoundUs;
  const boundX = Math.min(Math.max(x(bound), 0), plotWidth);
  const bars: string[] = [];
  const colors = prepared.classes(state.color).colors(palette);
  const { ofSlice } = prepared.classes(state.color);
  let count = 0;
  for (let row = layout.firstVisibleRow; row <= layout.lastVisibleRow; row++) {
    const { label, lanes, busyUs } = layout.rows.rows[row]!;
    const rowTop = layout.rowTop(row) / ratio;
    const rowHeight = layout.rowHeight / ratio;
    if (rowHeight >= 13 || row % Math.ceil(13 / rowHeight) === 0) {
      parts.push(text(-8, rowTop + Math.min(rowHeight, 13) / 2 + 4, label, palette.muted, 'text-anchor="end"'));
      const share = busyUs / ((document.durationUs || 1) * Math.max(lanes.length, 1));
      parts.push(text(plotWidth + 8, rowTop + Math.min(rowHeight, 13) / 2 + 4, percent(share), palette.text));
    }
    for (const lane of lanes) {
      const [laneTop, laneBottom] = layout.laneSpan(lane).map((y) => y / ratio) as [number, number];
      const shape = `y="${round(laneTop)}" height="${round(laneBottom - laneTop)}"`;
      parts.push(`<rect x="0" width="${round(boundX)}" ${shape} fill="${palette.track}"/>`);
      parts.push(`<rect x="${round(boundX)}" width="${round(plotWidth - boundX)}" ${shape} fill="${palette.waste}"/>`);
      const visible = index.slicesIn(lane, from, to);
      count += visible.to - visible.from;
      if (count > MAX_RECTS) continue;
      for (let i = visible.from; i < visible.to; i++) {
        const x0 = Math.max(x(document.slices.start[i]!), 0);
        const x1 = Math.min(x(document.slices.end[i]!), plotWidth);
        bars.push(
          `<rect x="${round(x0)}" width="${round(Math.max(x1 - x0 - (x1 - x0 > 3 ? 0.5 : 0), 0.25))}" ${shape} fill="${colors[ofSlice[i]!]}"/>`,
        );
      }
    }
  }
  if (count > MAX_RECTS) {
    parts.push(`<image href="${chart.canvas.toDataURL("image/png")}" width="${plotWidth}" height="${plotHeight}"/>`);
  } else parts.push(...bars);
  if (bound > from && bound < to) {
    parts.push(
      `<line x1="${round(x(bound))}" x2="${round(x(bound))}" y1="-4" y2="${plotHeight}" stroke="${palette.bound}" stroke-width="1.5"/>`,
    );
    parts.push(text(x(bound) + 5, 12, `lower bound ${duration(bound)}`, palette.bound, 'font-weight="600"'));
  }
  parts.push("</g></svg>");
  return parts.join("\n");
}

/** The same picture at twice the size of the screen. */
export async function chartPng(app: Viewer, prepared: Prepared, chart: LaneChart): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([chartSvg(app, prepared, chart)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width * 2;
    canvas.height = image.height * 2;
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
    if (blob === null) throw new Error("the picture is too large for this browser");
    return blob;
  } finally {
    URL.revokeObjectURL(url);
  }
}

const round = (value: number): string => String(Math.round(value * 100) / 100);

function text(x: number, y: number, content: string, fill: string, more = ""): string {
  const safe = content.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<text x="${round(x)}" y="${round(y)}" fill="${fill}" ${more}>${safe}</text>`;
}
