import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  findModel,
  flopsPerToken,
  MODEL_NAMES,
  ModelError,
  parameterCount,
  parseModelConfig,
  rankAttention,
  rankKvBytesPerToken,
  rankWeightBytes,
  withPrecision,
} from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("bundled models", () => {
  // Totals that the publishers' safetensors indices state.
  it.each([
    ["llama-3.1-8b", 8_030_261_248],
    ["llama-3.1-70b", 70_553_706_496],
    ["qwen3-32b", 32_762_123_264],
    ["qwen3-30b-a3b", 30_532_122_624],
    ["mixtral-8x7b", 46_702_792_704],
  ])("%s has the published number of parameters", (name, parameters) => {
    expect(parameterCount(findModel(name))).toBe(parameters);
    expect(rankWeightBytes(findModel(name), 1)).toBe(2 * parameters);
  });

  it("deepseek-v3 has the published number of parameters, less the bias that balances its routers", () => {
    const model = findModel("deepseek-v3");
    expect(parameterCount(model)).toBe(671_026_419_200 - 58 * 256);
    // Published as fp8: about one byte for all but embedding and head.
    expect(rankWeightBytes(model, 1) / parameterCount(model)).toBeCloseTo(1, 2);
    // One latent and its rotary part for each token on every rank, whatever their number.
    expect(rankKvBytesPerToken(model, 1)).toBe(61 * 576 * 2);
    expect(rankKvBytesPerToken(model, 8)).toBe(61 * 576 * 2);
    expect(rankAttention(model, 8, 16)).toMatchObject({ queryHeads: 16, kvHeads: 1, headDim: 576, valueHeadDim: 512 });
  });

  it.each([
    // Mixtral of Experts (2024): 12.9 B active; the Qwen3 model card: 3.3 B; the DeepSeek-V3 report: 37 B.
    ["mixtral-8x7b", 12.9e9],
    ["qwen3-30b-a3b", 3.3e9],
    ["deepseek-v3", 37e9],
  ])("%s computes with the published number of parameters per token", (name, active) => {
    const model = findModel(name);
    const embedding = model.vocabSize * model.hiddenSize;
    expect((flopsPerToken(model) / 2 + 2 * embedding) / active).toBeCloseTo(1, 1);
  });

  it("weigh less with narrower weights and caches, embedding and head apart", () => {
    const model = findModel("llama-3.1-8b");
    const edges = 2 * model.vocabSize * model.hiddenSize + (2 * model.layers + 1) * model.hiddenSize;
    const matrices = parameterCount(model) - edges;
    const fp8 = withPrecision(model, { weights: "fp8", kv: "fp8_e4m3" });
    expect(rankWeightBytes(fp8, 1)).toBe(Math.ceil(2 * edges + (1 + 4 / 16_384) * matrices));
    expect(rankKvBytesPerToken(fp8, 1)).toBe(rankKvBytesPerToken(model, 1) / 2);
    expect(rankAttention(fp8, 1, 16)).toMatchObject({ dtype: "bf16", kvDtype: "fp8_e4m3" });
    // AWQ's checkpoint of the 8B model is 5.7 GB on Hugging Face.
    expect(rankWeightBytes(withPrecision(model, { weights: "int4" }), 1) / 5.7e9).toBeCloseTo(1, 1);
    expect(withPrecision(model, {})).toEqual(model);
  });

  it("are found whatever the case and the organisation", () => {
    for (const name of MODEL_NAMES) expect(findModel(findModel(name).huggingFaceId).name).toBe(name);
  });

  it("take 128 KiB of KV cache per token for 32 layers of 8 heads of 128, and half of it on each of two ranks", () => {
    const model = findModel("llama-3.1-8b");
    expect(rankKvBytesPerToken(model, 1)).toBe(131_072);
    expect(rankKvBytesPerToken(model, 2)).toBe(65_536);
    expect(rankKvBytesPerToken(model, 16)).toBe(16_384);
    expect(rankAttention(model, 4, 16)).toMatchObject({ queryHeads: 8, kvHeads: 2, headDim: 128, pageSize: 16 });
  });

  it("cost two flops for each weight outside embedding, head and norms", () => {
    const model = findModel("llama-3.1-8b");
    const outside = 2 * model.vocabSize * model.hiddenSize + (2 * model.layers + 1) * model.hiddenSize;
    expect(flopsPerToken(model)).toBe(2 * (parameterCount(model) - outside));
  });
});

describe("a config.json of one's own", () => {
  const minimal = {
    model_type: "llama",
    num_hidden_layers: 2,
    hidden_size: 64,
    num_attention_heads: 4,
    intermediate_size: 128,
    vocab_size: 100,
    max_position_embeddings: 512,
  };

  it("is read from its file or its folder", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "config.json"), JSON.stringify(minimal));
    expect(findModel(folder)).toEqual(findModel(join(folder, "config.json")));
    expect(findModel(folder)).toMatchObject({ layers: 2, kvHeads: 4, headDim: 16, dtype: "bf16" });
  });

  it("may describe experts and latent attention", () => {
    // DeepSeek-V3's published shape: 671 B parameters without the multi-token-prediction layer.
    const model = parseModelConfig(
      {
        model_type: "deepseek_v3",
        num_hidden_layers: 61,
        hidden_size: 7168,
        num_attention_heads: 128,
        num_key_value_heads: 128,
        intermediate_size: 18432,
        vocab_size: 129280,
        max_position_embeddings: 163840,
        n_routed_experts: 256,
        num_experts_per_tok: 8,
        moe_intermediate_size: 2048,
        n_shared_experts: 1,
        first_k_dense_replace: 3,
        kv_lora_rank: 512,
        q_lora_rank: 1536,
        qk_rope_head_dim: 64,
        qk_nope_head_dim: 128,
        v_head_dim: 128,
      },
      "deepseek-v3",
    );
    expect(parameterCount(model) / 671e9).toBeCloseTo(1, 2);
    expect(rankKvBytesPerToken(model, 8)).toBe(61 * 576 * 2);
  });

  it.each([
    ["a missing field", { ...minimal, hidden_size: undefined }, "hidden_size"],
    ["heads that do not divide", { ...minimal, num_key_value_heads: 3 }, "num_key_value_heads"],
    ["a fraction", { ...minimal, num_hidden_layers: 1.5 }, "num_hidden_layers"],
  ])("with %s is refused by the field's name", (_, json, field) => {
    expect(() => parseModelConfig(json, "mine")).toThrow(
      expect.objectContaining({ name: "ModelError", field }) as unknown as Error,
    );
  });

  it("that does not exist or is no JSON is refused", () => {
    expect(() => findModel("gpt-5")).toThrow(ModelError);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "config.json"), "{");
    const file = join(folder, "config.json");
    expect(() => findModel(folder)).toThrow(`${file}: is not JSON`);
    writeFileSync(file, '{"model_type":"llama"}');
    expect(() => findModel(folder)).toThrow(`${file}: num_hidden_layers is missing`);
  });
});
