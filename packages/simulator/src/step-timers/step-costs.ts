// Everything of a step but attention, on one rank of a tensor-parallel group (all ranks do the same, or wait for the one
// with the busiest experts): projections and MLP of every layer, the output head for sampled tokens, two all-reduces per
// layer, small kernels, host time.
//
// Each is a function of the number of tokens, of sampled tokens or of requests. The per-token ones are memoised by
// token count: the same numbers, found once.

import { extrapolate } from "../gpu/curve.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import type { ModelConfig, WeightDtype } from "../model/model-config.ts";
import { rankKvHeads } from "../model/model-config.ts";
import { DTYPE_BYTES } from "../model/model-cost.ts";
import { EXPERT_SHARE_CV, ExpertRouting } from "./expert-routing.ts";
import { GemmTimes } from "./gemm-times.ts";

/** All-reduces of one layer: after the output projection and after the MLP. */
const ALL_REDUCES_PER_LAYER = 2;

/** Start-up of an all-reduce without a measured table, chosen: a little above the measured ones on NVLink. */
const ALL_REDUCE_FIXED_US = 6;

/** Token counts up to which costs are memoised: above any max_num_batched_tokens in use. */
const MEMO_TOKENS = 32_768;

/** How the experts of a mixture are placed and used. */
export interface ExpertOptions {
  /** Whole experts on each rank instead of a slice of every expert; false unless given. */
  readonly expertParallel?: boolean | undefined;
  /** Coefficient of variation of the experts' shares of the tokens; 0 is even. EXPERT_SHARE_CV unless given. */
  readonly expertShareCv?: number | undefined;
}

interface Shape {
  readonly n: number;
  readonly k: number;
}

export class StepCosts {
  readonly model: ModelConfig;
  readonly profile: GpuProfile;
  readonly tensorParallel: number;
  private readonly gemm: GemmTimes;
  /** Of activations. */
  private readonly elementBytes: number;
  private readonly weights: WeightDtype;
  /** GPUs that share one expert. */
  private readonly expertSlices: number;
  private readonly routing: ExpertRouting | undefined;
  private readonly shapes: readonly Shape[];
  private readonly gemmMemo = new Float64Array(MEMO_TOKENS + 1).fill(-1);
  private readonly otherMemo = new Float64Array(MEMO_TOKENS + 1).fill(-1);
  private readonly collectiveMemo = new Float64Array(MEMO_TOKENS + 1).fill(-1);

  constructor(model: ModelConfig, profile: GpuProfile, tensorParallel: number, options: ExpertOptions = {}) {
    this.model = model;
    this.profile = profile;
    this.tensorParallel = tensorParallel;
    this.gemm = new GemmTimes(profile);
    this.elementBytes = DTYPE_BYTES[model.dtype];
    this.weights = model.weightDtype ?? model.dtype;
    const { expertParallel = false, expertShareCv = EXPERT_SHARE_CV } = options;
    this.expertSlices = expertParallel ? 1 : tensorParallel;
    if (model.moe !== undefined) {
      const { experts, expertsPerToken } = model.moe;
      this.routing = new ExpertRouting(experts, expertsPerToken, tensorParallel / this.expertSlices, expertShareCv);
    }
    this.shapes = attentionShapes(model, tensorParallel);
  }

  /** Projections and MLPs of all layers, and the output head for the sampled tokens. */
  gemmUs(tokens: number, sampled: number): number {
    const { model, tensorParallel } = this;
    const layers = memoised(this.gemmMemo, tokens, () => this.layersGemmUs(tokens));
    return layers + this.gemm.us(sampled, Math.ceil(model.vocabSize / tensorParallel), model.hiddenSize, model.dtype);
  }

  /** All-reduces of all layers; 0 on one GPU. */
  collectiveUs(tokens: number): number {
    if (this.tensorParallel === 1 || tokens === 0) return 0;
    return memoised(this.collectiveMemo, tokens, () => {
      const bytes = tokens * this.model.hiddenSize * this.elementBytes;
      return this.model.layers * ALL_REDUCES_PER_LAYER * this.allReduceUs(bytes);
    });
  }

  /** Norms, rotary embedding, KV append, activation of all layers; embedding, last norm and sampling. */
  otherUs(tokens: number, sampled: number): number {
    if (tokens === 0) return 0;
    const { fixedUs, bytesPerLogit } = this.profile.sampler;
    const { memoryGBps } = this.profile.elementwise;
    // Every rank samples from the gathered logits of the whole vocabulary.
    const samplerUs =
      sampled === 0
        ? 0
        : fixedUs.value + (sampled * this.model.vocabSize * bytesPerLogit.value) / (memoryGBps.value * 1e3);
    return memoised(this.otherMemo, tokens, () => this.smallKernelsUs(tokens)) + samplerUs;
  }

  hostUs(requests: number): number {
    const { stepUs, requestUs } = this.profile.host;
    return stepUs.value + requests * requestUs.value;
  }

