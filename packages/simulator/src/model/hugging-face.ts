// Reads a Hugging Face `config.json`: the field names of published models, turned into ours and checked.

import type { Dtype } from "@isochron/planner";
import { z } from "zod";
import { ARCHITECTURES } from "./architectures.ts";
import type { LatentAttention, MixtureOfExperts, ModelConfig } from "./model-config.ts";
import { storedWeights } from "./quantization.ts";
import { unmodelled } from "./unmodelled.ts";

const count = z.number().int().min(1);
const countOrNone = z.number().int().min(0);
const dtype = z.enum(["bfloat16", "float16", "float32"]);

// Other keys are the model's own business (rope, tokens, initialisation) and are left alone.
const configSchema = z.object({
  _name_or_path: z.string().optional(),
  model_type: z.string(),
  num_hidden_layers: count,
  hidden_size: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  intermediate_size: count,
  intermediate_size_mlp: count.nullish(),
  vocab_size: count,
  max_position_embeddings: count,
  sliding_window: countOrNone.nullish(),
  use_sliding_window: z.boolean().nullish(),
  layer_types: z.array(z.string()).nullish(),
  attention_chunk_size: count.nullish(),
  index_topk: count.nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  torch_dtype: dtype.nullish(),
  dtype: dtype.nullish(),
  quantization_config: z.unknown().optional(),
  num_local_experts: countOrNone.nullish(),
  num_experts: countOrNone.nullish(),
  n_routed_experts: countOrNone.nullish(),
  num_experts_per_tok: count.nullish(),
  moe_intermediate_size: count.nullish(),
  n_shared_experts: countOrNone.nullish(),
  shared_expert_intermediate_size: countOrNone.nullish(),
  first_k_dense_replace: countOrNone.nullish(),
  mlp_only_layers: z.array(countOrNone).nullish(),
  decoder_sparse_step: count.nullish(),
  interleave_moe_layer_step: count.nullish(),
  kv_lora_rank: count.nullish(),
  q_lora_rank: count.nullish(),
  qk_rope_head_dim: count.nullish(),
  qk_nope_head_dim: count.nullish(),
  v_head_dim: count.nullish(),
});

type Config = z.infer<typeof configSchema>;

const DTYPES: Readonly<Record<z.infer<typeof dtype>, Dtype>> = {
  bfloat16: "bf16",
  float16: "fp16",
  float32: "fp32",
};

/** A model description that cannot be used. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  /** Its name, or the file that describes it. */
  readonly model: string;
  readonly field: string;
  readonly found: string;

  constructor(model: string, field: string, found: string) {
    super(`${model.endsWith(".json") ? "" : "model "}${model}: ${field === "" ? "" : `${field} `}${found}`);
    this.model = model;
    this.field = field;
    this.found = found;
  }
}

/**
 * Turns the content of a `config.json` into a ModelConfig.
 * @param name short name, used where the file does not say whose weights it describes
 * @throws ModelError at the first field that is missing, has the wrong type or contradicts another
 */
