// The config.json files that engineers have: the fields of published models that decide what serving costs, with what the
// publishers say of their size.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  findModel,
  type ModelConfig,
  ModelError,
  parameterCount,
  parseModelConfig,
  rankKvBytesPerToken,
  rankWeightBytes,
} from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Hidden size, layers, query and KV heads, MLP, vocabulary, context. */
function fields(...[hidden, layers, heads, kvHeads, mlp, vocabulary, context]: number[]): Record<string, unknown> {
  return {
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    intermediate_size: mlp,
    vocab_size: vocabulary,
    max_position_embeddings: context,
  };
}

const LLAMA_4_SCOUT = {
  model_type: "llama4",
  text_config: {
    model_type: "llama4_text",
    ...fields(5120, 48, 40, 8, 8192, 202_048, 10_485_760),
    head_dim: 128,
    intermediate_size_mlp: 16_384,
    num_local_experts: 16,
    num_experts_per_tok: 1,
    interleave_moe_layer_step: 1,
    attention_chunk_size: 8192,
  },
  vision_config: {},
};

const GPT_OSS_20B = {
  model_type: "gpt_oss",
  ...fields(2880, 24, 64, 8, 2880, 201_088, 131_072),
  head_dim: 64,
  num_local_experts: 32,
  num_experts_per_tok: 4,
  experts_per_token: 4,
  sliding_window: 128,
  layer_types: Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? "sliding_attention" : "full_attention")),
  tie_word_embeddings: false,
  quantization_config: { quant_method: "mxfp4", modules_to_not_convert: ["model.layers.*.self_attn"] },
};

