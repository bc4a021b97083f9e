// `isochron sweep`: many replays, on this machine's cores or on a queue across machines, and what they say together.
//
// What runs them is loaded when it is needed: other commands, and help, start without it.

import { availableParallelism } from "node:os";
import { basename } from "node:path";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print, warn } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { writePage } from "../documents/page.ts";
import { STDIN } from "../documents/read.ts";
import { prepareFile } from "../documents/write.ts";
import { InputError } from "../errors.ts";
import { integerOption, pathOption } from "../options.ts";
import type { Runner } from "../sweep/task.ts";
import { clock, integer } from "../terminal/numbers.ts";
import { startProgress } from "../terminal/progress.ts";
import { sweepText } from "../terminal/sweep-text.ts";

interface SweepOptions extends CommonOptions {
  readonly workers?: number;
  readonly queue?: string;
  readonly worker?: true;
  readonly lostAfter?: number;
  readonly out?: string;
  readonly reports?: string;
  readonly html?: string;
}

/** Chosen: more threads than any machine has cores. */
const MAX_WORKERS = 1024;
/** Chosen: longer than any pause of a living process, short against a sweep. */
const LOST_AFTER_S = 30;

export function addSweepCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "sweep [sweep]",
    about: { sweep: "sweep/1 document (as docs/examples/sweep.json); - is standard input" },
    summary: "replay a trace on many deployments: the Pareto front, and the smallest one within limits",
    examples: [
      "isochron sweep docs/examples/sweep.json --html sweep.html",
      "isochron sweep sweep.json --workers 8 --reports reports",
      "isochron sweep --worker --queue redis://sweeps.local:6379    # on every machine",
      "isochron sweep sweep.json --queue redis://sweeps.local:6379  # on one of them",
    ],
  })
    .option(
      "--workers <number>",
      "replays that run side by side (default: the cores of this machine)",
      integerOption("--workers", 1, MAX_WORKERS),
    )
    .option(
      "--queue <url>",
      "put replays on a queue on Redis or Valkey (6.2 or newer) for workers on any machine; with --workers this process works too",
      pathOption("--queue"),
    )
    .option("--worker", "work on the queue until Ctrl-C")
    .option(
      "--lost-after <seconds>",
      "for --worker: one that is silent for so long is taken for dead, and its replays go to others (default: 30)",
      integerOption("--lost-after", 1, 86_400),
    )
    .option("--out <folder>", "where results go (default: SWEEP-results)", pathOption("--out"))
    .option("--html <file>", "write one self-contained page with the Pareto pictures", pathOption("--html"))
    .option("--reports <folder>", "keep the whole report of every replay there", pathOption("--reports"))
    .addHelpText("after", HELP)
    .action((file: string | undefined, options: SweepOptions) => {
      refuseContradictions(file, options);
      return options.worker === true ? work(options, context) : sweep(file!, options, context);
    });
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

function refuseContradictions(file: string | undefined, options: SweepOptions): void {
  const { worker, queue, lostAfter, out, reports, html, workers } = options;
  if (worker !== true) {
    if (file === undefined) throw new InputError("sweep: found no file, expected a sweep/1 document, or --worker");
    if (lostAfter !== undefined && (queue === undefined || workers === undefined)) {
      throw new InputError("--lost-after: found no --worker, expected one that could be lost");
    }
    return;
  }
  if (queue === undefined) throw new InputError("--worker: found no --queue, expected the address of the queue");
  const [name] = Object.entries({ file, "--out": out, "--reports": reports, "--html": html }).find(
    ([, value]) => value !== undefined,
  ) ?? [undefined];
  if (name !== undefined)
    throw new InputError(`--worker: found ${name === "file" ? file : name}, expected it where the sweep is started`);
}

/** Works on the queue until Ctrl-C. */
async function work(options: SweepOptions, context: Context): Promise<void> {
  const { queue: url = "", workers: threads = availableParallelism(), lostAfter: lostAfterS = LOST_AFTER_S } = options;
  const { workOnQueue } = await import("../sweep/queue-worker.ts");
  const progress = startProgress(context.stderr);
  const onChange = (done: number, running: number): void =>
    progress.update(undefined, () => `${integer(done)} replays done, ${integer(running)} running; Ctrl-C ends it`);
  onChange(0, 0);
  try {
    const { done } = await workOnQueue({ url, threads, lostAfterS, signal: context.interrupt, onChange });
    progress.end();
    print(context, options, { isochron: "sweep-worker/1", done }, () => `${integer(done)} replays done\n`);
  } finally {
    progress.end();
  }
}

/** What runs the replays: threads, or the queue, on which this process then works too where it is told how much. */
async function openRunner(options: SweepOptions, context: Context): Promise<Runner> {
  const { queue: url, workers, lostAfter: lostAfterS = LOST_AFTER_S } = options;
  if (url === undefined) {
    return (await import("../sweep/threads.ts")).startThreads(workers ?? availableParallelism());
  }
  const runner = await (await import("../sweep/queue-runner.ts")).openQueueRunner(url);
  if (workers === undefined) return runner;
  const { workOnQueue } = await import("../sweep/queue-worker.ts");
  return {
    run: async (tasks, hooks) => {
      const ended = new AbortController();
      const signal = AbortSignal.any([ended.signal, context.interrupt]);
      const working = workOnQueue({ url, threads: workers, lostAfterS, signal, onChange: () => {} });
      try {
        await runner.run(tasks, hooks);
      } finally {
        ended.abort();
        await working;
      }
    },
  };
}

async function sweep(file: string, options: SweepOptions, context: Context): Promise<void> {
  const { out = defaultOut(file), reports, html } = options;
  if (html !== undefined) prepareFile(html);
  const { runSweep } = await import("../sweep/run-sweep.ts");
  const run = await runSweep({ file, out, reports, runner: () => openRunner(options, context) }, context);
  const { results, written, reused, durationMs } = run;
  const { missing, failed, total } = results.counts;
  if (html !== undefined) writePage(html, { reports: [], timelines: [], sweeps: [results] });
  const stopped = `stopped: ${integer(total - missing)} of ${integer(total)} configurations are finished and in ${out}; run the same command again to go on`;
  if (missing > 0) context.exitCode = ExitCode.interrupted;
  else if (failed > 0) context.exitCode = ExitCode.failedCheck;
  if (missing > 0 && options.json === true) warn(context, stopped);
  print(context, options, results, (paint, width) =>
    [
      sweepText(results, paint, width),
      `\n${integer(total - missing - reused)} replayed in ${clock(durationMs / 1000)}, ${integer(reused)} already there\n`,
      ...[...written, ...(html === undefined ? [] : [html])].map((path) => `wrote ${path}\n`),
      ...(missing > 0 ? [`${paint("yellow", stopped)}\n`] : []),
      ...(failed > 0 ? ["run the same command again to try those that failed once more\n"] : []),
    ].join(""),
  );
}

/** sweep.json → sweep-results, here; what came through standard input has no name. */
function defaultOut(file: string): string {
  return `${file === STDIN ? "sweep" : basename(file).replace(/\.json$/, "")}-results`;
}
