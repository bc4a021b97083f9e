// How slices are coloured: every slice gets a class (0–127), every class a colour. Classes are computed once for a mode and
// kept as one byte per slice, so that a frame reads one byte and one table.

import { KINDS, MERGE, type TimelineDocument } from "../documents/timeline.ts";
import { integer } from "../format.ts";
import type { Work } from "../model/work.ts";
import { type Palette, shade } from "./palette.ts";

export const COLOR_MODES = ["request", "kind", "kv"] as const;
export type ColorMode = (typeof COLOR_MODES)[number];

export const COLOR_LABELS: Readonly<Record<ColorMode, string>> = { request: "Request", kind: "Kind", kv: "KV range" };

export interface LegendEntry {
  readonly color: string;
  readonly label: string;
  readonly note: string;
  /** Request that the entry stands for. */
  readonly request?: number;
}

export interface Classes {
  readonly ofSlice: Uint8Array;
  colors(palette: Palette): string[];
  legend(palette: Palette): LegendEntry[];
}

const SPECIAL_REQUESTS = 6;
// Chosen: twice the work of the median request. Where none has that, the six heaviest are told apart.
const STANDS_OUT = 2;
const KV_STEPS = 7;

export function classify(document: TimelineDocument, work: Work, mode: ColorMode): Classes {
  if (mode === "kind") return byKind(document, work);
  return mode === "kv" ? byKvRange(document) : byRequest(document, work);
}

export function requestName(request: number): string {
  return request < 0 ? `prefix ${-1 - request}` : `request ${request}`;
}

/** The heaviest requests have a colour of their own, as far as they stand out; the rest share two quiet tones. */
function byRequest(document: TimelineDocument, work: Work): Classes {
  const { slices, kvLens } = document;
  const worked = work.requests.filter((row) => row.busyUs > 0);
  const median = worked[worked.length >> 1]?.busyUs ?? 0;
  const outstanding = worked.filter((row) => row.busyUs > STANDS_OUT * median);
  const heavy = (outstanding.length > 0 ? outstanding : worked).slice(0, SPECIAL_REQUESTS);
  const groups = Math.max(0, ...work.requests.map((row) => -row.request));
  const classOf = new Uint8Array(kvLens.length + groups);
  const indexOf = (request: number): number => request + groups;
  for (let request = -groups; request < kvLens.length; request++) {
    classOf[indexOf(request)] = SPECIAL_REQUESTS + (Math.abs(request) & 1);
  }
  heavy.forEach((row, rank) => {
    classOf[indexOf(row.request)] = rank;
  });
  const ofSlice = new Uint8Array(slices.count);
  const merges = SPECIAL_REQUESTS + 2;
  for (let i = 0; i < slices.count; i++) {
    ofSlice[i] = classOf[slices.request[i]! + groups]! + (slices.kind[i] === MERGE ? merges : 0);
  }
  const merged = work.kinds[MERGE]!.slices > 0;
  const active = work.requests.filter((row) => row.busyUs > 0).length;
  return {
    ofSlice,
    colors: (palette) => {
      const plain = [...palette.requests, ...palette.others];
      return [...plain, ...plain.map((color) => shade(color, palette.text))];
    },
    legend: (palette) => [
      ...heavy.map((row, rank) => ({
        color: palette.requests[rank]!,
        label: requestName(row.request),
        note: `${integer(row.kvLen)} KV`,
        request: row.request,
      })),
      ...(active > heavy.length
        ? [{ color: palette.others[0], label: `${integer(active - heavy.length)} others`, note: "" }]
        : []),
      ...(merged
        ? [{ color: shade(palette.requests[0]!, palette.text), label: "merge: a shade of its request", note: "" }]
        : []),
    ],
  };
}

function byKind(document: TimelineDocument, work: Work): Classes {
  const { slices } = document;
  const ofSlice = new Uint8Array(slices.count);
  for (let i = 0; i < slices.count; i++) ofSlice[i] = slices.kind[i]!;
  return {
    ofSlice,
    colors: (palette) => [...palette.kinds],
    legend: (palette) =>
      KINDS.map((name, kind) => ({
        color: palette.kinds[kind]!,
        label: name,
        note: integer(work.kinds[kind]!.slices),
      })).filter((_, kind) => work.kinds[kind]!.slices > 0),
  };
}

/** Where in its request's KV range a piece begins; merges read no KV and take the last class. */
function byKvRange(document: TimelineDocument): Classes {
  const { slices, kvLens } = document;
  const ofSlice = new Uint8Array(slices.count);
  for (let i = 0; i < slices.count; i++) {
    const request = slices.request[i]!;
    const length = request >= 0 ? kvLens[request]! : slices.kvEnd[i]!;
    const step = length > 0 ? Math.floor((slices.kvStart[i]! / length) * KV_STEPS) : 0;
    ofSlice[i] = slices.kind[i] === MERGE ? KV_STEPS : Math.min(step, KV_STEPS - 1);
  }
  return {
    ofSlice,
    colors: (palette) => [...palette.ramp, palette.kinds[3]],
    legend: (palette) => [
      ...palette.ramp.map((color, step) => ({
        color,
        label: step === 0 ? "first KV token" : step === KV_STEPS - 1 ? "last" : "",
        note: "",
      })),
      { color: palette.kinds[3], label: "merge", note: "" },
    ],
  };
}
