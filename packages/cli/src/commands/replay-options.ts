// The options of `isochron replay`: what they may be, what they are called in help, and what they must not be together.
// `isochron sweep` asks this table too, so that whatever is added here can be swept.

import type { PolicyName } from "@isochron/planner";
import {
  BATCHING_POLICIES,
  type BatchingName,
  EXPERT_SHARE_CV,
  ROUTERS,
  type RouterName,
  type ServiceLevel,
  STEP_TIMER_KINDS,
  type StepTimerKind,
  TRACE_FORMAT_NAMES,
  type TraceFormatName,
  WEIGHT_BYTES,
  type WeightDtype,
} from "@isochron/simulator";
import { type Command, Option } from "commander";
import { type CommonOptions, isGiven, newCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { policyHelp, policyOption } from "../inputs.ts";
import {
  integerOption,
  nameOption,
  nonNegativeOption,
  pathOption,
  positiveOption,
  serviceLevelOption,
  shareOption,
  unitOption,
} from "../options.ts";
import { columnsOption, type GivenColumns, wholeColumns } from "../trace-columns.ts";
import { ABOUT_TRACE } from "../trace-files.ts";
import { refuseContradictions } from "./replay-checks.ts";

/** The simulator's own, and hardware in the loop. */
const STEP_TIMERS: readonly StepTimerName[] = [...STEP_TIMER_KINDS, "measured", "cuda"];
type StepTimerName = StepTimerKind | "measured" | "cuda";

/** What the measured engine's steps are drawn with: its own kernel under captured graphs. */
const MEASURED_ATTENTION: PolicyName = "fa2-paged-graph";

export interface ReplayOptions extends CommonOptions {
  readonly model: string;
  readonly gpu: string;
  readonly weights?: WeightDtype;
  readonly kvDtype?: keyof typeof KV_DTYPES;
  readonly tp: number;
  readonly pp: number;
  readonly ep?: number;
  readonly expertImbalance?: number;
  readonly replicas: number;
  readonly router: RouterName;
  readonly routerStalenessMs: number;
  readonly batching: BatchingName;
  readonly asyncScheduling?: true;
  readonly attention: PolicyName;
  readonly stepTimer: StepTimerName;
  readonly layerTimes?: string;
  readonly limit?: number;
  readonly rate: number;
  readonly seed: number;
  readonly slo?: ServiceLevel;
  readonly spreadTicks?: true;
  readonly skipInvalid?: true;
  readonly format?: TraceFormatName;
  readonly columns?: GivenColumns;
  readonly concurrency?: number;
  readonly prefixCaching: boolean;
  readonly prefillReplicas?: number;
  readonly kvTransfer: number;
  readonly speculativeTokens?: number;
  readonly acceptanceRate?: number;
  readonly draftUs?: number;
  readonly blockSize?: number;
  readonly kvBlocks?: number;
  readonly maxRunning?: number;
  readonly maxBatchedTokens?: number;
  readonly maxContext?: number;
  readonly memoryUse?: number;
  readonly out?: string;
  readonly html?: string;
  readonly traceEvents?: string;
}

/** By what vLLM's flag of the same name calls them. */
export const KV_DTYPES = { bf16: "bf16", fp16: "fp16", fp8: "fp8_e4m3" } as const;
const KV_DTYPE_NAMES = Object.keys(KV_DTYPES) as (keyof typeof KV_DTYPES)[];
const WEIGHT_NAMES = (Object.keys(WEIGHT_BYTES) as WeightDtype[]).filter((name) => name !== "fp32");
/** Chosen: because memory and time grow with each, and deployments that traces come from are smaller. */
const MAX_REPLICAS = 4096;

const ROUTER_NAMES = Object.keys(ROUTERS) as RouterName[];
const BATCHING_NAMES = Object.keys(BATCHING_POLICIES) as BatchingName[];

/** The command with its options, which does nothing yet. */
export function replayCommand(program: Command, context: Context): Command {
  const command = newCommand(program, {
    usage: "replay <trace>",
    about: { trace: ABOUT_TRACE },
    summary: "replay a trace on a deployment and report what its users would feel",
    examples: [
      "isochron replay azure-conv-2023 --limit 2000 --html replay.html",
      "isochron replay mooncake-conversation --replicas 8 --router prefix-aware --step-timer kernel --out results",
    ],
  });
  deploymentOptions(command);
  traceOptions(command);
  return command
    .option(
      "--step-timer <name>",
      `how long a step takes: ${names(STEP_TIMERS)}`,
      nameOption("--step-timer", "step timer", STEP_TIMERS),
      "analytic",
    )
    .option(
      "--layer-times <folder>",
      "for --step-timer measured: dense.csv, per_sequence.csv and attention.csv of LLMServingSim's profiler",
      pathOption("--layer-times"),
    )
    .option("--seed <number>", "seed of everything random", integerOption("--seed", 0), 0)
    .option(
      "--slo <limits>",
      "limits in ms that count as good, such as ttft=500,tpot=50,e2e=20000",
      serviceLevelOption("--slo"),
    )
    .option("--out <folder>", "write report.json and requests.jsonl there", pathOption("--out"))
    .option("--html <file>", "write a page with the report and the timelines of its steps", pathOption("--html"))
    .option(
      "--trace-events <file>",
      "write every step and request as Chrome trace events, for ui.perfetto.dev",
      pathOption("--trace-events"),
    )
    .addHelpText("after", policyHelp(context));
}

/** What was parsed, once nothing in it contradicts. Throws InputError. */
export function checkedOptions(command: Command, options: ReplayOptions): ReplayOptions {
  refuseContradictions(options, (option) => isGiven(command, option));
  wholeColumns(options.columns, options.format);
  return options.stepTimer === "measured" ? { ...options, attention: MEASURED_ATTENTION } : options;
}

function deploymentOptions(command: Command): void {
  command
    .option("--model <name>", "bundled model, or a Hugging Face config.json", "llama-3.1-8b")
    .option("--gpu <name>", "bundled GPU profile, or a profile file", "h100-sxm")
    .addOption(
      new Option(
        "--weights <type>",
        `${names(WEIGHT_NAMES)} (default: the model's); other than 16 bits is an estimate`,
      ).argParser(nameOption("--weights", "weight type", WEIGHT_NAMES)),
    )
    .addOption(
      new Option(
        "--kv-dtype <type>",
        `elements of the KV cache: ${names(KV_DTYPE_NAMES)} (default: the model's)`,
      ).argParser(nameOption("--kv-dtype", "KV cache type", KV_DTYPE_NAMES)),
    )
    .option("--tp <number>", "GPUs that share every layer of one replica", integerOption("--tp", 1), 1)
    .option(
      "--pp <number>",
      "stages that the layers of one replica are split over, --tp GPUs each",
      integerOption("--pp", 1),
      1,
    )
    .option(
      "--ep <number>",
      "GPUs that whole experts are spread over: 1 (none), --tp, or those of several replicas, which then step together",
      integerOption("--ep", 1),
    )
    .option(
      "--expert-imbalance <cv>",
      `coefficient of variation of the experts' shares of tokens (${EXPERT_SHARE_CV}, an estimate)`,
      nonNegativeOption("--expert-imbalance"),
    )
    .option("--replicas <number>", "copies of the model", integerOption("--replicas", 1, MAX_REPLICAS), 1)
    .option(
      "--router <name>",
      `who gets a request: ${names(ROUTER_NAMES)}`,
      nameOption("--router", "router", ROUTER_NAMES),
      "round-robin",
    )
    .option(
      "--router-staleness-ms <ms>",
      "the router sees replicas as they were at the last multiple of this",
      nonNegativeOption("--router-staleness-ms"),
      0,
    )
    .option(
      "--batching <name>",
      `who runs in a step: ${names(BATCHING_NAMES)}`,
      nameOption("--batching", "batching policy", BATCHING_NAMES),
      "vllm-v1",
    )
    .option("--async-scheduling", "decide on a step while the GPU computes the one before, as vLLM's flag of this name")
    .option(
      "--attention <name>",
      "attention policy, for the kernel step timer and pages",
      policyOption("--attention"),
      "balanced",
    )
    .option(
      "--prefill-replicas <number>",
      "how many of --replicas compute prompts and hand the KV cache to the others",
      integerOption("--prefill-replicas", 1),
    )
    .option(
      "--kv-transfer <GB/s>",
      "bandwidth between prefill replicas and the others",
      positiveOption("--kv-transfer"),
      50,
    )
    .option(
      "--speculative-tokens <number>",
      "drafts that each step verifies for every request",
      integerOption("--speculative-tokens", 1),
    )
    .option(
      "--acceptance-rate <share>",
      "of drafts that are right, given that those before are; needed with --speculative-tokens",
      unitOption("--acceptance-rate"),
    )
    .option("--draft-us <µs>", "time of one draft token of the batch (0)", nonNegativeOption("--draft-us"))
    .option("--no-prefix-caching", "forget the KV cache of finished requests")
    .option("--block-size <tokens>", "KV tokens of one block (default: 16)", integerOption("--block-size", 1))
    .option("--kv-blocks <number>", "KV blocks of one replica (default: what fits)", integerOption("--kv-blocks", 2))
    .option(
      "--max-running <number>",
      "most requests in one step (default: vLLM's for the GPU)",
      integerOption("--max-running", 1),
    )
    .option(
      "--max-batched-tokens <number>",
      "most tokens in one step (default: vLLM's for the GPU)",
      integerOption("--max-batched-tokens", 1),
    )
    .option(
      "--max-context <tokens>",
      "longest request (default: what the model can)",
      integerOption("--max-context", 1),
    )
    .option("--memory-use <share>", "share of GPU memory that is used (default: 0.9)", shareOption("--memory-use"));
}

function traceOptions(command: Command): void {
  command
    .option("--limit <number>", "only the first so many requests", integerOption("--limit", 1))
    .option("--rate <factor>", "arrival rate relative to the trace", positiveOption("--rate"), 1)
    .addOption(
      new Option("--concurrency <number>", "closed loop: keep so many requests outstanding, whatever the arrival times")
        .argParser(integerOption("--concurrency", 1))
        .conflicts(["rate", "spreadTicks"]),
    )
    .option("--spread-ticks", "spread requests that share a timestamp")
    .option("--skip-invalid", "leave bad lines out and count them, instead of stopping at the first")
    .addOption(
      new Option(
        "--format <name>",
        `format of the file, not recognised but given: ${names(TRACE_FORMAT_NAMES)}`,
      ).argParser(nameOption("--format", "format", TRACE_FORMAT_NAMES)),
    )
    .addOption(columnsOption());
}

function names(all: readonly string[]): string {
  return all.join(", ");
}
