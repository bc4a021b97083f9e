// Where the numbers of a profile come from, by the names under which profiles cite them.

export const sources = {
  datasheet: (what, when) => ({ basis: "data sheet", what, by: "NVIDIA", when }),
  microbench: {
    basis: "measured",
    what: "microbench.json of one H100 80GB HBM3: reads by CTA count, piece times, L2 reads, barrier, last-arriver merge, launches",
    by: "the project",
    when: "2026-11-20",
  },
  gemm: {
    basis: "measured",
    what: "gemm-bf16.json: torch 2.11 linear (cuBLAS) in graph replays on the same H100",
    by: "the project",
    when: "2026-11-20",
  },
  gemmFit: {
    basis: "fitted",
    what: "gemm-bf16.json: fixed and bandwidth from m ≤ 64, throughput from the median of m ≥ 1024",
    by: "the project",
    when: "2026-11-20",
  },
  sustained: {
    basis: "measured",
    what: "flashinfer.csv, 900 GEMMs of 8192³ one after another (cuBLAS), held back by power: 689 TFLOP/s, where ten of them after two idle seconds reach 797",
    by: "the project",
    when: "2026-11-20",
  },
  thunderGqa: {
    basis: "fitted",
    what: "regression of ThunderGQA's piece times on an H100: 2.5 µs to start, 1.2 µs to write out",
    by: "HazyResearch (ThunderMLA post)",
    when: "2025-03",
  },
  pagedPrefill: {
    basis: "measured",
    what: "flashinfer.csv, causal paged prefill of 1 × 8192 by FlashInfer's FA2 kernel: 306 TFLOP/s; smaller tiles are taken to reach the same per padded flop",
    by: "the project",
    when: "2026-11-20",
  },
  mergeFit: {
    basis: "fitted",
    what: "last_arriver_merge: slope per partial at 4 rows; one partial at 4 and at 64 rows (8 warps a CTA, one row each: 1 and 8 rounds) gives the round; the rest is fixed, less the intercept of piece_time (a launch that merges nothing)",
    by: "the project",
    when: "2026-11-20",
  },
  allReduce: {
    basis: "measured",
    what: "vLLM 0.24 custom all-reduce in a CUDA graph (AIConfigurator 095f58a), bf16",
    by: "NVIDIA",
    when: "2026",
  },
  allToAll: {
    basis: "measured",
    what: "NCCL 2.29.2 all-to-all (AIConfigurator 095f58a): of the bf16 and the 8-bit run of so many bytes the faster",
    by: "NVIDIA",
    when: "2026",
  },
  port: {
    basis: "data sheet",
    what: "an SM takes 64 bytes a clock from L2",
    by: "NVIDIA (CUDA profiling guide)",
    when: "2022",
  },
  chosen: {
    basis: "estimated",
    what: "CTAs of 16- and 64-row attention kernels that fit an SM: shared memory for two pipelines of 3 to 4 KV tiles",
    by: "the project",
    when: "2026-11",
  },
  host: {
    basis: "fitted",
    what: "vLLM 0.19 with CUDA graphs on an RTX PRO 6000 (LLMServingSim 5daddb2): decode steps of one request less the measured times of their layers, 0.1 to 0.2 ms; 1 µs per request is an estimate",
    by: "the project",
    when: "2026-11",
  },
  sampler: {
    basis: "fitted",
    what: "vLLM 0.19 sampler on an RTX 4090 (LLMServingSim 5daddb2, per_sequence.csv): 25 µs for one request, 311 µs for 256, as two passes over float32 logits",
    by: "the project",
    when: "2026-11",
  },
  vllmGemm: {
    basis: "measured",
    what: "vLLM 0.24 bf16 linear (AIConfigurator 095f58a), for shapes that the project did not measure",
    by: "NVIDIA",
    when: "2026",
  },
  cudaCores: {
    basis: "fitted",
    what: "flashinfer.csv, CUDA-core decode: throughput on 256 × 8192 (all SMs full) with 32/8 and 64/8 heads, one CTA's share by least squares over dec_b1_c1024, dec_b256_z1024 and dec_b256_z8192 with 64/8; `npm run validate` leaves these five rows out",
    by: "the project",
    when: "2026-11-20",
  },
  dependentLaunch: {
    basis: "measured",
    what: "flashinfer.csv, calls under 60 µs with and without programmatic dependent launch (fi_cuda, fi_cuda_nopdl; smoke and extra sections): half of the median gain for each of the two kernels, off a graph node",
    by: "the project",
    when: "2026-11-20",
  },
  flashInferSource: {
    basis: "data sheet",
    what: "FlashInfer's source: on CUDA cores, groups of 4 and 8 heads take eight tokens at a time; on tensor cores, query tiles of 16 rows go with KV tiles of 128 tokens, of which the first one's keys are awaited and the last one's values multiplied at the end, half a tile each; the kernel that merges chunks folds eight partial states side by side, each at the measured slope",
    by: "FlashInfer",
    when: "2026",
  },
  fa3: {
    basis: "fitted",
    what: "vLLM 0.24 FlashAttention-3 on an H100 (AIConfigurator 095f58a), 32/8 heads: preparation from one decode of 2 tokens; a tile's own time, that of a row and throughput from three rows, 2,048 decodes of 2 tokens, 256 prompts of 128 and one of 16,384; `npm run validate` leaves all four out",
    by: "NVIDIA, the project",
    when: "2026",
  },
  fa3Source: {
    basis: "data sheet",
    what: "FlashAttention-3's source: blocks of 128 KV tokens are computed whole; with variable lengths the kernel that combines splits is launched whether there are any or not, and so it is part of the preparation",
    by: "Dao-AILab",
    when: "2025",
  },
  fa3Write: {
    basis: "fitted",
    what: "the same table, 256 prompts of 128 tokens with 32/8 and 16/4 heads, both left out; vLLM's source: the new keys and values of each token are written by a CTA with a thread for each element of its keys, at most 512",
    by: "NVIDIA, the project",
    when: "2026",
  },
  fa3Stages: {
    basis: "estimated",
    what: "FlashAttention-3 keeps two stages of K and V tiles in flight, 128 KiB and more where the measured CTA had 32 KiB: at least three of them",
    by: "the project",
    when: "2026-11",
  },
  smallKernel: {
    basis: "measured",
    what: "piece_time, 8 CTAs that read one tile of 32 KiB each: a small kernel inside a graph; bandwidth of two CTAs per SM",
    by: "the project",
    when: "2026-11-20",
  },
};

/** The ones of these names, which stand in one text. */
export function pick(names) {
  return Object.fromEntries(names.split(" ").map((name) => [name, sources[name]]));
}

/** What turns values into quantities of one source. */
export const from = (source) => (value) => ({ value, source });
