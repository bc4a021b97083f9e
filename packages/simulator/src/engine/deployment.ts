// What is deployed: options with the engine's defaults filled in, and how many KV blocks fit into the GPU.

import type { BatchLimits } from "../batching/batching-policy.ts";
import { BATCHING_POLICIES, type BatchingName } from "../batching/policies.ts";
import type { Deployment } from "../documents/report.ts";
import type { ServiceLevel } from "../metrics/step-observer.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { DTYPE_BYTES, rankKvBytesPerToken, rankWeightBytes } from "../model/model-cost.ts";
import { modelStages } from "../model/model-stages.ts";
import { ROUTERS, type RouterName } from "../routing/routers.ts";
import type { GpuFacts } from "./gpu-facts.ts";

export interface DeploymentOptions {
  readonly model: ModelConfig;
  readonly gpu: GpuFacts;
  /** Name of the attention policy whose plans the step timer times; for the report. */
  readonly attention: string;
  readonly tensorParallel?: number | undefined;
  /** Stages that the layers are split over, tensorParallel GPUs each. Default 1. */
  readonly pipelineParallel?: number | undefined;
  /**
   * GPUs that whole experts are spread over, as the step timer has it: tensorParallel, or the GPUs of several replicas, which
   * then step together. Default: every GPU has a slice of each expert.
   */
  readonly expertParallel?: number | undefined;
  readonly replicas?: number | undefined;
  /** vLLM's async_scheduling: the host decides on a step while the GPU computes the one before. Default false. */
  readonly asyncScheduling?: boolean | undefined;
  readonly router?: RouterName | undefined;
  /** Routers see replicas as they were at the last multiple of this. Default 0: as they are. */
  readonly routerStalenessMs?: number | undefined;
  readonly batching?: BatchingName | undefined;
  /** vLLM's block_size. Default 16. */
  readonly blockSizeTokens?: number | undefined;
  /** vLLM's num_gpu_blocks. Default: what fits into the GPU's memory. */
  readonly kvBlocks?: number | undefined;
  /** Default 0.9. */
  readonly gpuMemoryUtilization?: number | undefined;
  /** Default 1024 on GPUs of 70 GiB and more other than A100, else 256, as in vLLM. */
  readonly maxRunningRequests?: number | undefined;
  /** Default 8192 on those, else 2048, as in vLLM's server. */
  readonly maxBatchedTokens?: number | undefined;
  /** Default: the model's context. */
  readonly maxContextTokens?: number | undefined;
  /** Default true. */
  readonly prefixCaching?: boolean | undefined;
  /** Default 0: none. */
  readonly longPrefillTokenThreshold?: number | undefined;
  /** Default true. */
  readonly chunkedPrefill?: boolean | undefined;
  /** Default true. */
  readonly reserveFullInput?: boolean | undefined;
  /** Default 0. */
  readonly watermark?: number | undefined;
  readonly slo?: ServiceLevel | undefined;
  /** Default: none. */
  readonly speculation?: SpeculationOptions | undefined;
  /** Replicas of two kinds, as vLLM and Dynamo have them. Default: every replica does everything. */
  readonly disaggregation?: DisaggregationOptions | undefined;
}

export interface SpeculationOptions {
  /** Drafts per step and request. */
  readonly tokens: number;
  /** Probability that a draft is right, given that all before it are. */
  readonly acceptanceRate: number;
  /** Time of one draft token of the whole batch. Default 0. */
  readonly draftUs?: number | undefined;
}

export interface DisaggregationOptions {
  /** So many of the replicas compute prompts, the others generate. */
  readonly prefillReplicas: number;
  /** Of each GPU of a prefill replica, one direction. */
  readonly kvTransferGBps: number;
  /** Default 0. */
  readonly kvTransferLatencyUs?: number | undefined;
}

export interface ResolvedDeployment {
  readonly description: Omit<Deployment, "stepTimer" | "rate">;
  readonly limits: BatchLimits;
  readonly router: RouterName;
  readonly batching: BatchingName;
}

/** A deployment that cannot be. */
export class DeploymentError extends Error {
  override readonly name = "DeploymentError";
  readonly field: string;
  readonly value: unknown;
  readonly expected: string;

  constructor(field: string, value: unknown, expected: string) {
    super(`${field} is ${String(value)}, expected ${expected}`);
    this.field = field;
    this.value = value;
    this.expected = expected;
  }
}

/** A model that leaves no room for KV in the memory of its GPUs. */
export class DoesNotFitError extends DeploymentError {}

