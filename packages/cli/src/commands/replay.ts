// `isochron replay`: a production trace on a deployment that exists only as numbers.

import type { PolicyName, Timeline } from "@isochron/planner";
import {
  BATCHING_POLICIES,
  type BatchingName,
  createStepTimer,
  type GpuProfile,
  gpuFacts,
  type ModelConfig,
  openTrace,
  type Report,
  ROUTERS,
  type RouterName,
  replay,
  type ServiceLevel,
  STEP_TIMER_KINDS,
  type StepTimerKind,
  TRACE_FORMAT_NAMES,
  type Trace,
  type TraceFormatName,
  writeReport,
} from "@isochron/simulator";
import { type Command, Option } from "commander";
import { type CommonOptions, newCommand, print, warn } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { writePage } from "../documents/page.ts";
import { prepareDirectory, prepareFile } from "../documents/write.ts";
import { explain } from "../errors.ts";
import { generatorOf } from "../generator.ts";
import { findGpu, findServedModel, policyHelp, policyOption } from "../inputs.ts";
import { integerOption, nameOption, positiveOption, serviceLevelOption, shareOption } from "../options.ts";
import { stepTimelines } from "../step-timelines.ts";
import { clock, integer } from "../terminal/numbers.ts";
import { startProgress } from "../terminal/progress.ts";
import { reportText } from "../terminal/report-text.ts";
import { traceFile } from "../trace-files.ts";

interface ReplayOptions extends CommonOptions {
  readonly model: string;
  readonly gpu: string;
  readonly tp: number;
  readonly replicas: number;
  readonly router: RouterName;
  readonly batching: BatchingName;
  readonly attention: PolicyName;
  readonly stepTimer: StepTimerKind;
  readonly limit?: number;
  readonly rate: number;
  readonly seed: number;
  readonly slo?: ServiceLevel;
  readonly spreadTicks?: true;
  readonly skipInvalid?: true;
  readonly format?: TraceFormatName;
  readonly concurrency?: number;
  readonly prefixCaching: boolean;
  readonly prefillReplicas?: number;
  readonly kvTransfer: number;
  readonly blockSize?: number;
  readonly kvBlocks?: number;
  readonly maxRunning?: number;
  readonly maxBatchedTokens?: number;
  readonly maxContext?: number;
  readonly memoryUse?: number;
  readonly out?: string;
  readonly html?: string;
}

const ROUTER_NAMES = Object.keys(ROUTERS) as RouterName[];
const BATCHING_NAMES = Object.keys(BATCHING_POLICIES) as BatchingName[];

export function addReplayCommand(program: Command, context: Context): void {
  const command = newCommand(program, {
    usage: "replay <trace>",
    summary: "replay a trace on a deployment and report what its users would feel",
    examples: [
      "isochron replay azure-conv-2023 --limit 2000 --html replay.html",
      "isochron replay mooncake-conversation --replicas 8 --router prefix-aware --step-timer kernel --out results",
    ],
  });
  deploymentOptions(command);
  traceOptions(command);
  command
    .option(
      "--step-timer <name>",
      names(STEP_TIMER_KINDS),
      nameOption("--step-timer", "step timer", STEP_TIMER_KINDS),
      "analytic",
    )
    .option("--seed <number>", "seed of everything random", integerOption("--seed", 0), 0)
    .option(
      "--slo <limits>",
      "limits in ms that count as good, such as ttft=500,tpot=50,e2e=20000",
      serviceLevelOption("--slo"),
    )
    .option("--out <folder>", "write report.json and requests.jsonl there")
    .option("--html <file>", "write a page with the report and the timelines of its steps")
    .addHelpText("after", policyHelp(context))
    .action((nameOrPath: string, options: ReplayOptions) => runReplay(nameOrPath, options, context));
}

function deploymentOptions(command: Command): void {
  command
    .option("--model <name>", "bundled model, or a Hugging Face config.json", "llama-3.1-8b")
    .option("--gpu <name>", "bundled GPU profile, or a profile file", "h100-sxm")
    .option("--tp <number>", "GPUs that share one replica", integerOption("--tp", 1), 1)
    .option("--replicas <number>", "copies of the model", integerOption("--replicas", 1), 1)
    .option("--router <name>", names(ROUTER_NAMES), nameOption("--router", "router", ROUTER_NAMES), "round-robin")
    .option(
      "--batching <name>",
      names(BATCHING_NAMES),
      nameOption("--batching", "batching policy", BATCHING_NAMES),
      "vllm-v1",
    )
    .option("--attention <name>", "attention policy", policyOption("--attention"), "balanced")
    .option(
      "--prefill-replicas <number>",
      "replicas that compute prompts and hand the KV cache to the others",
      integerOption("--prefill-replicas", 1),
    )
    .option("--kv-transfer <GB/s>", "bandwidth of that", positiveOption("--kv-transfer"), 50)
    .option("--no-prefix-caching", "forget the KV cache of finished requests")
    .option("--block-size <tokens>", "KV tokens of one block (16)", integerOption("--block-size", 1))
    .option("--kv-blocks <number>", "KV blocks of one replica (what fits)", integerOption("--kv-blocks", 2))
    .option("--max-running <number>", "most requests in one step", integerOption("--max-running", 1))
    .option("--max-batched-tokens <number>", "most tokens in one step", integerOption("--max-batched-tokens", 1))
    .option("--max-context <tokens>", "longest request (the model's)", integerOption("--max-context", 1))
    .option("--memory-use <share>", "share of GPU memory that is used (0.9)", shareOption("--memory-use"));
}

