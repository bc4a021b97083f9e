// GPUs on which LLMServingSim measured the layers of a running vLLM.

import { fa2Kernel } from "./fa2.mjs";
import { gemmSection, servingGemm } from "./gemm.mjs";
import { GIB, MIB } from "./numbers.mjs";
import { scaled } from "./scaled.mjs";

const LLAMA_8B_LAYERS = [
  ["qkv_proj", 6144, 4096],
  ["o_proj", 4096, 4096],
  ["gate_up_proj", 28_672, 4096],
  ["down_proj", 4096, 14_336],
  ["lm_head", 128_256, 4096],
];
const QWEN3_32B_LAYERS = [
  ["qkv_proj", 10_240, 5120],
  ["o_proj", 5120, 8192],
  ["gate_up_proj", 51_200, 5120],
  ["down_proj", 5120, 25_600],
  ["lm_head", 151_936, 5120],
];

/** A scaled profile whose GEMMs and small kernels were measured on the GPU itself. */
function servingProfile({ layerNormUs, prefillTflops, host, gemmRows, tables, ...sheet }) {
  const profile = scaled(sheet);
  return {
    ...profile,
    calibrated: true,
    sources: {
      ...profile.sources,
      layers: {
        basis: "measured",
        what: "vLLM 0.19 layers in bf16 (LLMServingSim 5daddb2: dense.csv, per_sequence.csv)",
        by: "LLMServingSim",
        when: "2026",
      },
      gemmFit: {
        basis: "fitted",
        what: "the same tables: fixed and bandwidth from m ≤ 64, throughput from the median of m ≥ 1024",
        by: "the project",
        when: "2026-11",
      },
      prefill: {
        basis: "fitted",
        what: "vLLM 0.19 attention (LLMServingSim 5daddb2, attention.csv): throughput of a chunk of 2,048 tokens behind 16,384",
        by: "the project",
        when: "2026-11",
      },
      fa2: {
        basis: "fitted",
        what: "vLLM 0.19 attention (LLMServingSim 5daddb2, attention.csv): one CTA from a chunk of 16 tokens behind 8,192 and behind 16,384, all SMs from a chunk of 512 behind 16,384, an empty CTA from a chunk of 2,048 with 128 decodes, what surrounds the kernel from a chunk of 16, the copies of packed heads from two decodes against one, combining from two decodes of 129 tokens against two of 65",
        by: "the project",
        when: "2026-11",
      },
      fa2Latency: {
        basis: "fitted",
        what: "the same table: 128 and 256 decodes of 17 tokens, rounds of CTAs with one block each; a third of it is taken to be writing out",
        by: "the project",
        when: "2026-11",
      },
      fa2Source: {
        basis: "data sheet",
        what: "FlashAttention-2's source: blocks of 128 KV tokens are computed whole; a CTA waits for the keys of its first block and still multiplies the values of its last one, half a block each; the kernel that combines parts has a CTA of 128 threads for 4 rows, 12 to 1,536 threads of an SM",
        by: "Dao-AILab",
        when: "2023",
      },
      ...(host === undefined ? {} : { host: host.source }),
    },
    attentionKernels: [fa2Kernel(tables, sheet.sms, sheet.achieved.gbps)],
    attention: {
      ...profile.attention,
      tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, prefillTflops]), source: "prefill" },
    },
    gemm: gemmSection(gemmRows, "layers", "gemmFit"),
    elementwise: { fixedUs: { value: layerNormUs, source: "layers" }, memoryGBps: profile.elementwise.memoryGBps },
    ...(host === undefined
      ? {}
      : {
          host: {
            stepUs: { value: host.stepUs, source: "host" },
            requestUs: { value: host.requestUs, source: "host" },
          },
        }),
  };
}

const decodeBandwidth = (gbps) => ({
  gbps,
  source: {
    basis: "fitted",
    what: `best even decode batch of vLLM 0.19 (LLMServingSim 5daddb2, attention.csv): ${gbps} GB/s of KV; the H100's measured curve scaled to it, B(n) = s · B_H100(n / s)`,
    by: "the project",
    when: "2026-11",
  },
});

export const rtx4090 = servingProfile({
  name: "rtx-4090",
  title: "NVIDIA GeForce RTX 4090 24 GB",
  when: "2022",
  sms: 128,
  clockMHz: 2520,
  l2Bytes: 72 * MIB,
  memoryBytes: 24 * GIB,
  linkGBps: 32,
  gbps: 1008,
  tflops: 165,
  fp8: 330,
  achieved: decodeBandwidth(954),
  prefillTflops: 140,
  layerNormUs: 1.85,
  tables: "RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1",
  gemmRows: servingGemm("RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1", LLAMA_8B_LAYERS),
  host: {
    stepUs: 0,
    requestUs: 0,
    source: {
      basis: "estimated",
      what: "vLLM 0.19 prepares the next step while this GPU's long ones run: a replay of its layer tables without host time meets the measured mean TPOT to 0.1 %",
      by: "the project",
      when: "2026-11",
    },
  },
});

export const rtxPro6000 = servingProfile({
  name: "rtx-pro-6000",
  title: "NVIDIA RTX PRO 6000 Blackwell Server Edition 96 GB",
  when: "2025",
  sms: 188,
  clockMHz: 2617,
  l2Bytes: 128 * MIB,
  memoryBytes: 96 * GIB,
  linkGBps: 64,
  gbps: 1597,
  tflops: 504,
  fp8: 1007,
  achieved: decodeBandwidth(1528),
  prefillTflops: 272,
  tables: "RTXPRO6000_meta-llama_Llama-3.1-8B_bf16_tp1",
  layerNormUs: 2.42,
  gemmRows: [
    ...servingGemm("RTXPRO6000_meta-llama_Llama-3.1-8B_bf16_tp1", LLAMA_8B_LAYERS),
    ...servingGemm("RTXPRO6000_Qwen_Qwen3-32B_bf16_tp1", QWEN3_32B_LAYERS),
  ],
});
