// A sweep document → results: what the journal does not have yet is run, and the files are remade from all there is.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Configuration,
  expandSweep,
  requirePrices,
  type SweepDocument,
  SweepError,
  type SweepResults,
  type SweepRow,
  sweepResults,
  sweepRow,
  sweepSchema,
} from "@isochron/simulator";
import type { Context } from "../context.ts";
import { readDocument } from "../documents/read.ts";
import { prepareDirectory } from "../documents/write.ts";
import { InputError, systemReason } from "../errors.ts";
import { quote } from "../quote.ts";
import { clock, integer } from "../terminal/numbers.ts";
import { startProgress } from "../terminal/progress.ts";
import { VERSION } from "../version.ts";
import { Journal } from "./journal.ts";
import { checkFields, commandOf, defaultOf } from "./replay-fields.ts";
import { JOURNAL, relativeReport, reportFile, writeResults } from "./result-files.ts";
import type { Finished, Runner, SweepTask } from "./task.ts";
import { TaskKeys } from "./task-key.ts";

export interface SweepRequest {
  /** The sweep document. */
  readonly file: string;
  /** Folder of the results. */
  readonly out: string;
  /** Folder of whole reports; none are kept without it. */
  readonly reports: string | undefined;
  /** Made when there is something to run. */
  readonly runner: () => Promise<Runner>;
}

export interface SweepRun {
  readonly results: SweepResults;
  /** Files written, besides reports. */
  readonly written: readonly string[];
  /** Configurations whose results were there already. */
  readonly reused: number;
  readonly durationMs: number;
}

/** Throws InputError for a document or folder that cannot be used, before anything runs. */
export async function runSweep(request: SweepRequest, context: Context): Promise<SweepRun> {
  const { file, out, reports } = request;
  const startMs = performance.now();
  const { document, configurations } = readSweep(file);
  for (const folder of [out, reports]) if (folder !== undefined) prepareDirectory(folder);
  const keys = await keysOf(configurations);
  const journal = new Journal(join(out, JOURNAL));

  const isDone = (key: string): boolean => {
    const status = journal.get(key)?.outcome.status;
    if (status === undefined || status === "failed") return false;
    return reports === undefined || status !== "completed" || existsSync(join(reports, reportFile(key)));
  };
  // Two configurations can come to the same fields, and then are one task.
  const tasks = new Map<string, SweepTask>();
  configurations.forEach(({ fields }, i) => {
    const key = keys[i]!;
    if (!isDone(key)) tasks.set(key, { key, fields, keepReport: reports !== undefined });
  });
  const reused = keys.filter((key) => !tasks.has(key)).length;
  const fresh = new Set<string>();
  if (tasks.size > 0) {
    await runTasks([...tasks.values()], await request.runner(), context, (finished) => {
      // The report first: a line of the journal says that it is there.
      if (finished.report !== undefined) keepReport(join(reports!, reportFile(finished.key)), finished.report);
      journal.add(finished);
      fresh.add(finished.key);
    });
  }
  const rows = configurations.flatMap((configuration, i): SweepRow[] => {
    const key = keys[i]!;
    // A failure of an earlier run that was not tried again is missing, not found.
    const entry = tasks.has(key) && !fresh.has(key) ? undefined : journal.get(key);
    if (entry === undefined) return [];
    const report = reports === undefined ? undefined : relativeReport(out, reports, key);
    return [sweepRow(configuration, entry.outcome, { document, command: commandOf(configuration.fields), report })];
  });
  const generator = { version: VERSION, command: `isochron sweep ${quote(file)}` };
  const results = sweepResults(document, configurations, rows, generator);
  const written = await writeResults(results, out);
  return { results, written, reused, durationMs: performance.now() - startMs };
}

function readSweep(file: string): { document: SweepDocument; configurations: Configuration[] } {
  const document = readDocument(file, "sweep/1", sweepSchema);
  try {
    const configurations = expandSweep(document);
    checkFields(document, file);
    requirePrices(document, configurations, String(defaultOf("gpu")));
    return { document, configurations };
  } catch (error) {
    if (error instanceof SweepError) throw new InputError(`${file}: ${error.message}`);
    throw error;
  }
}

async function keysOf(configurations: readonly Configuration[]): Promise<string[]> {
  const keys = new TaskKeys();
  const found: string[] = [];
  for (const { fields } of configurations) found.push(await keys.keyOf(fields));
  return found;
}

async function runTasks(
  tasks: readonly SweepTask[],
  runner: Runner,
  context: Context,
  onFinished: (finished: Finished) => void,
): Promise<void> {
  const progress = startProgress(context.stderr);
  const startMs = performance.now();
  let done = 0;
  let note = "";
  const text = (): string => {
    const leftS = done === 0 ? undefined : (((performance.now() - startMs) / done) * (tasks.length - done)) / 1000;
    const left = leftS === undefined ? "" : `, about ${clock(leftS)} left`;
    return `${integer(done)} of ${integer(tasks.length)} configurations${left}${note}`;
  };
  const show = (): void => progress.update(done / tasks.length, text);
  show();
  try {
    await runner.run(tasks, {
      signal: context.interrupt,
      onFinished: (finished) => {
        onFinished(finished);
        done++;
        show();
      },
      onNote: (text) => {
        note = text === "" ? "" : `, ${text}`;
        show();
      },
    });
  } finally {
    progress.end();
  }
}

function keepReport(path: string, report: string): void {
  try {
    writeFileSync(path, Buffer.from(report, "base64"));
  } catch (error) {
    throw new InputError(`${path}: cannot be written (${systemReason(error)})`);
  }
}
