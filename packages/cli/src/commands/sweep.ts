// `isochron sweep`: many replays, on this machine's cores or on a queue across machines, and what they say together.
//
// What runs them is loaded when it is needed: other commands, and help, start without it.

import { availableParallelism } from "node:os";
import { basename } from "node:path";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print, warn } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { integerOption, pathOption } from "../options.ts";
import { clock, integer } from "../terminal/numbers.ts";
import { sweepText } from "../terminal/sweep-text.ts";

interface SweepOptions extends CommonOptions {
  readonly workers?: number;
  readonly out?: string;
  readonly reports?: string;
}

/** Chosen: more threads than any machine has cores. */
const MAX_WORKERS = 1024;

export function addSweepCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "sweep <sweep>",
    summary: "replay a trace on many deployments: the Pareto front, and the smallest one within limits",
    examples: ["isochron sweep docs/examples/sweep.json", "isochron sweep sweep.json --workers 8 --reports reports"],
  })
    .option(
      "--workers <number>",
      "replays that run side by side (default: the cores of this machine)",
      integerOption("--workers", 1, MAX_WORKERS),
    )
    .option("--out <folder>", "where results go (default: SWEEP-results)", pathOption("--out"))
    .option("--reports <folder>", "keep the whole report of every replay there", pathOption("--reports"))
    .addHelpText("after", HELP)
    .action((file: string, options: SweepOptions) => sweep(file, options, context));
}

const HELP = `
The file names one replay in "base" and what varies in "axes"; fields are the options of \`isochron replay\`:

  { "isochron": "sweep/1",
    "base": { "trace": "azure-conv-2023", "limit": 1000, "model": "llama-3.1-8b" },
    "axes": { "gpu": ["h100-sxm", "l40s"], "tp": [1, 2], "maxBatchedTokens": [2048, 8192] },
    "cost": { "perGpuHour": { "h100-sxm": 3, "l40s": 1 } },
    "slo": { "ttftMs": { "p99": 1000 }, "tpotMs": { "p99": 40 } } }

Run again with the same folder, only what is missing is run. docs/sweeps.md has all fields.
`;

async function sweep(file: string, options: SweepOptions, context: Context): Promise<void> {
  const { workers = availableParallelism(), out = defaultOut(file), reports } = options;
  const { runSweep } = await import("../sweep/run-sweep.ts");
  const run = await runSweep(
    {
      file,
      out,
      reports,
      runner: async () => (await import("../sweep/threads.ts")).startThreads(workers),
    },
    context,
  );
  const { results, written, reused, durationMs } = run;
  const { missing, failed, total } = results.counts;
  const stopped = `stopped: ${integer(total - missing)} of ${integer(total)} configurations are finished and in ${out}; run the same command again to go on`;
  if (missing > 0) context.exitCode = ExitCode.interrupted;
  else if (failed > 0) context.exitCode = ExitCode.failedCheck;
  if (missing > 0 && options.json === true) warn(context, stopped);
  print(context, options, results, (paint, width) =>
    [
      sweepText(results, paint, width),
      `\n${integer(total - missing - reused)} replayed in ${clock(durationMs / 1000)}, ${integer(reused)} already there\n`,
      ...written.map((path) => `wrote ${path}\n`),
      ...(missing > 0 ? [`${paint("yellow", stopped)}\n`] : []),
      ...(failed > 0 ? ["run the same command again to try those that failed once more\n"] : []),
    ].join(""),
  );
}

/** sweep.json → sweep-results, here. */
function defaultOut(file: string): string {
  return `${basename(file).replace(/\.json$/, "")}-results`;
}
