// Files and folders that the viewer can show → documents with everything that belongs to them.

import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Timeline } from "@isochron/planner";
import {
  findModel,
  findProfile,
  REQUEST_STATUS,
  type Report,
  type RequestSeries,
  reportSchema,
  type SweepResults,
  sweepResultsSchema,
  timelineSchema,
  type ViewerBundle,
} from "@isochron/simulator";
import { decodeBinaryDocument, isBinaryDocument } from "@isochron/viz";
import { InputError, oneLine } from "../errors.ts";
import { stepTimelines } from "../step-timelines.ts";
import { checkDocument, documentKind, parseJson, readBytes, readText, wrongKind } from "./read.ts";

export interface Viewable extends ViewerBundle {
  readonly path: string;
  /** Whether the file holds all that is to be shown. */
  readonly isWhole: boolean;
  /** What could not be added. */
  readonly warnings: readonly string[];
}

/**
 * Reads a report (a file, or the folder of `replay --out`), a timeline, or the results of a sweep (the folder, its summary, or
 * what `sweep --json` printed). Throws InputError for anything else.
 */
export function readViewable(given: string): Viewable {
  const path = fileOf(given);
  const content = readBytes(path);
  if (/^\s*<!doctype html/i.test(content.toString("latin1", 0, 64))) {
    throw new InputError(`${path}: found a page, expected the documents that it shows; open it in a browser`);
  }
  const document = isBinaryDocument(content)
    ? readBinary(content, path)
    : parseJson(content, path, "report/1, timeline/1 or sweep-results/1");
  const parts = partsOf(document);
  if (parts !== undefined) return bundle(parts, path);
  switch (documentKind(document)) {
    case "report/1":
      return withDetails(checkDocument(withoutViews(document), path, "report/1", reportSchema), path);
    case "timeline/1": {
      const timelines = [checkTimeline(document, path)];
      return { path, reports: [], timelines, isWhole: true, warnings: [] };
    }
    case "sweep-results/1":
      return withRows(checkDocument(document, path, "sweep-results/1", sweepResultsSchema), path);
    default:
      throw wrongKind(document, path, '"report/1", "timeline/1" or "sweep-results/1"');
  }
}

/** What a folder is opened with. */
const ENTRIES = ["report.json", "summary.json"];

function fileOf(given: string): string {
  if (statSync(given, { throwIfNoEntry: false })?.isDirectory() !== true) return given;
  const entry = ENTRIES.map((name) => join(given, name)).find((path) => existsSync(path));
  if (entry !== undefined) return entry;
  throw new InputError(
    `${given}: no ${ENTRIES.join(" or ")} in this folder, expected one that \`replay --out\` or \`sweep\` wrote`,
  );
}

/** Adds the rows that lie beside the summary of a sweep. */
function withRows(results: SweepResults, path: string): Viewable {
  const whole = { path, reports: [], timelines: [], warnings: [] };
  if (results.rows !== undefined) return { ...whole, sweeps: [results], isWhole: true };
  const file = join(dirname(path), "results.jsonl");
  if (!existsSync(file)) {
    throw new InputError(`${path}: no results.jsonl beside it, expected the rows that \`sweep\` wrote there`);
  }
  const rows = readText(file)
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "")
    .map((line, i) => parseJson(Buffer.from(line), `${file}:${i + 1}`, "the row of a configuration"));
  return {
    ...whole,
    sweeps: [checkDocument({ ...results, rows }, file, "sweep-results/1", sweepResultsSchema)],
    isWhole: false,
  };
}

/** The binary form (docs/viewer.md). Throws InputError where it is cut off or damaged. */
function readBinary(content: Buffer, path: string): unknown {
  try {
    return decodeBinaryDocument(content);
  } catch (error) {
    throw new InputError(`${path}: ${oneLine((error as Error).message)}, expected a whole binary document`);
  }
}

/** Typed arrays as arrays: what the schemas know. */
function withoutViews(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array);
  if (Array.isArray(value)) return value.map(withoutViews);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, withoutViews(entry)]));
}

/** Chosen: as arrays of numbers, more slices than this take gigabytes. The page checks every one of them. */
const MAX_CHECKED_SLICES = 1_000_000;