describe("config.json of a published model", () => {
  it.each<[string, object, number, Partial<ModelConfig>, (string | RegExp)[]]>([
    [
      "Meta-Llama-3-8B",
      {
        model_type: "llama",
        ...fields(4096, 32, 32, 8, 14_336, 128_256, 8192),
        torch_dtype: "bfloat16",
        pretraining_tp: 1,
      },
      8.03e9,
      { headDim: 128, tiedEmbeddings: false },
      [],
    ],
    [
      "Llama-3.2-1B",
      {
        model_type: "llama",
        ...fields(2048, 16, 32, 8, 8192, 128_256, 131_072),
        head_dim: 64,
        tie_word_embeddings: true,
      },
      1.236e9,
      { headDim: 64, tiedEmbeddings: true },
      [],
    ],
    [
      "Mistral-7B-v0.1",
      { model_type: "mistral", ...fields(4096, 32, 32, 8, 14_336, 32_000, 32_768), sliding_window: 4096 },
      7.24e9,
      {},
      [/window of 4,096 tokens is not modelled/],
    ],
    [
      "Qwen2.5-7B",
      {
        model_type: "qwen2",
        ...fields(3584, 28, 28, 4, 18_944, 152_064, 131_072),
        sliding_window: 131_072,
        use_sliding_window: false,
        max_window_layers: 28,
      },
      7.62e9,
      { headDim: 128 },
      [],
    ],
    [
      "Qwen1.5-MoE-A2.7B",
      {
        model_type: "qwen2_moe",
        ...fields(2048, 24, 16, 16, 5632, 151_936, 8192),
        num_experts: 60,
        num_experts_per_tok: 4,
        moe_intermediate_size: 1408,
        shared_expert_intermediate_size: 5632,
        decoder_sparse_step: 1,
        mlp_only_layers: [],
        sliding_window: 32_768,
        use_sliding_window: false,
      },
      14.3e9,
      { moe: { experts: 60, expertsPerToken: 4, expertIntermediateSize: 1408, sharedExperts: 4, denseLayers: 0 } },
      [],
    ],
    [
      "Qwen3-30B-A3B-FP8",
      {
        model_type: "qwen3_moe",
        ...fields(2048, 48, 32, 4, 6144, 151_936, 40_960),
        head_dim: 128,
        num_experts: 128,
        num_experts_per_tok: 8,
        moe_intermediate_size: 768,
        decoder_sparse_step: 1,
        mlp_only_layers: [],
        sliding_window: null,
        use_sliding_window: false,
        quantization_config: { quant_method: "fp8", weight_block_size: [128, 128], activation_scheme: "dynamic" },
      },
      30.53e9,
      { queryKeyNorm: true, weightDtype: "fp8" },
      [],
    ],
    [
      "gemma-2-9b",
      { model_type: "gemma2", ...fields(3584, 42, 16, 8, 14_336, 256_000, 8192), head_dim: 256, sliding_window: 4096 },
      9.24e9,
      { headDim: 256, tiedEmbeddings: true },
      [/window of 4,096 tokens/],
    ],
    [
      // As its publisher wrote it: what the configuration class implies is left out.
      "gemma-3-4b-it",
      {
        model_type: "gemma3",
        torch_dtype: "bfloat16",
        text_config: {
          model_type: "gemma3_text",
          hidden_size: 2560,
          intermediate_size: 10_240,
          num_hidden_layers: 34,
          sliding_window: 1024,
        },
        vision_config: { hidden_size: 1152 },
      },
      3.88e9,
      { queryHeads: 8, kvHeads: 4, headDim: 256, maxContextTokens: 131_072 },
      [/window of 1,024 tokens/, "only the text model is modelled: no vision, no audio"],
    ],
    [
      "Phi-3-mini-4k-instruct",
      { model_type: "phi3", ...fields(3072, 32, 32, 32, 8192, 32_064, 4096), sliding_window: 2047 },
      3.82e9,
      { headDim: 96 },
      [/window of 2,047 tokens/],
    ],
    [
      "gpt-oss-20b",
      GPT_OSS_20B,
      20.9e9,
      { headDim: 64, weightDtype: "int4" },
      [/window of 128 tokens of 12 of 24 layers/, /4-bit floating-point weights/],
    ],
    [
      "Llama-4-Scout-17B-16E",
      LLAMA_4_SCOUT,
      107.8e9,
      { moe: { experts: 16, expertsPerToken: 1, expertIntermediateSize: 8192, sharedExperts: 1, denseLayers: 0 } },
      [/window of 8,192 tokens/, /only the text model/],
    ],
    [
      "Llama-4-Maverick-17B-128E",
      {
        ...LLAMA_4_SCOUT,
        text_config: {
          ...LLAMA_4_SCOUT.text_config,
          max_position_embeddings: 1_048_576,
          num_local_experts: 128,
          interleave_moe_layer_step: 2,
        },
      },
      400.7e9,
      { moe: { experts: 128, expertsPerToken: 1, expertIntermediateSize: 8192, sharedExperts: 1, denseLayers: 24 } },
      [/window of 8,192 tokens/, /only the text model/],
    ],
    [
      "DeepSeek-V2-Lite",
      {
        model_type: "deepseek_v2",
        ...fields(2048, 27, 16, 16, 10_944, 102_400, 163_840),
        n_routed_experts: 64,
        num_experts_per_tok: 6,
        moe_intermediate_size: 1408,
        n_shared_experts: 2,
        first_k_dense_replace: 1,
        kv_lora_rank: 512,
        q_lora_rank: null,
        qk_rope_head_dim: 64,
        qk_nope_head_dim: 128,
        v_head_dim: 128,
      },
      15.7e9,
      {},
      [],
    ],
  ])("%s is read, with the published size", (name, config, parameters, facts, notes) => {
    const model = parseModelConfig(config, name);
    // Biases, sinks and the extra norms of some are not counted.
    expect(parameterCount(model) / parameters).toBeCloseTo(1, 2);
    expect(model).toMatchObject(facts);
    expect(model.notes ?? []).toEqual(
      notes.map((note) => (typeof note === "string" ? note : expect.stringMatching(note))),
    );
  });

  it("weighs about what its checkpoint weighs", () => {
    // The model card's 12.8 GiB has scales of 0.25 bits where int4 has 0.13, and attention in 16 bits.
    const share = rankWeightBytes(parseModelConfig(GPT_OSS_20B, "gpt-oss-20b"), 1) / (12.8 * 2 ** 30);
    expect(share).toBeGreaterThan(0.9);
    expect(share).toBeLessThan(1);
  });

  it("is asked for by the folder it lies in, even where a bundled model has that name", () => {
    const folder = join(temporaryFolder(), "llama-3.1-8b");
    mkdirSync(folder);
    writeFileSync(
      join(folder, "config.json"),
      JSON.stringify({ model_type: "llama", ...fields(2048, 16, 32, 8, 8192, 128_256, 131_072) }),
    );
    expect(findModel(folder)).toMatchObject({ name: "llama-3.1-8b", layers: 16 });
    expect(rankKvBytesPerToken(findModel("meta-llama/llama-3.1-8b"), 1)).toBe(131_072);
  });
});