/** @throws DeploymentError at the first option that is out of its range or contradicts another */
export function resolveDeployment(options: DeploymentOptions): ResolvedDeployment {
  const { model, gpu } = options;
  const isLarge = gpu.memoryBytes >= 70 * 2 ** 30 && !/a100/i.test(gpu.name);
  const tensorParallel = integer("tensorParallel", options.tensorParallel ?? 1, 1);
  if (model.queryHeads % tensorParallel !== 0) {
    throw new DeploymentError("tensorParallel", tensorParallel, `a divisor of ${model.queryHeads} query heads`);
  }
  if (Math.max(model.kvHeads, tensorParallel) % Math.min(model.kvHeads, tensorParallel) !== 0) {
    throw new DeploymentError("tensorParallel", tensorParallel, `a divisor or multiple of ${model.kvHeads} KV heads`);
  }
  const pipelineParallel = integer("pipelineParallel", options.pipelineParallel ?? 1, 1);
  if (pipelineParallel > model.layers) {
    throw new DeploymentError("pipelineParallel", pipelineParallel, `at most the ${model.layers} layers of the model`);
  }
  const replicas = integer("replicas", options.replicas ?? 1, 1);
  const { expertParallel } = options;
  if (expertParallel !== undefined) checkExpertParallel(options, expertParallel);
  const blockSizeTokens = integer("blockSizeTokens", options.blockSizeTokens ?? 16, 1);
  const maxRunningRequests = integer("maxRunningRequests", options.maxRunningRequests ?? (isLarge ? 1024 : 256), 1);
  const maxBatchedTokens = integer("maxBatchedTokens", options.maxBatchedTokens ?? (isLarge ? 8192 : 2048), 1);
  const maxContextTokens = integer("maxContextTokens", options.maxContextTokens ?? model.maxContextTokens, 1);
  const chunkedPrefill = options.chunkedPrefill ?? true;
  if (!chunkedPrefill && maxBatchedTokens < maxContextTokens) {
    const expected = `at least maxContextTokens (${maxContextTokens}) where prompts are not chunked`;
    throw new DeploymentError("maxBatchedTokens", maxBatchedTokens, expected);
  }
  const utilization = share("gpuMemoryUtilization", options.gpuMemoryUtilization ?? 0.9);
  const kvBlocks =
    options.kvBlocks === undefined
      ? fittingKvBlocks(model, gpu, {
          tensorParallel,
          pipelineParallel,
          expertParallel,
          utilization,
          blockSizeTokens,
          maxBatchedTokens,
          maxRunningRequests,
        })
      : integer("kvBlocks", options.kvBlocks, 2);
  const router = known("router", options.router ?? "round-robin", ROUTERS);
  const routerStalenessMs = options.routerStalenessMs ?? 0;
  if (!(routerStalenessMs >= 0 && Number.isFinite(routerStalenessMs))) {
    throw new DeploymentError("routerStalenessMs", routerStalenessMs, "0 or more ms");
  }
  if (routerStalenessMs > 0 && !ROUTERS[router].readsSignals) {
    const readers = (Object.keys(ROUTERS) as RouterName[]).filter((name) => ROUTERS[name].readsSignals);
    throw new DeploymentError(
      "router",
      router,
      `one that looks at replicas (${readers.join(", ")}) where signals are stale`,
    );
  }
  const batching = known("batching", options.batching ?? "vllm-v1", BATCHING_POLICIES);
  if (pipelineParallel > 1 && batching !== "vllm-v1") {
    throw new DeploymentError("batching", batching, "vllm-v1 where layers are a pipeline");
  }
  if (pipelineParallel > 1 && options.speculation !== undefined) {
    throw new DeploymentError("pipelineParallel", pipelineParallel, "1 with speculative decoding");
  }
  const { asyncScheduling = false } = options;
  if (asyncScheduling) checkAsyncScheduling(options, batching);
  const disaggregation = resolveDisaggregation(options.disaggregation, replicas, batching);
  const speculation = resolveSpeculation(options.speculation, maxBatchedTokens, batching);
  const slo = options.slo ?? {};
  for (const [field, limitMs] of Object.entries(slo)) {
    if (limitMs !== undefined && !(limitMs > 0)) throw new DeploymentError(`slo.${field}`, limitMs, "more than 0 ms");
  }
  return {
    description: {
      model: model.name,
      gpu: gpu.name,
      ...(model.weightDtype === undefined ? {} : { weights: model.weightDtype }),
      ...(model.kvDtype === undefined ? {} : { kvDtype: model.kvDtype }),
      tensorParallel,
      ...(pipelineParallel === 1 ? {} : { pipelineParallel, gpus: replicas * pipelineParallel * tensorParallel }),
      ...(expertParallel === undefined ? {} : { expertParallel }),
      replicas,
      router,
      ...(routerStalenessMs === 0 ? {} : { routerStalenessMs }),
      batching,
      ...(asyncScheduling ? { asyncScheduling } : {}),
      attention: options.attention,
      blockSizeTokens,
      kvBlocks,
      maxRunningRequests,
      maxBatchedTokens,
      prefixCaching: options.prefixCaching ?? true,
      slo,
      ...(speculation === undefined ? {} : { speculation }),
      ...(disaggregation === undefined ? {} : { disaggregation }),
    },
    limits: {
      maxRunningRequests,
      maxBatchedTokens,
      maxContextTokens,
      longPrefillTokenThreshold: integer("longPrefillTokenThreshold", options.longPrefillTokenThreshold ?? 0, 0),
      chunkedPrefill,
      reserveFullInput: options.reserveFullInput ?? true,
      watermark: share("watermark", options.watermark ?? 0),
    },
    router,
    batching,
  };
}

