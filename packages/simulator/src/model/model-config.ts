// A decoder-only transformer, as far as its serving cost goes. Sizes are in elements, lengths in tokens.

import type { AttentionShape, Dtype } from "@isochron/planner";

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
  readonly headDim: number;
  /** Width of the gated MLP. */
  readonly intermediateSize: number;
  readonly vocabSize: number;
  /** Of weights, activations and KV cache. */
  readonly dtype: Dtype;
  readonly maxContextTokens: number;
  /** Whether the output head is the embedding table. */
  readonly tiedEmbeddings: boolean;
  /** Whether queries and keys pass a norm of headDim weights of their own (Qwen3). */
  readonly queryKeyNorm?: boolean;
  readonly moe?: MixtureOfExperts;
  readonly mla?: LatentAttention;
}

/**
 * The attention of one layer as one rank of a tensor-parallel group sees it. Where there are more ranks than KV heads,
 * every rank holds one.
 */
export function rankAttention(model: ModelConfig, tensorParallel: number, pageSize: number): AttentionShape {
  return {
    queryHeads: model.queryHeads / tensorParallel,
    kvHeads: rankKvHeads(model, tensorParallel),
    headDim: model.headDim,
    dtype: model.dtype,
    kvDtype: model.dtype,
    pageSize,
    mask: { kind: "causal" },
  };
}

/** KV heads that one rank of a tensor-parallel group holds. */
export function rankKvHeads(model: ModelConfig, tensorParallel: number): number {
  return Math.max(1, model.kvHeads / tensorParallel);
}
