// Reports on disk: checked against the schema, written beside their place and moved there when whole.

import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { REQUEST_STATUS, type Report, type RequestSeries, reportSchema } from "./documents/report.ts";
import { Draft } from "./draft.ts";

/**
 * Writes `report.json` and, where the report has records, `requests.jsonl` into a folder, which is made if need be. Records of
 * an earlier report do not stay beside it, and both files stay as they were where one of them cannot be written.
 * @returns the paths written
 */
export async function writeReport(report: Report, folder: string): Promise<string[]> {
  const { requests, ...rest } = report;
  const document: Report = reportSchema.parse(rest);
  await mkdir(folder, { recursive: true });
  const recordPath = join(folder, "requests.jsonl");
  const files: (readonly [string, Iterable<string>])[] = [
    [join(folder, "report.json"), [`${JSON.stringify(document)}\n`]],
    ...(requests === undefined ? [] : [[recordPath, requestLines(requests)] as const]),
  ];
  const drafts: Draft[] = [];
  try {
    for (const [path, parts] of files) {
      const draft = new Draft(path);
      drafts.push(draft);
      await pipeline(Readable.from(parts), createWriteStream(draft.path));
    }
    for (const draft of drafts) draft.publish();
    if (requests === undefined) await rm(recordPath, { force: true });
  } catch (error) {
    for (const draft of drafts) draft.discard();
    throw error;
  }
  return files.map(([path]) => path);
}

/** One JSON object per request, in arrival order; absent where something has not happened. */
export function* requestLines(requests: RequestSeries): Generator<string> {
  const { status, ...columns } = requests;
  const fields = Object.entries(columns) as [keyof typeof columns, number[]][];
  let lines = "";
  for (let i = 0; i < requests.id.length; i++) {
    const record: Record<string, unknown> = {};
    for (const [field, column] of fields) {
      if (column[i] !== -1) record[field] = column[i];
    }
    record["status"] = REQUEST_STATUS[status[i]!];
    lines += `${JSON.stringify(record)}\n`;
    if (lines.length > 2 ** 16) {
      yield lines;
      lines = "";
    }
  }
  yield lines;
}

/** Writes a file that appears once it is whole. */
export async function writeWhole(path: string, parts: Iterable<string> | AsyncIterable<string>): Promise<void> {
  const draft = new Draft(path);
  try {
    await pipeline(Readable.from(parts), createWriteStream(draft.path));
    draft.publish();
  } catch (error) {
    draft.discard();
    throw error;
  }
}
