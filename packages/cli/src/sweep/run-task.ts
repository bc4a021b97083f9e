// Runs one task in this thread. Never throws: what goes wrong is the outcome.

import { hostname } from "node:os";
import { threadId } from "node:worker_threads";
import { gzipSync } from "node:zlib";
import { KeptTraces, type Outcome, outcomeOfError, outcomeOfReport } from "@isochron/simulator";
import { factsInFields } from "../commands/replay-words.ts";
import { InputError } from "../errors.ts";
import { replayReport } from "../replay-report.ts";
import { commandOf, isField, quietContext, replayOf } from "./replay-fields.ts";
import type { Finished, SweepTask } from "./task.ts";

/** A trace is read once by each thread. */
const traces = new KeptTraces();

export default async function runTask({ key, fields, keepReport }: SweepTask): Promise<Finished> {
  const startedAt = new Date().toISOString();
  const startMs = performance.now();
  const wallClock = () => ({
    startedAt,
    durationMs: performance.now() - startMs,
    worker: `${hostname()}/${process.pid}/${threadId}`,
  });
  try {
    const { trace, options } = replayOf(fields);
    const report = await replayReport(trace, options, quietContext(commandOf(fields)), {
      open: (file, asked) => traces.open(file, asked),
      metricsOnly: !keepReport,
    });
    return {
      key,
      outcome: outcomeOfReport(report),
      report: keepReport ? gzipSync(JSON.stringify(report)).toString("base64") : undefined,
      wallClock: wallClock(),
    };
  } catch (error) {
    return {
      key,
      outcome: inFields(outcomeOfError(error, (one) => one instanceof InputError)),
      wallClock: wallClock(),
    };
  }
}

/** What was written is fields, so these are named where something is wrong with them. */
function inFields(outcome: Outcome): Outcome {
  return outcome.status === "completed" ? outcome : { ...outcome, error: factsInFields(outcome.error, isField) };
}