/** Replicas that share experts are of one kind, and have no pipelines. */
function checkExpertParallel(options: DeploymentOptions, gpus: number): void {
  const { model, tensorParallel = 1, pipelineParallel = 1, replicas = 1, disaggregation } = options;
  integer("expertParallel", gpus, 1);
  const refuse = (expected: string): never => {
    throw new DeploymentError("expertParallel", gpus, expected);
  };
  if (model.moe === undefined) refuse(`a mixture of experts: ${model.name} is dense`);
  if (gpus % tensorParallel !== 0) refuse(`a multiple of tensorParallel (${tensorParallel})`);
  const group = gpus / tensorParallel;
  const { prefillReplicas = replicas } = disaggregation ?? {};
  if (replicas % group !== 0 || prefillReplicas % group !== 0) {
    refuse(`the GPUs of so many replicas that the ${replicas} (of each kind) are a multiple of them, not of ${group}`);
  }
  if (group > 1 && pipelineParallel > 1) refuse(`tensorParallel (${tensorParallel}) in a pipeline`);
}

/** What vLLM can, or could, combine with it and this model of it does not. */
function checkAsyncScheduling(options: DeploymentOptions, batching: BatchingName): void {
  const { tensorParallel = 1, pipelineParallel = 1, expertParallel = tensorParallel, speculation } = options;
  const refuse = (expected: string): never => {
    throw new DeploymentError("asyncScheduling", true, expected);
  };
  if (batching !== "vllm-v1") refuse(`false with ${batching} batching: only vllm-v1 schedules ahead`);
  if (pipelineParallel > 1) refuse("false in a pipeline, which has several steps in flight already");
  if (expertParallel > tensorParallel) refuse("false where replicas step together to share experts");
  if (speculation !== undefined) refuse("false with speculative decoding");
}

function resolveSpeculation(
  options: SpeculationOptions | undefined,
  maxBatchedTokens: number,
  batching: BatchingName,
): Deployment["speculation"] {
  if (options === undefined) return undefined;
  const { tokens, acceptanceRate, draftUs = 0 } = options;
  integer("speculation.tokens", tokens, 1);
  if (tokens >= maxBatchedTokens) {
    throw new DeploymentError("speculation.tokens", tokens, `less than maxBatchedTokens (${maxBatchedTokens})`);
  }
  share("speculation.acceptanceRate", acceptanceRate);
  if (!(draftUs >= 0 && Number.isFinite(draftUs)))
    throw new DeploymentError("speculation.draftUs", draftUs, "0 or more");
  if (batching !== "vllm-v1") throw new DeploymentError("batching", batching, "vllm-v1 with speculative decoding");
  return { tokens, acceptanceRate, draftUs };
}

