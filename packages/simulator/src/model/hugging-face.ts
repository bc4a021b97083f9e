// Reads a Hugging Face `config.json`: the field names of published models, turned into ours and checked.

import type { Dtype } from "@isochron/planner";
import { z } from "zod";
import type { LatentAttention, MixtureOfExperts, ModelConfig, WeightDtype } from "./model-config.ts";

const count = z.number().int().min(1);

// Other keys are the model's own business (rope, tokens, initialisation) and are left alone.
const configSchema = z.object({
  _name_or_path: z.string().optional(),
  model_type: z.string(),
  num_hidden_layers: count,
  hidden_size: count,
  num_attention_heads: count,
  num_key_value_heads: count.optional(),
  head_dim: count.nullish(),
  intermediate_size: count,
  vocab_size: count,
  max_position_embeddings: count,
  tie_word_embeddings: z.boolean().optional(),
  torch_dtype: z.enum(["bfloat16", "float16", "float32"]).optional(),
  dtype: z.enum(["bfloat16", "float16", "float32"]).optional(),
  quantization_config: z.unknown().optional(),
  num_local_experts: count.optional(),
  num_experts: count.optional(),
  n_routed_experts: count.optional(),
  num_experts_per_tok: count.nullish(),
  moe_intermediate_size: count.optional(),
  n_shared_experts: z.number().int().min(0).nullish(),
  first_k_dense_replace: z.number().int().min(0).optional(),
  kv_lora_rank: count.optional(),
  q_lora_rank: count.nullish(),
  qk_rope_head_dim: count.optional(),
  qk_nope_head_dim: count.optional(),
  v_head_dim: count.optional(),
});

type Config = z.infer<typeof configSchema>;

const DTYPES: Readonly<Record<"bfloat16" | "float16" | "float32", Dtype>> = {
  bfloat16: "bf16",
  float16: "fp16",
  float32: "fp32",
};

/** A model description that cannot be used. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  readonly model: string;
  readonly field: string;

  constructor(model: string, field: string, found: string) {
    super(`model ${model}: ${field === "" ? "" : `${field}: `}${found}`);
    this.model = model;
    this.field = field;
  }
}

/**
 * Turns the content of a `config.json` into a ModelConfig.
 * @param name short name, used where the file does not say whose weights it describes
 * @throws ModelError at the first field that is missing, has the wrong type or contradicts another
 */
export function parseModelConfig(json: unknown, name: string): ModelConfig {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new ModelError(name, issue.path.join("."), `${issue.message} (a Hugging Face config.json is expected)`);
  }
  const config = parsed.data;
  const queryHeads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? queryHeads;
  if (queryHeads % kvHeads !== 0) {
    throw new ModelError(name, "num_key_value_heads", `is ${kvHeads}, expected a divisor of ${queryHeads} query heads`);
  }
  if (config.head_dim == null && config.kv_lora_rank === undefined && config.hidden_size % queryHeads !== 0) {
    throw new ModelError(name, "head_dim", `is missing and hidden_size is no multiple of ${queryHeads} query heads`);
  }
  const weightDtype = quantizedWeights(config.quantization_config, name);
  const moe = mixtureOfExperts(config);
  const mla = latentAttention(config);
  return {
    name,
    huggingFaceId: config._name_or_path ?? name,
    layers: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    queryHeads,
    kvHeads,
    headDim:
      mla === undefined ? (config.head_dim ?? config.hidden_size / queryHeads) : mla.nopeHeadDim + mla.ropeHeadDim,
    intermediateSize: config.intermediate_size,
    vocabSize: config.vocab_size,
    dtype: DTYPES[config.torch_dtype ?? config.dtype ?? "bfloat16"],
    maxContextTokens: config.max_position_embeddings,
    tiedEmbeddings: config.tie_word_embeddings ?? false,
    ...(config.model_type.startsWith("qwen3") ? { queryKeyNorm: true } : {}),
    ...(weightDtype === undefined ? {} : { weightDtype }),
    ...(moe === undefined ? {} : { moe }),
    ...(mla === undefined ? {} : { mla }),
  };
}

const quantizationSchema = z.object({ quant_method: z.string(), bits: z.number().optional() });

/** Undefined where weights are as wide as activations. */
function quantizedWeights(quantization: unknown, name: string): WeightDtype | undefined {
  if (quantization == null) return undefined;
  const found = quantizationSchema.safeParse(quantization).data;
  if (found?.quant_method === "fp8" || found?.quant_method === "fbgemm_fp8") return "fp8";
  if ((found?.quant_method === "gptq" || found?.quant_method === "awq") && (found.bits ?? 4) === 4) return "int4";
  throw new ModelError(
    name,
    "quantization_config",
    "only quant_method fp8, and gptq or awq of 4 bits, are modelled: take it out and choose the width of weights instead",
  );
}

function mixtureOfExperts(config: Config): MixtureOfExperts | undefined {
  const experts = config.num_local_experts ?? config.num_experts ?? config.n_routed_experts;
  if (experts === undefined || config.num_experts_per_tok == null) return undefined;
  return {
    experts,
    expertsPerToken: config.num_experts_per_tok,
    expertIntermediateSize: config.moe_intermediate_size ?? config.intermediate_size,
    sharedExperts: config.n_shared_experts ?? 0,
    denseLayers: config.first_k_dense_replace ?? 0,
  };
}

function latentAttention(config: Config): LatentAttention | undefined {
  if (config.kv_lora_rank === undefined) return undefined;
  return {
    queryRank: config.q_lora_rank ?? 0,
    kvRank: config.kv_lora_rank,
    ropeHeadDim: config.qk_rope_head_dim ?? 0,
    nopeHeadDim: config.qk_nope_head_dim ?? 0,
    valueHeadDim: config.v_head_dim ?? 0,
  };
}
