// A decoder-only transformer, as far as its serving cost goes. Sizes are in elements, lengths in tokens.

import type { AttentionShape, Dtype, KvDtype } from "@isochron/planner";

/** Of the matrices in projections and MLPs: fp8 with scales per block, int4 in groups with a 16-bit scale each. */
export type WeightDtype = Dtype | "fp8" | "int4";

/** Routed experts in place of the dense MLP. */
export interface MixtureOfExperts {
  readonly experts: number;
  readonly expertsPerToken: number;
  /** Width of one expert. */
  readonly expertIntermediateSize: number;
  /** Experts that every token visits, in units of one routed expert. */
  readonly sharedExperts: number;
  /** Layers at the bottom that keep the dense MLP. */
  readonly denseLayers: number;
}

/** Multi-head latent attention: one latent vector per token in place of K and V heads. */
export interface LatentAttention {
  /** Width of the compressed query; 0 where queries are projected directly. */
  readonly queryRank: number;
  readonly kvRank: number;
  readonly ropeHeadDim: number;
  readonly nopeHeadDim: number;
  readonly valueHeadDim: number;
}

export interface ModelConfig {
  /** Short name: `llama-3.1-8b`. */
  readonly name: string;
  /** Where the weights live: `meta-llama/Llama-3.1-8B`. */
  readonly huggingFaceId: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  /** Of queries and keys, before latent attention absorbs anything. */
  readonly headDim: number;
  /** Width of the gated MLP. */
  readonly intermediateSize: number;
  readonly vocabSize: number;
  /** Of activations, embedding, output head, norms and routers; of the rest too unless said otherwise. */
  readonly dtype: Dtype;
  /** Of projections and MLPs; dtype unless given. */
  readonly weightDtype?: WeightDtype;
  /** Of the KV cache; dtype unless given. */
  readonly kvDtype?: KvDtype;
  readonly maxContextTokens: number;
  /** Whether the output head is the embedding table. */
  readonly tiedEmbeddings: boolean;
  /** Whether queries and keys pass a norm of headDim weights of their own (Qwen3). */
  readonly queryKeyNorm?: boolean;
  readonly moe?: MixtureOfExperts;
  readonly mla?: LatentAttention;
  /** What of its description is not modelled, for the warnings of reports. */
  readonly notes?: readonly string[];
}

/** The same model with weights or KV cache stored otherwise; undefined leaves them as they are. */
export function withPrecision(
  model: ModelConfig,
  { weights, kv }: { readonly weights?: WeightDtype | undefined; readonly kv?: KvDtype | undefined },
): ModelConfig {
  return {
    ...model,
    ...(weights === undefined ? {} : { weightDtype: weights }),
    ...(kv === undefined ? {} : { kvDtype: kv }),
  };
}

/**
 * The attention of one layer as one rank of a tensor-parallel group sees it. Where there are more ranks than KV heads,
 * every rank holds one. Latent attention runs absorbed: one KV head as wide as the latent and its rotary part, whose front
 * is also the value, so a token's cache is read once for all query heads.
 */
export function rankAttention(model: ModelConfig, tensorParallel: number, pageSize: number): AttentionShape {
  const { mla, dtype } = model;
  const shape = {
    queryHeads: model.queryHeads / tensorParallel,
    dtype,
    kvDtype: model.kvDtype ?? dtype,
    pageSize,
    mask: { kind: "causal" } as const,
  };
  if (mla === undefined) return { ...shape, kvHeads: rankKvHeads(model, tensorParallel), headDim: model.headDim };
  return { ...shape, kvHeads: 1, headDim: mla.kvRank + mla.ropeHeadDim, valueHeadDim: mla.kvRank };
}

/** KV heads that one rank of a tensor-parallel group holds. */
export function rankKvHeads(model: ModelConfig, tensorParallel: number): number {
  return Math.max(1, model.kvHeads / tensorParallel);
}