function resolveDisaggregation(
  options: DisaggregationOptions | undefined,
  replicas: number,
  batching: BatchingName,
): Deployment["disaggregation"] {
  if (options === undefined) return undefined;
  const { prefillReplicas, kvTransferGBps, kvTransferLatencyUs = 0 } = options;
  integer("disaggregation.prefillReplicas", prefillReplicas, 1);
  if (prefillReplicas >= replicas) {
    throw new DeploymentError("disaggregation.prefillReplicas", prefillReplicas, `less than ${replicas} replicas`);
  }
  if (!(kvTransferGBps > 0)) throw new DeploymentError("disaggregation.kvTransferGBps", kvTransferGBps, "more than 0");
  if (!(kvTransferLatencyUs >= 0)) {
    throw new DeploymentError("disaggregation.kvTransferLatencyUs", kvTransferLatencyUs, "0 or more");
  }
  if (batching !== "vllm-v1")
    throw new DeploymentError("batching", batching, "vllm-v1 where replicas are disaggregated");
  return { prefillReplicas, kvTransferGBps, kvTransferLatencyUs };
}

/**
 * What a GPU of a serving process holds besides weights, activations and KV cache: CUDA context, libraries' workspaces,
 * captured graphs, fragmentation. From the one engine log at hand (vLLM 0.19, Llama-3.1-8B on an RTX 4090 of 25.25 GB:
 * 2,588 blocks at 0.9): 0.9 × memory − weights − KV − the activations counted below.
 */
const RESERVE_BYTES = 0.88e9;

interface KvBlockInputs {
  readonly tensorParallel: number;
  readonly pipelineParallel: number;
  readonly expertParallel: number | undefined;
  readonly utilization: number;
  readonly blockSizeTokens: number;
  readonly maxBatchedTokens: number;
  readonly maxRunningRequests: number;
}

/**
 * KV blocks of one replica: the used share of memory less weights, activations of the largest step and a reserve; in a
 * pipeline, of the stage where fewest fit. An estimate; an engine's own num_gpu_blocks is better where it is known.
 */
function fittingKvBlocks(model: ModelConfig, gpu: GpuFacts, inputs: KvBlockInputs): number {
  const { tensorParallel, pipelineParallel, expertParallel, maxBatchedTokens, maxRunningRequests } = inputs;
  const bytes = DTYPE_BYTES[model.dtype];
  // The widest moment of a layer: residual, its copy and the gate and up projections; then 16- and 32-bit logits.
  const layerBytes = maxBatchedTokens * bytes * (3 * model.hiddenSize + (2 * model.intermediateSize) / tensorParallel);
  const logitBytes = maxRunningRequests * model.vocabSize * (bytes + 4);
  let least = Number.POSITIVE_INFINITY;
  for (const stage of modelStages(model, pipelineParallel)) {
    const weightBytes = rankWeightBytes(model, tensorParallel, stage, expertParallel);
    const stepBytes = layerBytes + (stage.hasHead ? logitBytes : 0);
    const available = inputs.utilization * gpu.memoryBytes - weightBytes - stepBytes - RESERVE_BYTES;
    const blockBytes = rankKvBytesPerToken(model, tensorParallel, stage) * inputs.blockSizeTokens;
    const blocks = Math.floor(available / blockBytes);
    if (blocks < 2) {
      const gib = (size: number): string => (size / 2 ** 30).toFixed(1);
      const gpus = Math.max(tensorParallel * pipelineParallel, expertParallel ?? 1);
      const expected = [
        `more memory or tensor, pipeline or expert parallelism: of a share of ${inputs.utilization},`,
        `${model.name} takes ${gib(weightBytes)} GiB of weights on ${gpus === 1 ? "each GPU" : `one of ${gpus} GPUs`},`,
        `${gib(stepBytes)} GiB for steps of ${maxBatchedTokens} tokens and ${maxRunningRequests} requests,`,
        `and the engine ${gib(RESERVE_BYTES)} GiB, which leaves no two KV blocks of ${inputs.blockSizeTokens} tokens`,
      ];
      throw new DoesNotFitError(
        "gpu",
        `${gpu.name} (${(gpu.memoryBytes / 2 ** 30).toFixed(0)} GiB)`,
        expected.join(" "),
      );
    }
    least = Math.min(least, blocks);
  }
  return least;
}

function integer(field: string, value: number, least: number): number {
  const most = 2 ** 31 - 1;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new DeploymentError(field, value, `an integer from ${least} to ${most}`);
  }
  return value;
}

function share(field: string, value: number): number {
  if (!(value >= 0 && value <= 1)) throw new DeploymentError(field, value, "a number from 0 to 1");
  return value;
}

function known<Name extends string>(field: string, name: Name, table: Readonly<Record<Name, unknown>>): Name {
  if (!Object.hasOwn(table, name)) throw new DeploymentError(field, name, `one of ${Object.keys(table).join(", ")}`);
  return name;
}
