// `isochron replay`: a production trace on a deployment that exists only as numbers.

import type { AttentionShape } from "@isochron/planner";
import {
  type AttentionRunner,
  createStepTimer,
  type GpuProfile,
  gpuFacts,
  MeasuredTimer,
  type ModelConfig,
  openTrace,
  type ReplayedStep,
  type Report,
  rankAttention,
  readLayerTimes,
  replay,
  type SpeculationOptions,
  type StepTimer,
  type Trace,
  withPrecision,
} from "@isochron/simulator";
import type { Command } from "commander";
import { print, warn } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { type CudaExecutor, loadCuda } from "../cuda.ts";
import { TraceEventFile } from "../documents/trace-event-file.ts";
import { prepareDirectory, prepareFile } from "../documents/write.ts";
import { InputError } from "../errors.ts";
import { generatorOf } from "../generator.ts";
import { findGpu, findServedModel } from "../inputs.ts";
import { clock, integer } from "../terminal/numbers.ts";
import { startProgress } from "../terminal/progress.ts";
import { reportText } from "../terminal/report-text.ts";
import { wholeColumns } from "../trace-columns.ts";
import { traceFile } from "../trace-files.ts";
import { viewHint, writeFiles } from "./replay-files.ts";
import { checkedOptions, KV_DTYPES, type ReplayOptions, replayCommand } from "./replay-options.ts";
import { inFlags } from "./replay-words.ts";

export function addReplayCommand(program: Command, context: Context): void {
  const command = replayCommand(program, context);
  command.action((nameOrPath: string, options: ReplayOptions) =>
    runReplay(nameOrPath, checkedOptions(command, options), context),
  );
}

/** One replay and its report: nothing is written or printed. The simulator's errors pass as they are. */
export async function replayReport(
  nameOrPath: string,
  options: ReplayOptions,
  context: Context,
  { open = openTrace, metricsOnly = false }: { open?: typeof openTrace; metricsOnly?: boolean } = {},
): Promise<Report> {
  const { model, profile } = modelAndGpu(options);
  const trace = await openTraceOf(nameOrPath, options, open);
  return replayWithProgress(trace, model, profile, options, context, { metricsOnly });
}

function modelAndGpu(options: ReplayOptions): { readonly model: ModelConfig; readonly profile: GpuProfile } {
  const model = withPrecision(findServedModel(options.model), {
    weights: options.weights,
    kv: options.kvDtype === undefined ? undefined : KV_DTYPES[options.kvDtype],
  });
  const profile = findGpu(options.gpu);
  if (options.expertImbalance !== undefined && model.moe === undefined) {
    throw new InputError(`--expert-imbalance: expected a mixture of experts, ${model.name} is dense`);
  }
  return { model, profile };
}

async function runReplay(nameOrPath: string, options: ReplayOptions, context: Context): Promise<void> {
  const { model, profile } = modelAndGpu(options);
  const trace = await openTraceOf(nameOrPath, options);
  if (options.out !== undefined) prepareDirectory(options.out);
  if (options.html !== undefined) prepareFile(options.html);

  const events = options.traceEvents === undefined ? undefined : new TraceEventFile(options.traceEvents);
  const report = await replayWithProgress(trace, model, profile, options, context, { onStep: events?.step }).catch(
    (error: unknown) => {
      events?.discard();
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

/** The GPU of this machine as it runs the attention of each step. Throws CudaUnavailableError where there is none. */
async function openHardware(
  attention: AttentionShape,
  { attention: policy, seed }: ReplayOptions,
): Promise<{ readonly executor: CudaExecutor; readonly runner: AttentionRunner }> {
  const { CudaExecutor, CudaAttentionRunner } = await loadCuda();
  const executor = CudaExecutor.open();
  return { executor, runner: await CudaAttentionRunner.open(executor, attention, { policy, seed: seed + 1 }) };
}

async function openTraceOf(nameOrPath: string, options: ReplayOptions, open = openTrace): Promise<Trace> {
  const { file, name } = traceFile(nameOrPath);
  const { format, limit, rate, spreadTicks, skipInvalid } = options;
  const columns = wholeColumns(options.columns, format);
  return open(file, { name, format, columns, limit, rate, spreadTicks, skipInvalid });
}

function stepTimerOf(
  options: ReplayOptions,
  model: ModelConfig,
  profile: GpuProfile,
  runner: AttentionRunner | undefined,
): StepTimer {
  const { stepTimer, layerTimes, tp, blockSize: pageSize = 16 } = options;
  if (stepTimer === "measured") {
    return new MeasuredTimer(model, profile, rankAttention(model, tp, pageSize), readLayerTimes(layerTimes!), {
      // vLLM captures graphs for up to twice as many tokens as requests may run (256 or more where not given), 512 at most.
      graphTokens: Math.min(2 * (options.maxRunning ?? 256), 512),
      pipelineParallel: options.pp,
    });
  }
  return createStepTimer({
    kind: stepTimer === "cuda" ? "analytic" : stepTimer,
    runner,
    model,
    profile,
    tensorParallel: tp,
    pipelineParallel: options.pp,
    attentionPolicy: options.attention,
    expertParallel: options.ep,
    expertShareCv: options.expertImbalance,
    pageSize,
  });
}

async function replayWithProgress(
  trace: Trace,
  model: ModelConfig,
  profile: GpuProfile,
  options: ReplayOptions,
  context: Context,
  wanted: { readonly onStep?: ((step: ReplayedStep) => void) | undefined; readonly metricsOnly?: boolean },
): Promise<Report> {
  const { stepTimer, blockSize: pageSize = 16 } = options;
  const hardware =
    stepTimer === "cuda" ? await openHardware(rankAttention(model, options.tp, pageSize), options) : undefined;
  const progress = startProgress(context.stderr);
  try {
    return await replay({
      trace,
      seed: options.seed,
      generator: generatorOf(context, options.seed),
      signal: context.interrupt,
      stepTimer: stepTimerOf(options, model, profile, hardware?.runner),
      deployment: {
        model,
        gpu: gpuFacts(profile),
        attention: options.attention,
        tensorParallel: options.tp,
        pipelineParallel: options.pp,
        expertParallel: options.ep,
        replicas: options.replicas,
        router: options.router,
        routerStalenessMs: options.routerStalenessMs,
        batching: options.batching,
        asyncScheduling: options.asyncScheduling,
        prefixCaching: options.prefixCaching,
        blockSizeTokens: options.blockSize,
        kvBlocks: options.kvBlocks,
        maxRunningRequests: options.maxRunning,
        maxBatchedTokens: options.maxBatchedTokens,
        maxContextTokens: options.maxContext,
        gpuMemoryUtilization: options.memoryUse,
        slo: options.slo,
        speculation: speculationOf(options),
        disaggregation:
          options.prefillReplicas === undefined
            ? undefined
            : { prefillReplicas: options.prefillReplicas, kvTransferGBps: options.kvTransfer },
      },
      concurrency: options.concurrency,
      ...wanted,
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
    await hardware?.executor.close();
  }
}

function speculationOf({ speculativeTokens, acceptanceRate, draftUs }: ReplayOptions): SpeculationOptions | undefined {
  if (speculativeTokens !== undefined && acceptanceRate !== undefined) {
    return { tokens: speculativeTokens, acceptanceRate, draftUs };
  }
  if (speculativeTokens === undefined && acceptanceRate === undefined) return undefined;
  const [given, missing] =
    acceptanceRate === undefined
      ? ["--speculative-tokens", "--acceptance-rate"]
      : ["--acceptance-rate", "--speculative-tokens"];
  throw new InputError(`${given}: expected ${missing} with it`);
}