export function parseModelConfig(json: unknown, name: string): ModelConfig {
  const { config, isPart } = readConfig(json, name);
  const queryHeads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? queryHeads;
  if (queryHeads % kvHeads !== 0) {
    throw new ModelError(name, "num_key_value_heads", `is ${kvHeads}, expected a divisor of ${queryHeads} query heads`);
  }
  if (config.head_dim == null && config.kv_lora_rank == null && config.hidden_size % queryHeads !== 0) {
    throw new ModelError(name, "head_dim", `is missing and hidden_size is no multiple of ${queryHeads} query heads`);
  }
  const stored = config.quantization_config == null ? undefined : storedWeights(config.quantization_config);
  if (config.quantization_config != null && stored === undefined) {
    throw new ModelError(
      name,
      "quantization_config",
      "is of a kind that is not modelled, expected 8-bit floating-point or 4-bit weights: take it out and choose the width of weights instead",
    );
  }
  const moe = mixtureOfExperts(config, name);
  const mla = latentAttention(config, name);
  const notes = [
    ...unmodelled(config, Object.hasOwn(ARCHITECTURES, config.model_type)),
    ...(isPart ? ["only the text model is modelled: no vision, no audio"] : []),
    ...(stored?.note === undefined ? [] : [stored.note]),
  ];
  return {
    name,
    huggingFaceId: config._name_or_path ?? name,
    layers: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    queryHeads,
    kvHeads,
    headDim:
      mla === undefined ? (config.head_dim ?? config.hidden_size / queryHeads) : mla.nopeHeadDim + mla.ropeHeadDim,
    intermediateSize: config.intermediate_size_mlp ?? config.intermediate_size,
    vocabSize: config.vocab_size,
    dtype: DTYPES[config.torch_dtype ?? config.dtype ?? "bfloat16"],
    maxContextTokens: config.max_position_embeddings,
    tiedEmbeddings: config.tie_word_embeddings ?? false,
    ...(config.model_type.startsWith("qwen3") ? { queryKeyNorm: true } : {}),
    ...(stored === undefined ? {} : { weightDtype: stored.dtype }),
    ...(moe === undefined ? {} : { moe }),
    ...(mla === undefined ? {} : { mla }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** The fields with what the architecture implies; of a model of several parts, those of its text. */
function readConfig(json: unknown, name: string): { readonly config: Config; readonly isPart: boolean } {
  const whole = z.record(z.string(), z.unknown()).safeParse(json).data ?? {};
  const text = z.record(z.string(), z.unknown()).safeParse(whole["text_config"]).data;
  // What says how the whole is stored stands outside its parts.
  const { quantization_config, torch_dtype, dtype } = whole;
  const found = text === undefined ? whole : { quantization_config, torch_dtype, dtype, ...text };
  const type = String(found["model_type"]);
  const architecture = Object.hasOwn(ARCHITECTURES, type) ? ARCHITECTURES[type] : undefined;
  if (architecture?.refusal !== undefined) {
    throw new ModelError(name, "model_type", `is ${type}: ${architecture.refusal}`);
  }
  const parsed = configSchema.safeParse({ ...architecture?.defaults, ...found });
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.join(".");
    const isMissing = found[field] === undefined;
    const problem = isMissing ? "is missing" : `is ${JSON.stringify(found[field])} (${issue.message})`;
    throw new ModelError(name, field, `${problem}, expected the config.json of a decoder as on Hugging Face`);
  }
  const others = parsed.data.layer_types?.find((kind) => !ATTENTION_LAYERS.has(kind));
  if (others !== undefined) {
    throw new ModelError(name, "layer_types", `has ${others}, expected ${[...ATTENTION_LAYERS].join(", ")}`);
  }
  return { config: parsed.data, isPart: text !== undefined };
}

const ATTENTION_LAYERS: ReadonlySet<string> = new Set(["full_attention", "sliding_attention", "chunked_attention"]);

function mixtureOfExperts(config: Config, name: string): MixtureOfExperts | undefined {
  const experts = config.num_local_experts ?? config.num_experts ?? config.n_routed_experts ?? 0;
  if (experts <= 1) return undefined;
  if (config.num_experts_per_tok == null || config.num_experts_per_tok > experts) {
    const found = config.num_experts_per_tok == null ? "is missing" : `is ${config.num_experts_per_tok}`;
    throw new ModelError(
      name,
      "num_experts_per_tok",
      `${found}, expected how many of ${experts} experts a token visits`,
    );
  }
  const expertIntermediateSize = config.moe_intermediate_size ?? config.intermediate_size;
  return {
    experts,
    expertsPerToken: config.num_experts_per_tok,
    expertIntermediateSize,
    sharedExperts: config.n_shared_experts ?? (config.shared_expert_intermediate_size ?? 0) / expertIntermediateSize,
    denseLayers: denseLayers(config),
  };
}

/** Layers that keep a dense MLP: the first ones, those that are named, or all but every so-manyth. */
function denseLayers(config: Config): number {
  const layers = config.num_hidden_layers;
  const step = config.decoder_sparse_step ?? config.interleave_moe_layer_step ?? 1;
  const named = new Set([...(config.mlp_only_layers ?? []), ...Array(config.first_k_dense_replace ?? 0).keys()]);
  return Array.from({ length: layers }, (_, i) => named.has(i) || (i + 1) % step !== 0).filter(Boolean).length;
}

function latentAttention(config: Config, name: string): LatentAttention | undefined {
  if (config.kv_lora_rank == null) return undefined;
  const width = (field: "qk_rope_head_dim" | "qk_nope_head_dim" | "v_head_dim"): number => {
    const found = config[field];
    if (found == null) throw new ModelError(name, field, "is missing, expected it with kv_lora_rank");
    return found;
  };
  return {
    queryRank: config.q_lora_rank ?? 0,
    kvRank: config.kv_lora_rank,
    ropeHeadDim: width("qk_rope_head_dim"),
    nopeHeadDim: width("qk_nope_head_dim"),
    valueHeadDim: width("v_head_dim"),
  };
}
