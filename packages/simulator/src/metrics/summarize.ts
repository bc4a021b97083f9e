// What was measured, turned into the metrics of a report, as vLLM's serving benchmark defines them. Times are open loop:
// from the arrival that the trace states.

import type { Deployment, Metrics } from "../documents/report.ts";
import type { GpuFacts } from "../engine/gpu-facts.ts";
import type { ModelConfig } from "../model/model-config.ts";
import {
  attentionFlopsPerPair,
  DTYPE_BYTES,
  flopsPerToken,
  headFlops,
  rankExpertBytes,
  rankKvBytesPerToken,
  rankWeightBytes,
} from "../model/model-cost.ts";
import { wholeModel } from "../model/model-stages.ts";
import type { StepObserver } from "./step-observer.ts";

/** Hardware and model as far as utilisation needs them, for one replica. */
export interface UtilisationPeaks {
  readonly flopsPerToken: number;
  readonly headFlops: number;
  readonly attentionFlopsPerPair: number;
  /** On each GPU, routed experts apart; in a pipeline on one GPU of every stage together, as the two below it. */
  readonly weightBytesPerStep: number;
  readonly expertBytes: number;
  readonly kvBytesPerToken: number;
  /** Of each GPU. */
  readonly peakFlopsPerS: number;
  readonly peakBytesPerS: number;
  /** Of a replica: `stages` times as many as share a layer. */
  readonly gpus: number;
  readonly stages: number;
}

type Parallelism = Pick<Deployment, "tensorParallel" | "pipelineParallel" | "expertParallel">;

export function utilisationPeaks(
  model: ModelConfig,
  gpu: GpuFacts,
  { tensorParallel, pipelineParallel: stages = 1, expertParallel = tensorParallel }: Parallelism,
): UtilisationPeaks {
  const expertBytes = rankExpertBytes(model, expertParallel);
  const embeddingBytes = (model.vocabSize * model.hiddenSize * DTYPE_BYTES[model.dtype]) / tensorParallel;
  return {
    flopsPerToken: flopsPerToken(model),
    headFlops: headFlops(model),
    attentionFlopsPerPair: attentionFlopsPerPair(model),
    // A lookup reads single rows of the embedding table.
    weightBytesPerStep:
      rankWeightBytes(model, tensorParallel, wholeModel(model), expertParallel) -
      expertBytes -
      (model.tiedEmbeddings ? 0 : embeddingBytes),
    expertBytes,
    kvBytesPerToken: rankKvBytesPerToken(model, tensorParallel),
    peakFlopsPerS: (gpu.peakTensorTflops[model.dtype] ?? 0) * 1e12,
    peakBytesPerS: gpu.memoryBandwidthGBps * 1e9,
    gpus: tensorParallel * stages,
    stages,
  };
}

export interface ReplayCounts {
  readonly rejected: number;
  readonly unfinished: number;
  readonly peakConcurrency: number;
  /** Where a partial replay stopped, else the last token: the end of the measured time. */
  readonly endUs: number;
  readonly kvBlocks: number;
  readonly hasSlo: boolean;
  readonly kvTransfers: Metrics["kvTransfers"];
}

export function summarize(observer: StepObserver, counts: ReplayCounts, peaks: UtilisationPeaks): Metrics {
  const durationS = counts.endUs / 1e6;
  const perSecond = (amount: number): number => ratio(amount, durationS);
  const busyS = observer.busyUs / 1e6;
  const flops =
    observer.tokenSum * peaks.flopsPerToken +
    observer.sampledSum * peaks.headFlops +
    observer.pairSum * peaks.attentionFlopsPerPair;
  const bytes =
    observer.stepCount * peaks.weightBytesPerStep +
    observer.visitedShareSum * peaks.expertBytes +
    observer.kvTokenSum * peaks.kvBytesPerToken;
  const parts = {
    attention: observer.attentionUs,
    gemm: observer.gemmUs,
    collective: observer.collectiveUs,
    other: observer.otherUs,
    host: observer.hostUs,
  };
  const stepUs = observer.busyUs + observer.overlapUs;
  const waitUs = Math.max(0, stepUs - Object.values(parts).reduce((sum, us) => sum + us, 0));
  const kvMax = ratio(observer.kvBlocksMax, counts.kvBlocks);
  // A sum of rounded products can be a little more than the largest of them all the time.
  const kvMean = ratio(observer.kvBlockUs, observer.busyUs * counts.kvBlocks);
  return {
    completed: observer.completed,
    rejected: counts.rejected,
    unfinished: counts.unfinished,
    durationS,
    inputTokens: observer.inputTokens,
    outputTokens: observer.outputTokens,
    requestThroughput: perSecond(observer.completed),
    outputTokenThroughput: perSecond(observer.outputTokens),
    totalTokenThroughput: perSecond(observer.inputTokens + observer.outputTokens),
    goodput: counts.hasSlo ? perSecond(observer.good) : null,
    ttftMs: observer.ttftUs.summary(1e-3),
    tpotMs: observer.tpotUs.summary(1e-3),
    itlMs: observer.itlUs.summary(1e-3),
    e2eMs: observer.e2eUs.summary(1e-3),
    queueMs: observer.queueUs.summary(1e-3),
    preemptions: observer.preemptions,
    recomputedTokens: observer.recomputedTokens,
    ...(observer.draftTokens === 0
      ? {}
      : { speculation: { draftTokens: observer.draftTokens, acceptedTokens: observer.acceptedTokens } }),
    ...(counts.kvTransfers === undefined ? {} : { kvTransfers: counts.kvTransfers }),
    prefixHitRatio: ratio(observer.hitTokens, observer.lookedUpTokens),
    kvUsage: { mean: Math.min(kvMean, kvMax), max: kvMax },
    meanConcurrency: ratio(observer.latencySumUs, counts.endUs),
    peakConcurrency: counts.peakConcurrency,
    steps: observer.stepCount,
    tokensPerStep: { mean: ratio(observer.tokenSum, observer.stepCount), max: observer.tokenMax },
    batchSize: { mean: ratio(observer.batchSum, observer.stepCount), max: observer.batchMax },
    smBusyFraction: observer.smKnownUs > 0 ? observer.smBusyUs / observer.smKnownUs : null,
    attentionImbalance:
      observer.imbalanceKnownUs > 0
        ? { mean: observer.imbalanceUs / observer.imbalanceKnownUs, max: observer.imbalanceMax }
        : null,
    mfu: ratio(flops, busyS * peaks.peakFlopsPerS * peaks.gpus),
    mbu: ratio(bytes, busyS * peaks.peakBytesPerS * peaks.stages),
    ...(peaks.stages === 1
      ? {}
      : { stageIdle: Array.from(observer.stageBusyUs, (us) => (observer.busyUs > 0 ? 1 - us / observer.busyUs : 0)) }),
    stepTimeShare: {
      attention: ratio(parts.attention, stepUs),
      gemm: ratio(parts.gemm, stepUs),
      collective: ratio(parts.collective, stepUs),
      other: ratio(parts.other, stepUs),
      host: ratio(parts.host, stepUs),
      ...(observer.hasWaits ? { wait: ratio(waitUs, stepUs) } : {}),
    },
  };
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}
