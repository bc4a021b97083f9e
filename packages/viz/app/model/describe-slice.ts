// Everything about one bar, in words.

import { laneLabel } from "../../src/lanes.ts";
import { KINDS, MERGE, type TimelineDocument } from "../documents/timeline.ts";
import { requestName } from "../draw/classes.ts";
import { bytes, duration, integer, microseconds, percent, plural } from "../format.ts";
import type { Fact } from "../ui/facts.ts";
import { jobOf } from "./jobs.ts";

const BYTES_OF_DTYPE: Readonly<Record<string, number>> = { bf16: 2, fp16: 2, fp32: 4, fp8_e4m3: 1, fp8_e5m2: 1 };

export function sliceTitle(document: TimelineDocument, slice: number): string {
  const kind = KINDS[document.slices.kind[slice]!]!;
  const name = requestName(document.slices.request[slice]!);
  return `${name.charAt(0).toUpperCase()}${name.slice(1)} · ${kind}`;
}

/** The short list for the card beside the pointer. */
export function sliceFacts(document: TimelineDocument, slice: number, lane: number): Fact[] {
  const { slices, lanes, attention, kvLens, qoLens } = document;
  const start = slices.start[slice]!;
  const end = slices.end[slice]!;
  const request = slices.request[slice]!;
  const merge = slices.kind[slice] === MERGE;
  const tokens = slices.kvEnd[slice]! - slices.kvStart[slice]!;
  const facts: Fact[] = [
    ["Where", `SM ${lanes.sm[lane]}, ${laneLabel(lanes, lane)}`],
    ["Time", `${microseconds(start)} – ${microseconds(end)}`],
    ["Takes", `${duration(end - start)} (${percent((end - start) / (document.durationUs || 1))} of the launch)`],
  ];
  if (!merge) {
    const of = request >= 0 ? ` of ${integer(kvLens[request]!)}` : "";
    facts.push([
      "KV tokens",
      `${integer(slices.kvStart[slice]!)} – ${integer(slices.kvEnd[slice]!)} (${integer(tokens)}${of})`,
    ]);
  }
  if (request >= 0) facts.push(["Query tokens", integer(qoLens[request]!)]);
  facts.push(
    ["KV head", `${slices.kvHead[slice]} of ${attention.kvHeads}`],
    ["First query row", integer(slices.qTile[slice]!)],
  );
  if (!merge && end > start) {
    // Keys and values of one head.
    const elements = attention.headDim + (attention.valueHeadDim ?? attention.headDim);
    const kvBytes = tokens * elements * BYTES_OF_DTYPE[attention.kvDtype]!;
    facts.push(["KV read", `${bytes(kvBytes)} at ${(kvBytes / (end - start) / 1e3).toFixed(1)} GB/s`]);
  }
  return facts;
}

/** How the job of a slice was cut, and when its merge could start. */
export function jobFacts(document: TimelineDocument, slice: number): Fact[] {
  const { slices } = document;
  const { members } = jobOf(document, slice);
  const pieces = members.filter((place) => slices.kind[place.slice] !== MERGE);
  const merges = members.filter((place) => slices.kind[place.slice] === MERGE);
  const workers = new Set(pieces.map((place) => place.lane)).size;
  const facts: Fact[] = [["Job", `${plural(pieces.length, "piece")} on ${plural(workers, "worker")}`]];
  if (pieces.length > 0) {
    const ends = pieces.map((place) => slices.end[place.slice]!);
    const last = Math.max(...ends);
    if (pieces.length > 1) facts.push(["First to last end", duration(last - Math.min(...ends))]);
    if (merges.length > 0) {
      const first = Math.min(...merges.map((place) => slices.start[place.slice]!));
      facts.push([
        "Merge",
        `${plural(merges.length, "merge")}, ${duration(Math.max(first - last, 0))} after the last piece`,
      ]);
    } else facts.push(["Merge", pieces.length === 1 ? "none: written through" : "none"]);
  }
  return facts;
}
