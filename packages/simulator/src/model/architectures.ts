// What a config.json leaves out because its model_type implies it, from the configuration classes of Hugging Face
// transformers, and which architectures are none that this simulator times.

interface Architecture {
  /** Fields that the file may leave out. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Why a deployment of it cannot be timed. */
  readonly refusal?: string;
}

const GATED = "a gated MLP of three matrices is expected";
const ATTENTION = "layers of attention alone are expected";
const known: Architecture = {};
const tied: Architecture = { defaults: { tie_word_embeddings: true } };
const ungated: Architecture = { refusal: `its MLP has two matrices, ${GATED}` };
const recurrent: Architecture = { refusal: `it has recurrent layers, ${ATTENTION}` };

/** By model_type. What is missing here is read like Llama, with a warning. */
export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: known,
  mistral: known,
  mixtral: known,
  ministral: known,
  qwen2: known,
  qwen3: known,
  qwen2_moe: known,
  qwen3_moe: known,
  deepseek_v2: known,
  deepseek_v3: known,
  kimi_k2: known,
  phi3: known,
  phimoe: known,
  gpt_oss: { defaults: { head_dim: 64 } },
  glm: known,
  glm4: known,
  glm4_moe: known,
  granite: known,
  olmo2: known,
  olmo3: known,
  exaone4: known,
  seed_oss: known,
  smollm3: tied,
  cohere: tied,
  cohere2: tied,
  gemma: tied,
  gemma2: tied,
  gemma3_text: {
    defaults: {
      tie_word_embeddings: true,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 256,
      vocab_size: 262_208,
      max_position_embeddings: 131_072,
    },
  },
  // One shared expert in every layer of experts, and those in every layer or every other one.
  llama4_text: { defaults: { n_shared_experts: 1 } },
  falcon: ungated,
  gpt2: ungated,
  gpt_bigcode: ungated,
  gpt_neox: ungated,
  gptj: ungated,
  nemotron: ungated,
  opt: ungated,
  phi: ungated,
  starcoder2: ungated,
  bamba: recurrent,
  falcon_h1: recurrent,
  falcon_mamba: recurrent,
  granitemoehybrid: recurrent,
  jamba: recurrent,
  lfm2: recurrent,
  mamba: recurrent,
  mamba2: recurrent,
  nemotron_h: recurrent,
  qwen3_next: recurrent,
  rwkv: recurrent,
  zamba2: recurrent,
};
