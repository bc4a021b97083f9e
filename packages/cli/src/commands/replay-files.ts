// The files of a replay: what the flags ask for, and what to type to look at it.

import type { Timeline } from "@isochron/planner";
import { type GpuProfile, type ModelConfig, type Report, writeReport } from "@isochron/simulator";
import { warn } from "../command.ts";
import type { Context } from "../context.ts";
import { writePage } from "../documents/page.ts";
import type { TraceEventFile } from "../documents/trace-event-file.ts";
import { cannotWrite } from "../documents/write.ts";
import { explain, isSystemError } from "../errors.ts";
import { quote } from "../quote.ts";
import { stepTimelines } from "../step-timelines.ts";

interface FileOptions {
  readonly out?: string;
  readonly html?: string;
  readonly traceEvents?: string;
}

/** What was written, and the first file that could not be: the result of a long replay is printed all the same. */
export async function writeFiles(
  report: Report,
  options: FileOptions,
  {
    events,
    model,
    profile,
    context,
  }: {
    readonly events: TraceEventFile | undefined;
    readonly model: ModelConfig;
    readonly profile: GpuProfile;
    readonly context: Context;
  },
): Promise<{ readonly written: readonly string[]; readonly failure?: unknown }> {
  const written: string[] = [];
  const { traceEvents, out, html } = options;
  const works: (() => Promise<readonly string[]> | readonly string[])[] = [];
  if (traceEvents !== undefined) {
    works.push(async () => {
      await events!.end(report);
      return [traceEvents];
    });
  }
  if (out !== undefined) {
    works.push(() =>
      writeReport(report, out).catch((error: unknown) => {
        throw isSystemError(error) ? cannotWrite(out, error) : error;
      }),
    );
  }
  if (html !== undefined) {
    works.push(() => {
      writePage(html, { reports: [report], timelines: timelinesOf(report, model, profile, context) });
      return [html];
    });
  }
  const failures: unknown[] = [];
  for (const work of works) {
    try {
      written.push(...(await work()));
    } catch (error) {
      failures.push(error);
    }
  }
  return { written, failure: failures[0] };
}

/** None, and a warning, where the attention policy cannot plan this model: the replay itself need not have planned. */
function timelinesOf(report: Report, model: ModelConfig, profile: GpuProfile, context: Context): Timeline[] {
  try {
    return stepTimelines(report, model, profile);
  } catch (error) {
    warn(context, `the page has no timelines of steps: ${explain(error).line}`);
    return [];
  }
}

/** What to type to see what was written. Under `npm start` the command is not on the path. */
export function viewHint({ out, html }: FileOptions, written: readonly string[], context: Context): string {
  const command = context.env["npm_lifecycle_event"] === undefined ? "isochron" : "npx isochron";
  const hasReport = out !== undefined && written.some((path) => path.endsWith("report.json"));
  const hints = [
    ...(hasReport ? [`${command} view ${quote(out)}`] : []),
    ...(html !== undefined && written.includes(html) ? [`open ${html} in a browser`] : []),
  ];
  return hints.length === 0 ? "" : `look at it: ${hints.join(", or ")}\n`;
}
