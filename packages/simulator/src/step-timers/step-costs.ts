// Everything of a step but attention, on one rank of a tensor-parallel group (all ranks do the same, or wait for the one
// with the busiest experts), in one stage of a pipeline: projections and MLP of every layer, the output head for sampled
// tokens, two all-reduces per layer (or one, and all-to-alls of the experts), small kernels, host time.
//
// Each is a function of the number of tokens, of sampled tokens or of requests. The per-token ones are memoised by
// token count: the same numbers, found once.

import type { GpuProfile } from "../gpu/profile.ts";
import type { ModelConfig, WeightDtype } from "../model/model-config.ts";
import { rankKvHeads } from "../model/model-config.ts";
import { DTYPE_BYTES } from "../model/model-cost.ts";
import type { ModelStage } from "../model/model-stages.ts";
import { ExpertExchange } from "./expert-exchange.ts";
import { EXPERT_SHARE_CV, ExpertRouting } from "./expert-routing.ts";
import { GemmTimes } from "./gemm-times.ts";
import { LinkTimes } from "./link-times.ts";
import { TokenMemo } from "./token-memo.ts";

/** All-reduces of one layer: after the output projection and after the MLP, unless all-to-alls take the latter's place. */
const ALL_REDUCES_PER_LAYER = 2;

/** How the experts of a mixture are placed and used. */
export interface ExpertOptions {
  /**
   * GPUs with whole experts on each, instead of a slice of every expert on each of tensorParallel: these, whose activations
   * are all-reduced either way, or those of several replicas that step together, with all-to-alls between them.
   */
  readonly expertParallel?: number | undefined;
  /** Coefficient of variation of the experts' shares of the tokens; 0 is even. EXPERT_SHARE_CV unless given. */
  readonly expertShareCv?: number | undefined;
}

/** What an engine's host does in every step. */
export interface HostTime {
  readonly stepUs: number;
  readonly requestUs: number;
  /** More in a step that computes prompts: no graph replays it, so that every kernel is launched by itself. Default 0. */
  readonly promptStepUs?: number | undefined;
  /**
   * The host prepares the next step while the GPU computes this one. Default false. A replay that schedules asynchronously has
   * them overlap by itself: this is for engines whose scheduler is not modelled.
   */
  readonly overlaps?: boolean | undefined;
}

export interface StepCostOptions extends ExpertOptions {
  /** Stages of a pipeline that the layers are split over, each on GPUs of its own. Default 1. */
  readonly pipelineParallel?: number | undefined;
  /** The engine's host; the profile's unless given. */
  readonly host?: HostTime | undefined;
}

interface Shape {
  readonly n: number;
  readonly k: number;
}

