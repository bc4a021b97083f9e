// `report/1`: what a replay found. Everything in it but `wallClock` is a function of trace, deployment and seed.
//
// Times are microseconds of simulated time since the first arrival; metric summaries are milliseconds, as serving
// benchmarks print them.

import type { Generator } from "@isochron/planner";
import { z } from "zod";
import { generatorSchema } from "./generator.ts";

/** Summary of one latency, in milliseconds. Percentiles by linear interpolation. All null when there is no sample. */
export interface Summary {
  readonly mean: number | null;
  readonly median: number | null;
  readonly std: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly p75: number | null;
  readonly p90: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface TraceIdentity {
  readonly name: string;
  readonly format: string;
  readonly sha256: string;
  readonly requestsUsed: number;
  /** Lines that --skip-invalid left out. */
  readonly linesSkipped: number;
}

export interface Deployment {
  readonly model: string;
  readonly gpu: string;
  /** Width of the weights of projections and MLPs; absent where it is that of activations. */
  readonly weights?: string | undefined;
  /** Element type of the KV cache; absent where it is that of activations. */
  readonly kvDtype?: string | undefined;
  /** GPUs of one replica that share every layer; those of a replica in all are pipelineParallel times as many. */
  readonly tensorParallel: number;
  /** Stages that the layers are split over; absent where there is one. */
  readonly pipelineParallel?: number | undefined;
  /** Of all replicas; absent without a pipeline, where they are replicas × tensorParallel. */
  readonly gpus?: number | undefined;
  /**
   * GPUs that whole experts are spread over: those of a replica, or of several that step together; absent where every GPU of
   * a replica has a slice of each expert.
   */
  readonly expertParallel?: number | undefined;
  readonly replicas: number;
  readonly router: string;
  /** Age that what the router sees of replicas can have; absent where it sees them as they are. */
  readonly routerStalenessMs?: number | undefined;
  readonly batching: string;
  /** The host decides on a step while the GPU computes the one before; absent where it waits. */
  readonly asyncScheduling?: boolean | undefined;
  /** Attention policy whose plans are timed. */
  readonly attention: string;
  readonly stepTimer: string;
  readonly blockSizeTokens: number;
  /** KV blocks of one replica. */
  readonly kvBlocks: number;
  readonly maxRunningRequests: number;
  readonly maxBatchedTokens: number;
  readonly prefixCaching: boolean;
  /** Arrival rate relative to the trace. */
  readonly rate: number;
  /** Closed loop: requests in flight, sent as others end; absent where arrivals are the trace's. */
  readonly concurrency?: number | undefined;
  /** The first replicas compute prompts, the others go on from there; absent where every replica does both. */
  readonly disaggregation?:
    | {
        readonly prefillReplicas: number;
        readonly kvTransferGBps: number;
        readonly kvTransferLatencyUs: number;
      }
    | undefined;
  /** Drafts per step and request, and how likely each is right; absent without speculative decoding. */
  readonly speculation?:
    | { readonly tokens: number; readonly acceptanceRate: number; readonly draftUs: number }
    | undefined;
  readonly slo: {
    readonly ttftMs?: number | undefined;
    readonly tpotMs?: number | undefined;
    readonly e2eMs?: number | undefined;
  };
}

/** A cumulative distribution: `shares[i]` of all samples are at or below `values[i]`, both ascending. */
export interface Curve {
  readonly shares: number[];
  readonly values: number[];
}

export interface Metrics {
  readonly completed: number;
  /** Requests that can never fit the KV cache or the model's context. */
  readonly rejected: number;
  /** Requests still waiting or running when a partial replay stopped. */
  readonly unfinished: number;
  readonly durationS: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly requestThroughput: number;
  readonly outputTokenThroughput: number;
  readonly totalTokenThroughput: number;
  /** Completed requests per second that met every SLO; null without SLOs. */
  readonly goodput: number | null;
  readonly ttftMs: Summary;
  readonly tpotMs: Summary;
  readonly itlMs: Summary;
  readonly e2eMs: Summary;
  readonly queueMs: Summary;
  readonly preemptions: number;
  readonly recomputedTokens: number;
  /** Drafts that were verified, and those that became output; absent where there were none. */
  readonly speculation?: { readonly draftTokens: number; readonly acceptedTokens: number } | undefined;
  /**
   * From the first token on a prefill replica until the KV cache has arrived at another, and the share of time in which a
   * prefill replica's link sends; absent where replicas hand nothing over.
   */
  readonly kvTransfers?: { readonly meanMs: number; readonly maxMs: number; readonly linkUse: number } | undefined;
  /** Prompt tokens found in the prefix cache / prompt tokens looked up. */
  readonly prefixHitRatio: number;
  /** Share of the KV blocks in use; the mean over the time in which replicas were busy, as of `mfu`. */
  readonly kvUsage: { readonly mean: number; readonly max: number };
  readonly meanConcurrency: number;
  readonly peakConcurrency: number;
  readonly steps: number;
  readonly tokensPerStep: { readonly mean: number; readonly max: number };
  readonly batchSize: { readonly mean: number; readonly max: number };
  /** Time-weighted over attention launches; null where the step timer does not know. */
  readonly smBusyFraction: number | null;
  readonly attentionImbalance: { readonly mean: number; readonly max: number } | null;
  /** Model flops achieved / peak, and model bytes moved / peak bandwidth, of all GPUs, over the time in which replicas were busy. */
  readonly mfu: number;
  readonly mbu: number;
  /** Share of that time in which the GPUs of each stage of a pipeline had no step; absent without a pipeline. */
  readonly stageIdle?: readonly number[] | undefined;
  /** Of the durations of all steps. */
  readonly stepTimeShare: {
    readonly attention: number;
    readonly gemm: number;
    readonly collective: number;
    readonly other: number;
    readonly host: number;
    /** Between the stages of a pipeline, behind the step before, or for the experts' other replicas; absent without either. */
    readonly wait?: number | undefined;
  };
}

/** One entry per step in start order (all replicas), as a struct of arrays. */
export interface StepSeries {
  /** Number of the step within its replica; with the replica it names the step. */
  readonly step: number[];
  readonly replica: number[];
  readonly startUs: number[];
  readonly durationUs: number[];
  /** Requests in the batch. */
  readonly running: number[];
  readonly waiting: number[];
  readonly tokens: number[];
  readonly prefillTokens: number[];
  readonly kvBlocksUsed: number[];
  readonly attentionUs: number[];
  /** Null where unknown. */
  readonly attentionImbalance: (number | null)[];
  readonly preemptions: number[];
}

export const REQUEST_STATUS = ["completed", "rejected", "unfinished"] as const;

/** One entry per request in arrival order, as a struct of arrays. −1: has not happened. */
export interface RequestSeries {
  /** Position in the trace, from 0. */
  readonly id: number[];
  readonly replica: number[];
  /** Index into REQUEST_STATUS. */
  readonly status: number[];
  readonly arrivalUs: number[];
  readonly scheduledUs: number[];
  readonly firstTokenUs: number[];
  readonly endUs: number[];
  readonly inputTokens: number[];
  readonly outputTokens: number[];
  readonly cachedTokens: number[];
  readonly preemptions: number[];
  /** First and last step (within the replica) that the request was part of. */
  readonly firstStep: number[];
  readonly lastStep: number[];
}

/** The batch of one step: with deployment and model it gives the plan and the timeline back. */
export interface StepBatch {
  readonly replica: number;
  readonly step: number;
  /** Why it is kept: "longest step", "attention above bound", "p99 TTFT", … */
  readonly reason: string;
  readonly durationUs: number;
  /** All layers' attention launches. */
  readonly attentionUs: number;
  /** Attention makespan over its lower bound; null where the timer does not know. */
  readonly attentionImbalance: number | null;
  /** Positions in the trace. */
  readonly requests: number[];
  readonly qoLens: number[];
  readonly kvLens: number[];
}

export interface Report {
  readonly isochron: "report/1";
  readonly generator: Generator;
  /** True when the replay was stopped before its end. */
  readonly partial: boolean;
  readonly trace: TraceIdentity;
  readonly deployment: Deployment;
  readonly metrics: Metrics;
  /** Time between tokens, whose samples are in no record; absent without samples. */
  readonly itlCurveMs?: Curve | undefined;
  /** At most `seriesLimit` entries: longer replays keep every n-th step and say so in `stepStride`. */
  readonly steps: StepSeries;
  readonly stepStride: number;
  /** Steps that can be drilled into. */
  readonly stepBatches: StepBatch[];
  /** Per-request records; absent where they are written to a file of their own. */
  readonly requests?: RequestSeries | undefined;
  readonly warnings: string[];
  /** Real time, apart from everything deterministic. */
  readonly wallClock: { readonly startedAt: string; readonly durationMs: number; readonly requestsPerSecond: number };
}

const number = z.number();
const maybe = z.number().nullable();
const numbers = z.array(z.number());
/** Of steps, and of requests, where −1 is what has not happened. */
const stepColumn = z.array(z.number().min(0));
const requestColumn = z.array(z.number().min(-1));
const share = z.number().min(0).max(1.000001);

const summarySchema: z.ZodType<Summary> = z.strictObject({
  mean: maybe,
  median: maybe,
  std: maybe,
  min: maybe,
  max: maybe,
  p75: maybe,
  p90: maybe,
  p95: maybe,
  p99: maybe,
});

const spread: z.ZodType<{ mean: number; max: number }> = z.strictObject({ mean: number, max: number });

/** Columns of one series are of one length. */
function requireOneLength(columns: object, context: z.RefinementCtx): void {
  const [first, ...others] = Object.entries(columns) as [string, unknown[]][];
  const wrong = others.find(([, column]) => column.length !== first![1].length);
  if (wrong === undefined) return;
  const message = `${first![1].length} entries as in ${first![0]}, not ${wrong[1].length}`;
  context.addIssue({ code: "custom", path: [wrong[0]], message });
}

export const requestSeriesSchema: z.ZodType<RequestSeries> = z
  .strictObject({
    id: requestColumn,
    replica: requestColumn,
    status: requestColumn,
    arrivalUs: requestColumn,
    scheduledUs: requestColumn,
    firstTokenUs: requestColumn,
    endUs: requestColumn,
    inputTokens: requestColumn,
    outputTokens: requestColumn,
    cachedTokens: requestColumn,
    preemptions: requestColumn,
    firstStep: requestColumn,
    lastStep: requestColumn,
  })
  .superRefine(requireOneLength);

export const reportSchema: z.ZodType<Report> = z.strictObject({
  isochron: z.literal("report/1"),
  generator: generatorSchema,
  partial: z.boolean(),
  trace: z.strictObject({
    name: z.string(),
    format: z.string(),
    sha256: z.string(),
    requestsUsed: number,
    linesSkipped: number,
  }),
  deployment: z.strictObject({
    model: z.string(),
    gpu: z.string(),
    weights: z.string().optional(),
    kvDtype: z.string().optional(),
    tensorParallel: number,
    pipelineParallel: number.optional(),
    gpus: number.optional(),
    expertParallel: number.optional(),
    replicas: number,
    router: z.string(),
    routerStalenessMs: number.optional(),
    batching: z.string(),
    asyncScheduling: z.boolean().optional(),
    attention: z.string(),
    stepTimer: z.string(),
    blockSizeTokens: number,
    kvBlocks: number,
    maxRunningRequests: number,
    maxBatchedTokens: number,
    prefixCaching: z.boolean(),
    rate: number,
    concurrency: number.optional(),
    disaggregation: z
      .strictObject({ prefillReplicas: number, kvTransferGBps: number, kvTransferLatencyUs: number })
      .optional(),
    speculation: z.strictObject({ tokens: number, acceptanceRate: share, draftUs: number }).optional(),
    slo: z.strictObject({ ttftMs: number.optional(), tpotMs: number.optional(), e2eMs: number.optional() }),
  }),
  metrics: z.strictObject({
    completed: number,
    rejected: number,
    unfinished: number,
    durationS: number,
    inputTokens: number,
    outputTokens: number,
    requestThroughput: number,
    outputTokenThroughput: number,
    totalTokenThroughput: number,
    goodput: maybe,
    ttftMs: summarySchema,
    tpotMs: summarySchema,
    itlMs: summarySchema,
    e2eMs: summarySchema,
    queueMs: summarySchema,
    preemptions: number,
    recomputedTokens: number,
    speculation: z.strictObject({ draftTokens: number, acceptedTokens: number }).optional(),
    kvTransfers: z.strictObject({ meanMs: number, maxMs: number, linkUse: share }).optional(),
    prefixHitRatio: share,
    kvUsage: spread,
    meanConcurrency: number,
    peakConcurrency: number,
    steps: number,
    tokensPerStep: spread,
    batchSize: spread,
    smBusyFraction: maybe,
    attentionImbalance: spread.nullable(),
    mfu: number,
    mbu: number,
    stageIdle: z.array(share).optional(),
    stepTimeShare: z.strictObject({
      attention: share,
      gemm: share,
      collective: share,
      other: share,
      host: share,
      wait: share.optional(),
    }),
  }),
  itlCurveMs: z.strictObject({ shares: z.array(share), values: numbers }).optional(),
  steps: z
    .strictObject({
      step: stepColumn,
      replica: stepColumn,
      startUs: stepColumn,
      durationUs: stepColumn,
      running: stepColumn,
      waiting: stepColumn,
      tokens: stepColumn,
      prefillTokens: stepColumn,
      kvBlocksUsed: stepColumn,
      attentionUs: stepColumn,
      attentionImbalance: z.array(maybe),
      preemptions: stepColumn,
    })
    .superRefine(requireOneLength),
  stepStride: number,
  stepBatches: z.array(
    z.strictObject({
      replica: number,
      step: number,
      reason: z.string(),
      durationUs: number,
      attentionUs: number,
      attentionImbalance: maybe,
      requests: numbers,
      qoLens: numbers,
      kvLens: numbers,
    }),
  ),
  requests: requestSeriesSchema.optional(),
  warnings: z.array(z.string()),
  wallClock: z.strictObject({ startedAt: z.string(), durationMs: number, requestsPerSecond: number }),
});

/** Title of the timeline of a replayed step. */
export function stepTitle(replica: number, step: number): string {
  return `replica ${replica} · step ${step}`;
}