describe("config.json with weights stored narrower", () => {
  const stored = (quantization_config: object) =>
    parseModelConfig({ model_type: "llama", ...fields(64, 2, 4, 4, 128, 100, 512), quantization_config }, "mine")
      .weightDtype;
  const group = (num_bits: number, type: string) => ({ config_groups: { group_0: { weights: { num_bits, type } } } });

  it.each([
    ["fp8", { quant_method: "fp8" }],
    ["fp8", { quant_method: "compressed-tensors", ...group(8, "float") }],
    ["fp8", { quant_method: "modelopt", quant_algo: "FP8" }],
    ["fp8", { quant_method: "fbgemm_fp8" }],
    ["int4", { quant_method: "awq", bits: 4 }],
    ["int4", { quant_method: "gptq", bits: 4 }],
    ["int4", { quant_method: "compressed-tensors", ...group(4, "int") }],
    ["int4", { quant_method: "bitsandbytes", load_in_4bit: true }],
    ["int4", { quant_method: "modelopt", quantization: { quant_algo: "NVFP4" } }],
  ])("as %s: %j", (dtype, quantization) => {
    expect(stored(quantization)).toBe(dtype);
  });

  it.each([
    [{ quant_method: "gptq", bits: 8 }],
    [{ quant_method: "compressed-tensors", ...group(8, "int") }],
    [{ quant_method: "toString" }],
    [{ bits: 4 }],
    ["awq"],
  ])("is refused where the width is not modelled: %j", (quantization) => {
    expect(() => stored(quantization as object)).toThrow(/^model mine: quantization_config is of a kind/);
  });
});

describe("config.json of what is no such decoder", () => {
  const llama = { model_type: "llama", ...fields(64, 2, 4, 4, 128, 100, 512) };

  it.each<[string, object, RegExp]>([
    [
      "an MLP of two matrices",
      { ...llama, model_type: "gpt_neox" },
      /model_type is gpt_neox: its MLP has two matrices/,
    ],
    ["recurrent layers", { ...llama, model_type: "jamba" }, /model_type is jamba: it has recurrent layers/],
    [
      "layers of another kind",
      { ...llama, layer_types: ["linear_attention", "full_attention"] },
      /layer_types has linear/,
    ],
    ["experts, nobody knows how many a token visits", { ...llama, num_experts: 8 }, /num_experts_per_tok is missing/],
    ["more visits than experts", { ...llama, num_experts: 8, num_experts_per_tok: 9 }, /num_experts_per_tok is 9/],
    ["half a latent", { ...llama, kv_lora_rank: 8, qk_rope_head_dim: 4 }, /qk_nope_head_dim is missing/],
    ["a tokenizer's fields", { tokenizer_class: "GPT2Tokenizer" }, /model_type is missing, expected the config\.json/],
    ["a word for a number", { ...llama, hidden_size: "64" }, /hidden_size is "64"/],
    ["no layers", { ...llama, num_hidden_layers: 0 }, /num_hidden_layers is 0/],
    ["no object", [1, 2], /is missing/],
  ])("is refused by the field: %s", (_, config, message) => {
    expect(() => parseModelConfig(config, "mine")).toThrow(ModelError);
    expect(() => parseModelConfig(config, "mine")).toThrow(message);
  });

  it("is read like Llama, with a note, where the architecture is unknown", () => {
    expect(parseModelConfig({ ...llama, model_type: "novel" }, "mine").notes).toEqual([
      "model_type novel is unknown here: read as a decoder like Llama",
    ]);
  });
});