function traceOptions(command: Command): void {
  command
    .option("--limit <number>", "only the first so many requests", integerOption("--limit", 1))
    .option("--rate <factor>", "arrival rate relative to the trace", positiveOption("--rate"), 1)
    .option(
      "--concurrency <number>",
      "closed loop: keep so many requests outstanding, whatever the arrival times",
      integerOption("--concurrency", 1),
    )
    .option("--spread-ticks", "spread requests that share a timestamp")
    .option("--skip-invalid", "leave bad lines out and count them, instead of stopping at the first")
    .addOption(
      new Option("--format <name>", "format of the file, instead of recognising it").argParser(
        nameOption("--format", "format", TRACE_FORMAT_NAMES),
      ),
    );
}

async function runReplay(nameOrPath: string, options: ReplayOptions, context: Context): Promise<void> {
  const model = findServedModel(options.model);
  const profile = findGpu(options.gpu);
  const trace = await openTraceOf(nameOrPath, options);
  if (options.out !== undefined) prepareDirectory(options.out);
  if (options.html !== undefined) prepareFile(options.html);

  const report = await replayWithProgress(trace, model, profile, options, context);
  const written = options.out === undefined ? [] : await writeReport(report, options.out);
  if (options.html !== undefined) {
    writePage(options.html, { reports: [report], timelines: timelinesOf(report, model, profile, context) });
    written.push(options.html);
  }
  if (report.partial) {
    context.exitCode = ExitCode.interrupted;
    if (options.json === true) warn(context, "stopped before the end of the trace: the report is partial");
  }
  print(context, options, report, (paint) => {
    const files = written.map((path) => `wrote ${path}\n`).join("");
    return `${reportText(report, paint)}${files === "" ? "" : `\n${files}${viewHint(options, context)}`}`;
  });
}

async function openTraceOf(nameOrPath: string, options: ReplayOptions): Promise<Trace> {
  const { file, name } = traceFile(nameOrPath);
  const { format, limit, rate, spreadTicks, skipInvalid } = options;
  return openTrace(file, { name, format, limit, rate, spreadTicks, skipInvalid });
}

async function replayWithProgress(
  trace: Trace,
  model: ModelConfig,
  profile: GpuProfile,
  options: ReplayOptions,
  context: Context,
): Promise<Report> {
  const progress = startProgress(context.stderr);
  try {
    return await replay({
      trace,
      seed: options.seed,
      generator: generatorOf(context, options.seed),
      signal: context.interrupt,
      stepTimer: createStepTimer({
        kind: options.stepTimer,
        model,
        profile,
        tensorParallel: options.tp,
        attentionPolicy: options.attention,
        ...(options.blockSize === undefined ? {} : { pageSize: options.blockSize }),
      }),
      deployment: {
        model,
        gpu: gpuFacts(profile),
        attention: options.attention,
        tensorParallel: options.tp,
        replicas: options.replicas,
        router: options.router,
        batching: options.batching,
        prefixCaching: options.prefixCaching,
        blockSizeTokens: options.blockSize,
        kvBlocks: options.kvBlocks,
        maxRunningRequests: options.maxRunning,
        maxBatchedTokens: options.maxBatchedTokens,
        maxContextTokens: options.maxContext,
        gpuMemoryUtilization: options.memoryUse,
        slo: options.slo,
        disaggregation:
          options.prefillReplicas === undefined
            ? undefined
            : { prefillReplicas: options.prefillReplicas, kvTransferGBps: options.kvTransfer },
      },
      concurrency: options.concurrency,
      onProgress: ({ arrived, completed, simulatedUs }) => {
        const share = options.limit === undefined ? undefined : completed / options.limit;
        progress.update(
          share,
          `${integer(arrived)} arrived, ${integer(completed)} completed, simulated ${clock(simulatedUs / 1e6)}`,
        );
      },
    });
  } finally {
    progress.end();
  }
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

/** What to type to see it. Under `npm start` the command is not on the path. */
function viewHint(options: ReplayOptions, context: Context): string {
  const command = context.env["npm_lifecycle_event"] === undefined ? "isochron" : "npx isochron";
  const hints = [
    ...(options.out === undefined ? [] : [`look at it: ${command} view ${options.out}`]),
    ...(options.html === undefined ? [] : [`or open ${options.html} in a browser`]),
  ];
  return hints.length === 0 ? "" : `${hints.join(", ")}\n`;
}

function names(all: readonly string[]): string {
  return all.join(", ");
}