export class StepCosts {
  readonly model: ModelConfig;
  readonly profile: GpuProfile;
  readonly tensorParallel: number;
  readonly stage: ModelStage;
  private readonly gemm: GemmTimes;
  private readonly links: LinkTimes;
  /** Of activations. */
  private readonly elementBytes: number;
  private readonly weights: WeightDtype;
  /** GPUs that share one expert. */
  private readonly expertSlices: number;
  private readonly routing: ExpertRouting | undefined;
  /** Undefined where every expert is on the GPUs that share its layer's attention. */
  private readonly exchange: ExpertExchange | undefined;
  private readonly shapes: readonly Shape[];
  private readonly layersGemm = new TokenMemo((tokens) => this.layersGemmUs(tokens));
  private readonly head = new TokenMemo((sampled) => this.headUs(sampled));
  private readonly smallKernels = new TokenMemo((tokens) => this.smallKernelsUs(tokens));
  private readonly layersCollective = new TokenMemo((tokens) => this.layersCollectiveUs(tokens));
  private readonly spreadExperts = new TokenMemo((groupTokens) => this.spreadExpertsUs(groupTokens));
  private readonly host: HostTime;
  private readonly samplerFixedUs: number;
  /** Logits read for one token: every rank samples from the gathered logits of the whole vocabulary. */
  private readonly samplerBytes: number;
  private readonly elementwiseBytesPerUs: number;

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    stage: ModelStage,
    options: StepCostOptions,
  ) {
    this.model = model;
    this.profile = profile;
    this.tensorParallel = tensorParallel;
    this.stage = stage;
    this.links = new LinkTimes(profile);
    this.host = options.host ?? { stepUs: profile.host.stepUs.value, requestUs: profile.host.requestUs.value };
    this.samplerFixedUs = profile.sampler.fixedUs.value;
    this.samplerBytes = model.vocabSize * profile.sampler.bytesPerLogit.value;
    this.elementwiseBytesPerUs = profile.elementwise.memoryGBps.value * 1e3;
    this.gemm = new GemmTimes(profile);
    this.elementBytes = DTYPE_BYTES[model.dtype];
    this.weights = model.weightDtype ?? model.dtype;
    const { expertParallel, expertShareCv = EXPERT_SHARE_CV } = options;
    this.expertSlices = expertParallel === undefined ? tensorParallel : 1;
    if (model.moe !== undefined) {
      const { experts, expertsPerToken } = model.moe;
      this.routing = new ExpertRouting(experts, expertsPerToken, expertParallel ?? 1, expertShareCv);
      if (this.routing.ranks > tensorParallel) {
        this.exchange = new ExpertExchange(model, this.links, this.routing, tensorParallel);
      }
    }
    this.shapes = attentionShapes(model, tensorParallel);
  }

  /** Projections and MLPs of the stage's layers, and the output head for the sampled tokens. `groupTokens`: of all replicas. */
  gemmUs(tokens: number, sampled: number, groupTokens: number): number {
    const ownUs = this.layersGemm.of(tokens) + this.head.of(sampled);
    return this.exchange === undefined ? ownUs : ownUs + this.spreadExperts.of(groupTokens);
  }

  /** The routed experts of the stage's layers where they are spread over the GPUs of several replicas. */
  private spreadExpertsUs(groupTokens: number): number {
    const { layers, denseLayers } = this.stage;
    return (layers - denseLayers) * this.routedExpertsUs(groupTokens);
  }

  private headUs(sampled: number): number {
    const { model, tensorParallel } = this;
    if (!this.stage.hasHead) return 0;
    return this.gemm.us(sampled, Math.ceil(model.vocabSize / tensorParallel), model.hiddenSize, model.dtype);
  }

  /** What the GPUs of the stage's layers send one another. `groupTokens`, `mostTokens`: of all replicas, as in StepGroup. */
  collectiveUs(tokens: number, groupTokens: number, mostTokens: number): number {
    const ownUs = this.ownCollectiveUs(tokens);
    if (this.exchange === undefined) return ownUs;
    return ownUs + (this.stage.layers - this.stage.denseLayers) * this.exchange.us(groupTokens, mostTokens);
  }

  /** Among those that share attention; 0 on one GPU. */
  private ownCollectiveUs(tokens: number): number {
    if (this.tensorParallel === 1 || tokens === 0) return 0;
    return this.layersCollective.of(tokens);
  }

  private layersCollectiveUs(tokens: number): number {
    const { stage, exchange } = this;
    const bytes = tokens * this.model.hiddenSize * this.elementBytes;
    const allReduceUs = this.links.allReduceUs(this.tensorParallel, bytes);
    if (exchange === undefined) return stage.layers * ALL_REDUCES_PER_LAYER * allReduceUs;
    const spreadLayers = stage.layers - stage.denseLayers;
    return (
      (stage.layers * ALL_REDUCES_PER_LAYER - spreadLayers) * allReduceUs + spreadLayers * exchange.gatherUs(tokens)
    );
  }

  /** Norms, rotary embedding, KV append, activation of the stage's layers; embedding, last norm and sampling where it has them. */
  otherUs(tokens: number, sampled: number): number {
    if (tokens === 0) return 0;
    const samplerUs =
      sampled === 0 || !this.stage.hasHead
        ? 0
        : this.samplerFixedUs + (sampled * this.samplerBytes) / this.elementwiseBytesPerUs;
    return this.smallKernels.of(tokens) + samplerUs;
  }

  /** What of the host's work the GPU waits for: all of it, or what is longer than a step of gpuUs where they overlap. */
  hostUs(requests: number, tokens: number, gpuUs: number): number {
    const { stepUs, requestUs, promptStepUs = 0, overlaps } = this.host;
    const us = stepUs + requests * requestUs + (tokens > requests ? promptStepUs : 0);
    return overlaps === true ? Math.max(0, us - gpuUs) : us;
  }

  private layersGemmUs(tokens: number): number {
    const { model, tensorParallel } = this;
    const { layers, denseLayers } = this.stage;
    let projectionsUs = 0;
    for (const { n, k } of this.shapes) projectionsUs += this.gemm.us(tokens, n, k, this.weights);
    const moe = model.moe;
    const mlpUs = this.mlpUs(tokens, model.intermediateSize / tensorParallel);
    if (moe === undefined) return layers * (projectionsUs + mlpUs);
    const expertsUs =
      (this.exchange === undefined ? this.routedExpertsUs(tokens) : 0) +
      this.gemm.us(tokens, moe.experts, model.hiddenSize, model.dtype) +
      (moe.sharedExperts > 0
        ? this.mlpUs(tokens, (moe.sharedExperts * moe.expertIntermediateSize) / tensorParallel)
        : 0);
    return layers * projectionsUs + denseLayers * mlpUs + (layers - denseLayers) * expertsUs;
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
    const { model, stage, tensorParallel, elementBytes } = this;
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
    // Embedding, a row in and out; last norm, two rows in and two out.
    const edgeKernels = (stage.hasEmbedding ? 1 : 0) + (stage.hasHead ? 1 : 0);
    const edgeElements = (stage.hasEmbedding ? 2 : 0) + (stage.hasHead ? 4 : 0);
    const edgesUs =
      edgeKernels * fixedUs.value +
      (tokens * edgeElements * model.hiddenSize * elementBytes) / (memoryGBps.value * 1e3);
    return stage.layers * layerUs + edgesUs;
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
