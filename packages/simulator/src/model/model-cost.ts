// What a model weighs and what a token costs, in bytes and flops. Exact counts from the published shapes; a test holds
// the parameter counts against the published ones.

import type { KvDtype } from "@isochron/planner";
import { type ModelConfig, rankKvHeads, type WeightDtype } from "./model-config.ts";
import { type ModelStage, wholeModel } from "./model-stages.ts";

export const DTYPE_BYTES: Readonly<Record<KvDtype, number>> = { bf16: 2, fp16: 2, fp32: 4, fp8_e4m3: 1, fp8_e5m2: 1 };

/**
 * Bytes of one weight with its share of the scales: fp8 has a 32-bit scale for each block of 128 × 128 (DeepSeek-V3's
 * weight_block_size), int4 a 16-bit one for each group of 128 (the group size that GPTQ and AWQ checkpoints are published
 * with).
 */
export const WEIGHT_BYTES: Readonly<Record<WeightDtype, number>> = {
  bf16: 2,
  fp16: 2,
  fp32: 4,
  fp8: 1 + 4 / 128 ** 2,
  int4: 0.5 + 2 / 128,
};

/** Bytes of one weight of the model's projections and MLPs. */
export function weightBytes(model: ModelConfig): number {
  return WEIGHT_BYTES[model.weightDtype ?? model.dtype];
}

/** Parameters by what a tensor-parallel group does with them. */
interface ParameterCounts {
  /** Embedding and head: split evenly, as wide as activations. */
  readonly embeddings: number;
  /** Q and output projections, MLPs, experts: split evenly. */
  readonly split: number;
  /** Routed experts among them. */
  readonly routed: number;
  /** K and V projections of one KV head: a rank has those of its KV heads. */
  readonly perKvHead: number;
  /** Norms and routers: every rank has all of them. */
  readonly replicated: number;
}

/** All parameters of the model. */
export function parameterCount(model: ModelConfig): number {
  const counts = countParameters(model, wholeModel(model));
  return counts.embeddings + counts.split + counts.perKvHead * model.kvHeads + counts.replicated;
}

/**
 * Bytes of weights on each rank of a tensor-parallel group: of the whole model, or of one stage of a pipeline. Routed experts
 * may be spread over more GPUs than the group has.
 */
export function rankWeightBytes(
  model: ModelConfig,
  tensorParallel: number,
  stage: ModelStage = wholeModel(model),
  expertParallel: number = tensorParallel,
): number {
  const counts = countParameters(model, stage);
  const elsewhere = counts.routed * (1 / tensorParallel - 1 / expertParallel);
  const matrices = counts.split / tensorParallel - elsewhere + counts.perKvHead * rankKvHeads(model, tensorParallel);
  const others = counts.embeddings / tensorParallel + counts.replicated;
  return Math.ceil(matrices * weightBytes(model) + others * DTYPE_BYTES[model.dtype]);
}

/** Bytes of the routed experts on each of the GPUs that they are spread over: no step reads those that no token visits. */
export function rankExpertBytes(model: ModelConfig, gpus: number): number {
  const { moe } = model;
  if (moe === undefined) return 0;
  const parameters = (model.layers - moe.denseLayers) * moe.experts * 3 * model.hiddenSize * moe.expertIntermediateSize;
  return (parameters * weightBytes(model)) / gpus;
}

/** Bytes of KV cache that one token takes on each rank of a tensor-parallel group: all layers, or those of one stage. */
export function rankKvBytesPerToken(
  model: ModelConfig,
  tensorParallel: number,
  stage: ModelStage = wholeModel(model),
): number {
  const elements =
    model.mla === undefined
      ? 2 * rankKvHeads(model, tensorParallel) * model.headDim
      : model.mla.kvRank + model.mla.ropeHeadDim;
  return stage.layers * elements * DTYPE_BYTES[model.kvDtype ?? model.dtype];
}

/** Flops of one token outside attention and output head: two for each weight that it is multiplied with. */
export function flopsPerToken(model: ModelConfig): number {
  const { moe } = model;
  const dense = 3 * model.hiddenSize * model.intermediateSize;
  const mlps =
    moe === undefined
      ? model.layers * dense
      : moe.denseLayers * dense +
        (model.layers - moe.denseLayers) *
          model.hiddenSize *
          (moe.experts + 3 * (moe.expertsPerToken + moe.sharedExperts) * moe.expertIntermediateSize);
  return 2 * (model.layers * (projectionParameters(model) + keyValueParameters(model) * model.kvHeads) + mlps);
}

/** Flops of the output head for one sampled token. */
export function headFlops(model: ModelConfig): number {
  return 2 * model.hiddenSize * model.vocabSize;
}

/** Flops of one (query token, KV token) pair in the attention of all layers: scores and weighted values. */
export function attentionFlopsPerPair(model: ModelConfig): number {
  const { mla } = model;
  const width = mla === undefined ? 2 * model.headDim : mla.nopeHeadDim + mla.ropeHeadDim + mla.valueHeadDim;
  return 2 * model.layers * model.queryHeads * width;
}

function countParameters(model: ModelConfig, stage: ModelStage): ParameterCounts {
  const { moe, hiddenSize } = model;
  const { layers, denseLayers, hasEmbedding, hasHead } = stage;
  const dense = 3 * hiddenSize * model.intermediateSize;
  const moeLayers = layers - denseLayers;
  const expert = moe === undefined ? 0 : 3 * hiddenSize * moe.expertIntermediateSize;
  const experts = moe === undefined ? 0 : (moe.experts + moe.sharedExperts) * expert;
  const tables = (hasEmbedding ? 1 : 0) + (hasHead ? 1 : 0);
  const embeddings = hiddenSize * model.vocabSize * (model.tiedEmbeddings ? Math.min(1, tables) : tables);
  const norms = 2 * hiddenSize + (model.queryKeyNorm ? 2 * model.headDim : 0) + latentNorms(model);
  return {
    embeddings,
    split: layers * projectionParameters(model) + denseLayers * dense + moeLayers * experts,
    routed: moeLayers * (moe?.experts ?? 0) * expert,
    perKvHead: layers * keyValueParameters(model),
    replicated: layers * norms + moeLayers * hiddenSize * (moe?.experts ?? 0) + (hasHead ? hiddenSize : 0),
  };
}

/** Norms of the compressed query and of the latent. */
function latentNorms({ mla }: ModelConfig): number {
  return mla === undefined ? 0 : mla.queryRank + mla.kvRank;
}

/** Q and output projections of one layer (with MLA: all of its projections). */
function projectionParameters(model: ModelConfig): number {
  const { hiddenSize, queryHeads, mla } = model;
  if (mla === undefined) return 2 * hiddenSize * queryHeads * model.headDim;
  const queryWidth = queryHeads * (mla.nopeHeadDim + mla.ropeHeadDim);
  const query = mla.queryRank > 0 ? mla.queryRank * (hiddenSize + queryWidth) : hiddenSize * queryWidth;
  const down = hiddenSize * (mla.kvRank + mla.ropeHeadDim);
  const up = mla.kvRank * queryHeads * (mla.nopeHeadDim + mla.valueHeadDim);
  return query + down + up + queryHeads * mla.valueHeadDim * hiddenSize;
}

/** K and V projections of one KV head in one layer. */
function keyValueParameters(model: ModelConfig): number {
  return model.mla === undefined ? 2 * model.hiddenSize * model.headDim : 0;
}