  private layersGemmUs(tokens: number): number {
    const { model, tensorParallel } = this;
    let projectionsUs = 0;
    for (const { n, k } of this.shapes) projectionsUs += this.gemm.us(tokens, n, k, this.weights);
    const moe = model.moe;
    const mlpUs = this.mlpUs(tokens, model.intermediateSize / tensorParallel);
    if (moe === undefined) return model.layers * (projectionsUs + mlpUs);
    const expertsUs =
      this.routedExpertsUs(tokens) +
      this.gemm.us(tokens, moe.experts, model.hiddenSize, model.dtype) +
      (moe.sharedExperts > 0
        ? this.mlpUs(tokens, (moe.sharedExperts * moe.expertIntermediateSize) / tensorParallel)
        : 0);
    return model.layers * projectionsUs + moe.denseLayers * mlpUs + (model.layers - moe.denseLayers) * expertsUs;
  }

  /** Gate and up projection as one GEMM, then the down projection. */
  private mlpUs(tokens: number, width: number): number {
    const { hiddenSize } = this.model;
    return (
      this.gemm.us(tokens, 2 * width, hiddenSize, this.weights) + this.gemm.us(tokens, hiddenSize, width, this.weights)
    );
  }

  /** Two grouped GEMMs over the experts that at least one token visits, on the rank with most to do. */
  private routedExpertsUs(tokens: number): number {
    const { model, weights } = this;
    const { visited, rows, paddedRows } = this.routing!.load(tokens);
    const width = model.moe!.expertIntermediateSize / this.expertSlices;
    let us = 0;
    for (const { n, k } of [
      { n: 2 * width, k: model.hiddenSize },
      { n: model.hiddenSize, k: width },
    ]) {
      us += this.gemm.rooflineUs(visited * n * k, rows * (n + k), 2 * paddedRows * n * k, weights);
    }
    return us;
  }

  private smallKernelsUs(tokens: number): number {
    const { model, tensorParallel, elementBytes } = this;
    const { fixedUs, memoryGBps } = this.profile.elementwise;
    const queryWidth = (model.queryHeads * model.headDim) / tensorParallel;
    const kvWidth =
      model.mla === undefined
        ? 2 * rankKvHeads(model, tensorParallel) * model.headDim
        : model.mla.kvRank + model.mla.ropeHeadDim;
    const activeWidth =
      model.moe === undefined
        ? model.intermediateSize
        : model.moe.expertIntermediateSize * (model.moe.expertsPerToken + model.moe.sharedExperts);
    const mlpWidth = activeWidth / tensorParallel;
    // Elements read and written: each residual-and-norm 2 + 2 hidden states, rotary embedding in place, KV append
    // in and out, activation two halves in and one out.
    const elementsPerToken = 2 * 4 * model.hiddenSize + 2 * (queryWidth + kvWidth / 2) + 2 * kvWidth + 3 * mlpWidth;
    const kernelsPerLayer =
      5 + (model.queryKeyNorm === true || model.mla !== undefined ? 1 : 0) + (model.moe === undefined ? 0 : 2);
    const layerUs =
      kernelsPerLayer * fixedUs.value + (tokens * elementsPerToken * elementBytes) / (memoryGBps.value * 1e3);
    // Embedding and last norm.
    const edgesUs = 2 * fixedUs.value + (tokens * 6 * model.hiddenSize * elementBytes) / (memoryGBps.value * 1e3);
    return model.layers * layerUs + edgesUs;
  }

  private allReduceUs(bytes: number): number {
    const gpus = this.tensorParallel;
    const table = this.profile.allReduce.find((candidate) => candidate.gpus === gpus);
    if (table !== undefined) return extrapolate(table.rows, bytes);
    // A ring sends 2·(g − 1)/g of the message over each link.
    const sent = (2 * (gpus - 1) * bytes) / gpus;
    return ALL_REDUCE_FIXED_US + sent / (this.profile.interconnectGBps.value * 1e3);
  }
}

/** GEMMs of the attention block on one rank. */
function attentionShapes(model: ModelConfig, tensorParallel: number): Shape[] {
  const { hiddenSize, queryHeads, headDim, mla } = model;
  const heads = queryHeads / tensorParallel;
  if (mla === undefined) {
    return [
      { n: (heads + 2 * rankKvHeads(model, tensorParallel)) * headDim, k: hiddenSize },
      { n: hiddenSize, k: heads * headDim },
    ];
  }
  const { queryRank, kvRank, ropeHeadDim, nopeHeadDim, valueHeadDim } = mla;
  const queryWidth = heads * (nopeHeadDim + ropeHeadDim);
  return [
    // Down projections are replicated; up projections of K and V are absorbed into the query and the output.
    { n: queryRank + kvRank + ropeHeadDim, k: hiddenSize },
    { n: queryWidth, k: queryRank > 0 ? queryRank : hiddenSize },
    { n: heads * kvRank, k: nopeHeadDim },
    { n: heads * valueHeadDim, k: kvRank },
    { n: hiddenSize, k: heads * valueHeadDim },
  ];
}

function memoised(memo: Float64Array, tokens: number, compute: () => number): number {
  if (tokens > MEMO_TOKENS) return compute();
  const known = memo[tokens]!;
  if (known >= 0) return known;
  const value = compute();
  memo[tokens] = value;
  return value;
}
