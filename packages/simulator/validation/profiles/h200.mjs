// The H200: the H100's shape at its own measured bandwidth, with measured GEMMs and collectives.

import { allReduceTables, allToAllTables } from "./collectives.mjs";
import { fa3Kernel } from "./fa3.mjs";
import { gemmSection, vllmGemm } from "./gemm.mjs";
import { scaled } from "./scaled.mjs";
import { pick, sources } from "./sources.mjs";
import { readTable } from "./tables.mjs";

const attention = readTable("aiconfigurator/h200_sxm_vllm_0.24.0_generation_attention_bf16_hd128.csv.gz");
const best = Math.max(
  ...attention.map(
    (row) =>
      (Number(row.batch_size) * (Number(row.step) + 1) * Number(row.num_key_value_heads) * 512) /
      (Number(row.latency) * 1e6),
  ),
);
const profile = scaled({
  name: "h200-sxm",
  title: "NVIDIA H200 SXM5 141 GB",
  when: "2023",
  sms: 132,
  clockMHz: 1830,
  l2Bytes: 52_428_800,
  memoryBytes: 151_397_597_184,
  linkGBps: 450,
  gbps: 4800,
  tflops: 989,
  fp8: 1979,
  achieved: {
    gbps: best,
    source: {
      basis: "fitted",
      what: `best decode attention of vLLM 0.24 (FA3) on an H200: ${Math.round(best)} GB/s of KV (AIConfigurator 095f58a); the H100's measured curve scaled to it, B(n) = s · B_H100(n / s)`,
      by: "NVIDIA, the project",
      when: "2026",
    },
  },
});

export const h200 = {
  ...profile,
  calibrated: true,
  sources: {
    ...profile.sources,
    gemm: {
      basis: "measured",
      what: "vLLM 0.24 bf16 linear on an H200 (AIConfigurator 095f58a)",
      by: "NVIDIA",
      when: "2026",
    },
    gemmFit: {
      basis: "fitted",
      what: "the same table: fixed and bandwidth from m ≤ 64, throughput from the median of m ≥ 1024",
      by: "the project",
      when: "2026-11",
    },
    allReduce: sources.allReduce,
    allToAll: sources.allToAll,
    ...pick("fa3 fa3Source fa3Write fa3Stages mergeFit"),
  },
  attentionKernels: [fa3Kernel],
  gemm: gemmSection(vllmGemm("h200_sxm"), "gemm", "gemmFit"),
  allReduce: allReduceTables("h200_sxm"),
  allToAll: allToAllTables("h200_sxm"),
};
