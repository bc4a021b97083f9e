// What a model weighs and what a token costs, in bytes and flops. Exact counts from the published shapes; a test holds
// the parameter counts against the published ones.

import type { Dtype } from "@isochron/planner";
import { type ModelConfig, rankKvHeads } from "./model-config.ts";

export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = { bf16: 2, fp16: 2, fp32: 4 };

/** Parameters by what a tensor-parallel group does with them. */
interface ParameterCounts {
  /** Q and output projections, MLP, embedding, head: split evenly. */
  readonly split: number;
  /** K and V projections of one KV head: a rank has those of its KV heads. */
  readonly perKvHead: number;
  /** Norms and routers: every rank has all of them. */
  readonly replicated: number;
}

/** All parameters of the model. */
export function parameterCount(model: ModelConfig): number {
  const counts = countParameters(model);
  return counts.split + counts.perKvHead * model.kvHeads + counts.replicated;
}

/** Bytes of weights on each rank of a tensor-parallel group. */
export function rankWeightBytes(model: ModelConfig, tensorParallel: number): number {
  const counts = countParameters(model);
  const parameters =
    counts.split / tensorParallel + counts.perKvHead * rankKvHeads(model, tensorParallel) + counts.replicated;
  return Math.ceil(parameters) * DTYPE_BYTES[model.dtype];
}

/** Bytes of KV cache that one token takes on each rank of a tensor-parallel group, all layers. */
export function rankKvBytesPerToken(model: ModelConfig, tensorParallel: number): number {
  const elements =
    model.mla === undefined
      ? 2 * rankKvHeads(model, tensorParallel) * model.headDim
      : model.mla.kvRank + model.mla.ropeHeadDim;
  return model.layers * elements * DTYPE_BYTES[model.dtype];
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

function countParameters(model: ModelConfig): ParameterCounts {
  const { moe, hiddenSize } = model;
  const dense = 3 * hiddenSize * model.intermediateSize;
  const moeLayers = moe === undefined ? 0 : model.layers - moe.denseLayers;
  const experts =
    moe === undefined ? 0 : (moe.experts + moe.sharedExperts) * 3 * hiddenSize * moe.expertIntermediateSize;
  const embeddings = hiddenSize * model.vocabSize * (model.tiedEmbeddings ? 1 : 2);
  const norms = 2 * hiddenSize + (model.queryKeyNorm ? 2 * model.headDim : 0);
  return {
    split:
      embeddings +
      model.layers * projectionParameters(model) +
      (model.layers - moeLayers) * dense +
      moeLayers * experts,
    perKvHead: model.layers * keyValueParameters(model),
    replicated: model.layers * norms + moeLayers * hiddenSize * (moe?.experts ?? 0) + hiddenSize,
  };
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
