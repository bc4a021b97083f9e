// Chrome trace-event JSON, both ways: what Perfetto and speedscope open.
//
// One process per SM, one thread per worker (X events on one thread must nest, workers of one SM overlap), times in µs,
// counters for busy workers and bandwidth, flows from pieces to their merge. The document's own fields ride in
// `otherData`, and each event's `args` hold the slice, so that reading the file gives the timeline back exactly.

import { laneLabel } from "../../src/lanes.ts";
import { describe } from "../documents/check.ts";
import { DocumentProblem } from "../documents/problem.ts";
import { KINDS, MERGE, type TimelineDocument } from "../documents/timeline.ts";
import { jobPieces } from "../model/jobs.ts";

const FIELDS = ["worker", "sm", "kind", "request", "kvHead", "qTile", "kvStart", "kvEnd"] as const;

interface TraceEvent {
  readonly name?: string;
  readonly ph: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly id?: number;
  readonly bp?: string;
  readonly cat?: string;
  readonly args?: Record<string, unknown>;
}

/** The document without its slices: what `otherData` carries. */
export function documentHead(document: TimelineDocument): Record<string, unknown> {
  const { source, generator, device, profile, attention, policy, title, stats, durationUs, lowerBoundUs, bandwidth } =
    document;
  return {
    isochron: "timeline/1",
    source,
    generator,
    device,
    ...(profile === undefined ? {} : { profile }),
    attention,
    policy,
    ...(title === "" ? {} : { title }),
    batch: { qoLens: Array.from(document.qoLens), kvLens: Array.from(document.kvLens) },
    stats,
    durationUs,
    lowerBoundUs,
    ...(bandwidth === undefined
      ? {}
      : {
          bandwidth: {
            atUs: Array.from(bandwidth.atUs),
            gigabytesPerSecond: Array.from(bandwidth.gigabytesPerSecond),
          },
        }),
  };
}

/** One slice with the field names of the document. */
export function sliceRecord(
  document: TimelineDocument,
  lane: number,
  i: number,
): Record<(typeof FIELDS)[number], number> {
  const { slices, lanes } = document;
  return {
    worker: slices.worker[i]!,
    sm: lanes.sm[lane]!,
    kind: slices.kind[i]!,
    request: slices.request[i]!,
    kvHead: slices.kvHead[i]!,
    qTile: slices.qTile[i]!,
    kvStart: slices.kvStart[i]!,
    kvEnd: slices.kvEnd[i]!,
  };
}

export function writeTraceEvents(document: TimelineDocument): string {
  const { slices, lanes } = document;
  const events: TraceEvent[] = [];
  for (let lane = 0; lane < lanes.count; lane++) {
    const place = { pid: lanes.sm[lane]!, tid: lane };
    events.push({ ph: "M", name: "process_name", ...place, args: { name: `SM ${place.pid}` } });
    events.push({ ph: "M", name: "process_sort_index", ...place, args: { sort_index: place.pid } });
    events.push({ ph: "M", name: "thread_name", ...place, args: { name: laneLabel(lanes, lane) } });
    events.push({ ph: "M", name: "thread_sort_index", ...place, args: { sort_index: lane } });
  }
  const changes: [number, number][] = [];
  for (let lane = 0; lane < lanes.count; lane++) {
    for (let i = lanes.offset[lane]!; i < lanes.offset[lane + 1]!; i++) {
      const request = slices.request[i]!;
      const kind = KINDS[slices.kind[i]!]!;
      events.push({
        ph: "X",
        name: request < 0 ? `prefix group ${-1 - request}` : `request ${request} ${kind}`,
        cat: kind,
        ts: slices.start[i]!,
        dur: slices.end[i]! - slices.start[i]!,
        pid: lanes.sm[lane]!,
        tid: lane,
        // The end itself: start + dur need not be it in floating point.
        args: { ...sliceRecord(document, lane, i), startUs: slices.start[i], endUs: slices.end[i] },
      });
      changes.push([slices.start[i]!, 1], [slices.end[i]!, -1]);
    }
  }
  changes.sort((a, b) => a[0] - b[0]);
  let busy = 0;
  changes.forEach(([at, change], k) => {
    busy += change;
    if (changes[k + 1]?.[0] === at) return;
    events.push({ ph: "C", name: "busy workers", ts: at, pid: 0, tid: 0, args: { workers: busy } });
  });
  const { bandwidth } = document;
  for (let k = 0; k < (bandwidth?.atUs.length ?? 0); k++) {
    const args = { "GB/s": bandwidth!.gigabytesPerSecond[k] };
    events.push({ ph: "C", name: "bandwidth", ts: bandwidth!.atUs[k]!, pid: 0, tid: 0, args });
  }
  pushFlows(document, events);
  return JSON.stringify({
    traceEvents: events,
    displayTimeUnit: "ns",
    otherData: { timeline: documentHead(document) },
  });
}

/** An arrow from every piece of a split job to the job's merge. */
function pushFlows(document: TimelineDocument, events: TraceEvent[]): void {
  const { slices } = document;
  let id = 0;
  jobPieces(document).forEach((pieces) => {
    const merge = pieces.find((piece) => slices.kind[piece.slice] === MERGE);
    if (merge === undefined) return;
    for (const piece of pieces) {
      if (slices.kind[piece.slice] === MERGE) continue;
      id++;
      const ends = { cat: "merge", name: "merge", id };
      const at = (lane: number): { pid: number; tid: number } => ({ pid: document.lanes.sm[lane]!, tid: lane });
      events.push({ ph: "s", ...ends, ts: slices.start[piece.slice]!, ...at(piece.lane) });
      events.push({ ph: "f", bp: "e", ...ends, ts: slices.start[merge.slice]!, ...at(merge.lane) });
    }
  });
}

export function isTraceEvents(raw: object): raw is { traceEvents: unknown; otherData?: unknown } {
  return "traceEvents" in raw;
}

/** The timeline that a trace-event file of ours holds, as a raw document for the validator. */
export function readTraceEvents(raw: { traceEvents: unknown; otherData?: unknown }, file: string): unknown {
  const { otherData, traceEvents } = raw;
  const head =
    typeof otherData === "object" && otherData !== null && "timeline" in otherData ? otherData.timeline : undefined;
  if (typeof head !== "object" || head === null || !Array.isArray(traceEvents)) {
    throw new DocumentProblem(
      file,
      "this is a trace-event file that Isochron did not write (it names no SMs and no requests)",
      "a trace-event file exported by this viewer, or a timeline/1 document",
    );
  }
  const columns: Record<string, unknown[]> = { startUs: [], endUs: [] };
  for (const name of FIELDS) columns[name] = [];
  traceEvents.forEach((event: unknown, i) => {
    if (typeof event !== "object" || event === null) {
      throw new DocumentProblem(file, `traceEvents[${i}] is ${describe(event)}`, "an object");
    }
    if (!("ph" in event) || event.ph !== "X") return;
    const args: unknown = "args" in event ? event.args : undefined;
    if (typeof args !== "object" || args === null) {
      throw new DocumentProblem(file, `traceEvents[${i}].args is ${describe(args)}`, "the fields of a slice");
    }
    for (const [name, column] of Object.entries(columns)) column.push((args as Record<string, unknown>)[name]);
  });
  return { ...head, slices: columns };
}
