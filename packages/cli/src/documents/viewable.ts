// Files and folders that the viewer can show → what a page of it is given.

import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Timeline } from "@isochron/planner";
import {
  REQUEST_STATUS,
  type Report,
  type RequestSeries,
  reportSchema,
  timelineSchema,
  type ViewerBundle,
} from "@isochron/simulator";
import { InputError } from "../errors.ts";
import { checkDocument, documentKind, readJson, readText } from "./read.ts";

/** Reads reports (a file, or the folder of `replay --out`) and timelines. Throws InputError for anything else. */
export function readViewable(paths: readonly string[]): ViewerBundle {
  const reports: Report[] = [];
  const timelines: Timeline[] = [];
  for (const given of paths) {
    const isFolder = statSync(given, { throwIfNoEntry: false })?.isDirectory() === true;
    const path = isFolder ? join(given, "report.json") : given;
    const document = readJson(path, "report/1 or timeline/1");
    switch (documentKind(document)) {
      case "report/1":
        reports.push(withRequests(checkDocument(document, path, "report/1", reportSchema), path));
        break;
      case "timeline/1":
        timelines.push(checkDocument(document, path, "timeline/1", timelineSchema));
        break;
      default:
        throw new InputError(
          `${path}: field isochron: found ${JSON.stringify(documentKind(document)) ?? "nothing"}, expected "report/1" or "timeline/1"`,
        );
    }
  }
  return { reports, timelines };
}

/** Per-request records lie in a file beside the report. */
function withRequests(report: Report, path: string): Report {
  const file = join(dirname(path), "requests.jsonl");
  if (report.requests !== undefined || !existsSync(file)) return report;
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
  readText(file)
    .trimEnd()
    .split("\n")
    .forEach((line, i) => {
      let record: Record<string, unknown>;
      try {
        record = JSON.parse(line);
      } catch {
        throw new InputError(`${file}:${i + 1}: not JSON, expected the record of a request`);
      }
      const status = REQUEST_STATUS.findIndex((name) => name === record["status"]);
      for (const [name, values] of columns) values.push(name === "status" ? status : Number(record[name] ?? -1));
    });
  return checkDocument({ ...report, requests }, file, "report/1", reportSchema);
}
