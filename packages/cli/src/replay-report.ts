// One replay as its options describe it: model, GPU, trace and step timer are found, and the report is made. Nothing is written or
// printed but progress.

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
import { KV_DTYPES, type ReplayOptions } from "./commands/replay-options.ts";
import type { Context } from "./context.ts";
import { type CudaExecutor, loadCuda } from "./cuda.ts";
import { InputError } from "./errors.ts";
import { generatorOf } from "./generator.ts";
import { findGpu, findServedModel } from "./inputs.ts";
import { clock, integer } from "./terminal/numbers.ts";
import { startProgress } from "./terminal/progress.ts";
import { wholeColumns } from "./trace-columns.ts";
import { traceFile } from "./trace-files.ts";

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

export function modelAndGpu(options: ReplayOptions): { readonly model: ModelConfig; readonly profile: GpuProfile } {
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

/** The GPU of this machine as it runs the attention of each step. Throws CudaUnavailableError where there is none. */
async function openHardware(
  attention: AttentionShape,
  { attention: policy, seed }: ReplayOptions,
): Promise<{ readonly executor: CudaExecutor; readonly runner: AttentionRunner }> {
  const { CudaExecutor, CudaAttentionRunner } = await loadCuda();
  const executor = CudaExecutor.open();
  return { executor, runner: await CudaAttentionRunner.open(executor, attention, { policy, seed: seed + 1 }) };
}

export async function openTraceOf(
  nameOrPath: string,
  options: ReplayOptions,
  open: typeof openTrace = openTrace,
): Promise<Trace> {
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
    expertParallel: options.ep === 1 ? undefined : options.ep,
    expertShareCv: options.expertImbalance,
    pageSize,
  });
}

export async function replayWithProgress(
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
        expertParallel: options.ep === 1 ? undefined : options.ep,
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
        const at = (): string => clock(simulatedUs / 1e6);
        progress.update(share, () => `${integer(arrived)} arrived, ${integer(completed)} completed, simulated ${at()}`);
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
