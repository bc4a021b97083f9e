// `isochron replay`: a production trace on a deployment that exists only as numbers.

import type { Command } from "commander";
import { print, warn } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { TraceEventFile } from "../documents/trace-event-file.ts";
import { discardDirectory, prepareDirectory, prepareFile } from "../documents/write.ts";
import { modelAndGpu, openTraceOf, replayWithProgress } from "../replay-report.ts";
import { reportText } from "../terminal/report-text.ts";
import { viewHint, writeFiles } from "./replay-files.ts";
import { checkedOptions, type ReplayOptions, replayCommand } from "./replay-options.ts";
import { inFlags } from "./replay-words.ts";

export function addReplayCommand(program: Command, context: Context): void {
  const command = replayCommand(program, context);
  command.action((nameOrPath: string, options: ReplayOptions) =>
    runReplay(nameOrPath, checkedOptions(command, options), context),
  );
}

async function runReplay(nameOrPath: string, options: ReplayOptions, context: Context): Promise<void> {
  const { model, profile } = modelAndGpu(options);
  const trace = await openTraceOf(nameOrPath, options);
  const isNewOut = options.out !== undefined && prepareDirectory(options.out);
  if (options.html !== undefined) prepareFile(options.html);

  const events = options.traceEvents === undefined ? undefined : new TraceEventFile(options.traceEvents);
  const report = await replayWithProgress(trace, model, profile, options, context, { onStep: events?.step }).catch(
    (error: unknown) => {
      events?.discard();
      if (isNewOut) discardDirectory(options.out!);
      throw inFlags(error);
    },
  );
  const { written, failure } = await writeFiles(report, options, { events, model, profile, context });
  if (report.partial) {
    context.exitCode = ExitCode.interrupted;
    if (options.json === true) warn(context, "stopped before the end of the trace: the report is partial");
  }
  print(context, options, report, (paint, width) => {
    const files = written.map((path) => `wrote ${path}\n`).join("");
    return `${reportText(report, paint, width)}${files === "" ? "" : `\n${files}${viewHint(options, written, context)}`}`;
  });
  if (failure !== undefined) throw failure;
}
