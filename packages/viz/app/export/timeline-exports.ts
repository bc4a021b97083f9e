// What a timeline can be saved as.

import { KINDS, type TimelineDocument } from "../documents/timeline.ts";
import { integer } from "../format.ts";
import type { Prepared } from "../model/prepared.ts";
import { download } from "../ui/dom.ts";
import type { ExportChoice, Viewer } from "../viewer.ts";
import type { LaneChart } from "../views/lane-chart.ts";
import { csv } from "./csv.ts";
import { chartPng, chartSvg } from "./picture.ts";
import { documentHead, sliceRecord, writeTraceEvents } from "./trace-events.ts";

/** Chosen: the longest text a browser can hold is about 512 MB, and a trace event takes up to 250 characters. */
const MAX_TEXT_SLICES = 1_500_000;

class TooLargeError extends Error {
  override readonly name = "TooLargeError";

  constructor(count: number) {
    super(
      `${integer(count)} slices do not fit a text file of this browser (at most ${integer(MAX_TEXT_SLICES)}); the binary document holds them.`,
    );
  }
}

export function timelineExports(app: Viewer, prepared: Prepared, chart: LaneChart): ExportChoice[] {
  const { document } = prepared;
  const name = fileStem(document);
  const text = (suffix: string, type: string, write: (of: TimelineDocument) => string): void => {
    if (document.slices.count > MAX_TEXT_SLICES) throw new TooLargeError(document.slices.count);
    download(`${name}${suffix}`, write(document), type);
  };
  return [
    {
      label: "Picture (PNG)",
      run: async () => download(`${name}.png`, await chartPng(app, prepared, chart), "image/png"),
    },
    { label: "Picture (SVG)", run: () => download(`${name}.svg`, chartSvg(app, prepared, chart), "image/svg+xml") },
    { label: "Slices (CSV)", run: () => text(".csv", "text/csv", slicesCsv) },
    { label: "Timeline (JSON)", run: () => text(".json", "application/json", timelineJson) },
    { label: "Trace events (Perfetto)", run: () => text(".trace.json", "application/json", writeTraceEvents) },
  ];
}

export function fileStem(document: TimelineDocument): string {
  const words = `${document.title === "" ? document.file.replace(/\.[^.]*$/, "") : document.title}-${document.policy}`;
  return (
    words
      .replace(/[^A-Za-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 80) || "timeline"
  );
}

export function slicesCsv(document: TimelineDocument): string {
  const { slices, lanes } = document;
  const rows: (string | number)[][] = [];
  for (let lane = 0; lane < lanes.count; lane++) {
    for (let i = lanes.offset[lane]!; i < lanes.offset[lane + 1]!; i++) {
      const record = sliceRecord(document, lane, i);
      rows.push([
        record.worker,
        record.sm,
        slices.start[i]!,
        slices.end[i]!,
        KINDS[record.kind]!,
        record.request,
        record.kvHead,
        record.qTile,
        record.kvStart,
        record.kvEnd,
      ]);
    }
  }
  return csv(["worker", "sm", "startUs", "endUs", "kind", "request", "kvHead", "qTile", "kvStart", "kvEnd"], rows);
}

export function timelineJson(document: TimelineDocument): string {
  const { slices, lanes } = document;
  const sm = new Array<number>(slices.count);
  for (let lane = 0; lane < lanes.count; lane++) sm.fill(lanes.sm[lane]!, lanes.offset[lane], lanes.offset[lane + 1]);
  return JSON.stringify({
    ...documentHead(document),
    slices: {
      worker: Array.from(slices.worker),
      sm,
      startUs: Array.from(slices.start),
      endUs: Array.from(slices.end),
      kind: Array.from(slices.kind),
      request: Array.from(slices.request),
      kvHead: Array.from(slices.kvHead),
      qTile: Array.from(slices.qTile),
      kvStart: Array.from(slices.kvStart),
      kvEnd: Array.from(slices.kvEnd),
    },
  });
}
