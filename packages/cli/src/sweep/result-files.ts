// The files of a sweep's results: summary.json, results.jsonl and results.csv, remade whole from the rows; reports beside.

import { join, relative } from "node:path";
import { type SweepResults, sweepCsv } from "@isochron/simulator";
import { openSink, writeJson, writeThrough } from "../documents/write.ts";

const SUMMARY = "summary.json";
const ROWS = "results.jsonl";
const CSV = "results.csv";
export const JOURNAL = "journal.jsonl";

/** Returns the paths written. */
export async function writeResults(results: SweepResults, folder: string): Promise<string[]> {
  const { rows = [], ...summary } = results;
  const paths = [SUMMARY, ROWS, CSV].map((name) => join(folder, name));
  await writeLines(paths[1]!, function* () {
    for (const row of rows) yield `${JSON.stringify(row)}\n`;
  });
  await writeLines(paths[2]!, () => sweepCsv(results));
  // Last: a folder that has it has the others.
  writeJson(paths[0]!, summary);
  return paths;
}

/** File of a report below the folder of reports. */
export function reportFile(key: string): string {
  // Chosen: 64 bits of the hash never meet by chance.
  return `${key.slice(0, 16)}.json.gz`;
}

/** As it stands in a row: the same on every system. */
export function relativeReport(folder: string, reports: string, key: string): string {
  return join(relative(folder, reports), reportFile(key)).replaceAll("\\", "/");
}

async function writeLines(path: string, lines: () => Iterable<string>): Promise<void> {
  await writeThrough(path, async (temporary) => {
    const sink = openSink(temporary);
    try {
      for (const line of lines()) sink.write(line);
    } finally {
      sink.close();
    }
  });
}