/** The timeline with its columns as they are. Of a very long one the first slices stand for all. */
function checkTimeline(document: unknown, path: string): Timeline {
  const plain = (value: unknown, key = ""): unknown => {
    if (ArrayBuffer.isView(value)) return Array.from((value as Float64Array).subarray(0, MAX_CHECKED_SLICES));
    if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
    if (key === "slices") checkLengths(value, path);
    return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, plain(entry, name)]));
  };
  checkDocument(plain(document), path, "timeline/1", timelineSchema);
  return document as Timeline;
}

/** Columns of different lengths would be cut to the same one above. */
function checkLengths(slices: object, path: string): void {
  const [first, ...others] = Object.entries(slices).filter(([, column]) => ArrayBuffer.isView(column)) as [
    string,
    Uint8Array,
  ][];
  const wrong = others.find(([, column]) => column.length !== first![1].length);
  if (wrong === undefined) return;
  throw new InputError(
    `${path}: field slices.${wrong[0]}: found ${wrong[1].length} entries, expected ${first![1].length} as in slices.${first![0]}`,
  );
}

/** The documents in a file that holds several: an array, or `{ "reports": […], "timelines": […], "sweeps": […] }`. */
function partsOf(document: unknown): readonly unknown[] | undefined {
  if (Array.isArray(document)) return document;
  if (document === null || typeof document !== "object" || "isochron" in document) return undefined;
  const { reports, timelines, sweeps } = document as Readonly<Record<string, unknown>>;
  const lists = [reports, timelines, sweeps].filter((list) => list !== undefined);
  if (lists.length === 0) return undefined;
  return lists.flatMap((list): unknown[] => (Array.isArray(list) ? list : []));
}

function bundle(parts: readonly unknown[], path: string): Viewable {
  if (parts.length === 0) {
    throw new InputError(`${path}: found no document, expected "report/1", "timeline/1" or "sweep-results/1"`);
  }
  const reports: Report[] = [];
  const timelines: Timeline[] = [];
  const sweeps: SweepResults[] = [];
  for (const part of parts) {
    const kind = documentKind(part);
    if (kind === "report/1") reports.push(checkDocument(part, path, kind, reportSchema));
    else if (kind === "timeline/1") timelines.push(checkDocument(part, path, kind, timelineSchema));
    else if (kind === "sweep-results/1") sweeps.push(checkDocument(part, path, kind, sweepResultsSchema));
    else throw wrongKind(part, path, '"report/1", "timeline/1" or "sweep-results/1"');
  }
  return { path, reports, timelines, sweeps, isWhole: true, warnings: [] };
}

/** Adds the records that lie beside a report, and the timelines of the steps that it keeps. */
function withDetails(plain: Report, path: string): Viewable {
  const file = join(dirname(path), "requests.jsonl");
  const hasRecords = plain.requests === undefined && existsSync(file);
  const report = hasRecords
    ? checkDocument({ ...plain, requests: readRecords(file) }, file, "report/1", reportSchema)
    : plain;
  try {
    const { model, gpu } = report.deployment;
    const timelines = stepTimelines(report, findModel(model), findProfile(gpu));
    return { path, reports: [report], timelines, isWhole: false, warnings: [] };
  } catch (error) {
    // Models and profiles from files are known to a report by name only.
    const warnings = [`${path}: its steps cannot be opened (${(error as Error).message})`];
    return { path, reports: [report], timelines: [], isWhole: !hasRecords, warnings };
  }
}

function readRecords(file: string): RequestSeries {
  const requests: { [Column in keyof RequestSeries]: number[] } = {
    id: [],
    replica: [],
    status: [],
    arrivalUs: [],
    scheduledUs: [],
    firstTokenUs: [],
    endUs: [],
    inputTokens: [],
    outputTokens: [],
    cachedTokens: [],
    preemptions: [],
    firstStep: [],
    lastStep: [],
  };
  const columns = Object.entries(requests);
  const lines = readText(file).trimEnd().split("\n");
  lines.forEach((line, i) => {
    let record: Record<string, unknown>;
    try {
      record = JSON.parse(line);
    } catch {
      throw new InputError(`${file}:${i + 1}: not JSON, expected the record of a request`);
    }
    const status = (REQUEST_STATUS as readonly unknown[]).indexOf(record["status"]);
    for (const [name, values] of columns) values.push(name === "status" ? status : Number(record[name] ?? -1));
  });
  return requests;
}
