// Writes the bundled GPU profiles from measurements in validation/data and from data sheets.
//
//   node packages/simulator/validation/build-profiles.mjs
//
// Nothing here looks at an attention measurement that `npm run validate` judges: the H100's constants come from
// microbenchmarks, GEMMs and collectives alone.

import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const data = new URL("./data/", import.meta.url);
const read = (path) => readFileSync(new URL(path, data), "utf8");
const readTable = (path) => {
  const [head, ...lines] = gunzipSync(readFileSync(new URL(path, data)))
    .toString()
    .trim()
    .split(/\r?\n/);
  const columns = head.split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((cell, i) => [columns[i], cell])));
};
const round = (value, digits = 4) => Number(value.toPrecision(digits));
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
/** The median, of an even number of values the mean of the middle two. */
const middle = (values) => (median(values) - median(values.map((value) => -value))) / 2;

const microbench = JSON.parse(read("h100/microbench.json"));
const gemm = JSON.parse(read("h100/gemm-bf16.json"));

const sources = {
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

const from = (source) => (value) => ({ value, source });
const micro = from("microbench");

/** Slope and intercept of y over x. */
function line(points) {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  let xy = 0;
  let xx = 0;
  for (const [x, y] of points) {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
  }
  return { slope: xy / xx, intercept: meanY - (xy / xx) * meanX };
}

// ---- H100: everything from measurements -----------------------------------------------------------------------------

const readCurve = [
  ...new Map(
    microbench.bandwidth_vs_ctas
      .filter((row) => row.bytesInFlightPerCta === 32768)
      .sort((a, b) => a.ctas - b.ctas || a.ctasPerSm - b.ctasPerSm)
      .map((row) => [row.ctas, row.GBps]),
  ),
];
const perCtaGBps = Math.max(...microbench.bandwidth_vs_ctas.filter((r) => r.ctas <= 8).map((r) => r.GBpsPerCta));
const l2GBps = Math.min(...microbench.l2_read.map((row) => row.GBps));
const mergeRows4 = microbench.last_arriver_merge.filter((row) => row.rows === 4);
// Few jobs only: with 16 jobs and more the CTAs of the launch do not merge for most of it.
const merge = line(mergeRows4.filter((row) => row.partials >= 8).map((row) => [row.partials, row.us]));
const emptyLaunchUs = line(
  microbench.piece_time.filter((r) => r.ctas === 132 && r.ctasPerSm === 1 && r.tiles <= 4).map((r) => [r.tiles, r.us]),
).intercept;
const onePartial = (rows) => microbench.last_arriver_merge.find((row) => row.rows === rows && row.partials === 1).us;
// 4 rows are one round of 8 warps, 64 rows are eight.
const mergeRoundUs = (onePartial(64) - onePartial(4)) / 7 - merge.slope;
const mergeFixedUs = onePartial(4) - emptyLaunchUs - mergeRoundUs - merge.slope;
const smallKernelUs = microbench.piece_time.find((r) => r.ctas === 8 && r.tiles === 1 && r.ctasPerSm === 1).us;

// FlashInfer's CUDA-core decode does its arithmetic without tensor cores: 4 and 8 query heads per KV head are bound by it.
// Five cases give its rates, and are not judged: all SMs full with each, and three in which CTAs are left alone on their SMs.
const flashInferTable = readTable("h100/flashinfer.csv.gz");
const cudaCoreUs = (name, heads) =>
  Number(
    flashInferTable.find(
      (row) =>
        row.kernel === "fi_cuda" && row.sec === "decode" && row.case === name && row.heads === heads && row.ps === "16",
    ).us,
  );
const cudaCoreTflops = (rows, heads) =>
  round((256 * 8192 * 8 * 4 * rows * 128) / cudaCoreUs("dec_b256_c8192", heads) / 1e6);
/**
 * Of 0.4, 0.5 … 1 the one with the least squared error of dec_b1_c1024 (a CTA alone for 128 tokens), dec_b256_z1024 and
 * dec_b256_z8192 (for tens of thousands) with 64/8 heads: +15, −19 and +1 %. One number does not meet all three.
 */
const cudaCoreCtaShare = 0.6;

// Its two kernels may start before the one ahead has ended. The same calls were also measured without that: half of what
// is gained belongs to each. Small calls, in sections of the table that are not judged.
const independentCalls = flashInferTable.filter((row) => row.kernel === "fi_cuda_nopdl" && Number(row.us) < 60);
const dependentGains = independentCalls.map((row) => {
  const isSame = (other) => ["sec", "case", "heads", "ps"].every((name) => other[name] === row[name]);
  const dependent = flashInferTable.find((other) => other.kernel === "fi_cuda" && isSame(other));
  return Number(row.us) - Number(dependent.us);
});
const dependentLaunchUs = round(microbench.graph_null_node_us - middle(dependentGains) / 2, 2);

// GEMMs of 8,192³ for 900 launches, before and after everything else was measured.
const sustained = flashInferTable.filter((row) => row.case.startsWith("gemm_8192_sustained"));
const sustainedTflops = sustained.reduce((sum, row) => sum + Number(row.tflops), 0) / sustained.length;

const pieceSection = (source) => ({
  startUs: { value: 2.5, source },
  nextStartUs: { value: 2.5, source },
  writeOutUs: { value: 1.2, source },
});

// FlashInfer's own kernels, by name: the policies of its plans run on the general kernel, so that plans can be compared.
const flashInferTensorKernel = {
  ...pieceSection("thunderGqa"),
  kvTileTokens: from("flashInferSource")(128),
  tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, 306]), source: "pagedPrefill" },
  fillTokens: from("flashInferSource")(64),
};
const flashInferMerge = {
  launchUs: micro(microbench.graph_null_node_us),
  fixedUs: from("mergeFit")(round(mergeFixedUs, 3)),
  roundUs: from("mergeFit")(round(mergeRoundUs, 3)),
  partialUs: from("flashInferSource")(round(merge.slope / 8, 4)),
  rowsAtOnce: from("mergeFit")(8),
};

// vLLM's FlashAttention-3: a kernel that prepares the schedule, then attention with wgmma and deep TMA pipelines. Two
// rows give its fixed time and its rate, and are not judged: one decode of 2 tokens, one prompt of 16,384.
const fa3Row = (phase, columns) =>
  readTable(`aiconfigurator/h100_sxm_vllm_0.24.0_${phase}_attention_bf16_hd128.csv.gz`).find((row) =>
    Object.entries({ num_heads: "32", num_key_value_heads: "8", batch_size: "1", ...columns }).every(
      ([name, value]) => row[name] === value,
    ),
  );
const fa3Us = (phase, columns) => Number(fa3Row(phase, columns).latency) * 1000;
const fa3FixedUs = fa3Us("generation", { step: "1" });
/** What a tile takes that others follow: time over rounds of tiles, one tile for each SM, the first less what it shares. */
const fa3Rounds = (tiles) => Math.ceil(tiles / microbench.sms) - 1;
// The tables' times include writing the new keys and values to the cache: a CTA for each token, of 512 threads with four KV
// heads and with eight, four of which fit an SM; the first ones are part of the fixed time. Heads of 16/4 are half the tiles
// of 32/8 for the same tokens.
const fa3Prompts = { batch_size: "256", isl: "128", step: "0" };
const fa3Writers = (kvHeads) => microbench.sms * Math.floor(2048 / Math.min(512, kvHeads * 128));
const fa3HalfTilesUs = fa3Us("context", { ...fa3Prompts, num_heads: "16", num_key_value_heads: "4" }) - fa3FixedUs;
const fa3HalfRounds = fa3Rounds(256 * 4 * 4) / fa3Rounds(256 * 8 * 4);
const fa3KvWriteUs =
  (fa3HalfTilesUs - fa3HalfRounds * (fa3Us("context", fa3Prompts) - fa3FixedUs)) /
  (1 - fa3HalfRounds) /
  ((256 * 128) / fa3Writers(4) - 1);
const fa3WriteUs = (tokens) => fa3KvWriteUs * Math.max(0, tokens / fa3Writers(8) - 1);
const fa3TileUs = (us, tiles, tokens) => (us - fa3FixedUs - fa3WriteUs(tokens)) / fa3Rounds(tiles);
const fa3SmallTileUs = fa3TileUs(fa3Us("generation", { batch_size: "2048", step: "1" }), 2048 * 8, 2048);
const fa3FullTileUs = fa3TileUs(fa3Us("context", fa3Prompts), 256 * 8 * 4, 256 * 128);
// Tiles of 128 rows, which are 32 tokens of 4 heads: the first four see one block, the next four two, and so on.
const fa3PromptTiles = (8 * 16_384) / 32;
const fa3PromptBlocks = (8 * 4 * (128 * 129)) / 2;
// A full tile of one block is a block and the tile's own time; the prompt has both in other proportions.
const fa3BlockUs =
  ((fa3Us("context", { isl: "16384", step: "0" }) - fa3FixedUs - fa3WriteUs(16_384)) * microbench.sms -
    fa3PromptTiles * fa3FullTileUs) /
  (fa3PromptBlocks - fa3PromptTiles);
/** A row's share of a tile that follows others: mostly writing the output. */
const fa3RowUs = (fa3FullTileUs - fa3BlockUs - (fa3SmallTileUs - fa3BlockUs / 2)) / (128 - 4);
const fa3OwnUs = fa3FullTileUs - fa3BlockUs - 128 * fa3RowUs;
// A tile that follows none waits for its queries too.
const fa3Alone = ["32", "64", "128"].map((isl) => fa3Us("context", { isl, step: "0" }));
const fa3AloneUs = fa3Alone.reduce((sum, us) => sum + us, 0) / fa3Alone.length;
const fa3AloneRowUs = (fa3AloneUs - fa3FixedUs - fa3BlockUs / 2) / (128 - 4);
// Tiles of one block that are bound by memory: what they take longer than their bytes is the start of the next stream.
const fa3NextStartUs =
  fa3TileUs(fa3Us("generation", { batch_size: "2048", step: "127" }), 2048 * 8, 2048) -
  (128 * 512 * microbench.sms) / Math.max(...readCurve.map(([, gbps]) => gbps)) / 1000;
// With one tile for each request a CTA's next one is 132 requests on, which it walks 31 at a time before it can stream.
const fa3OneHead = { num_heads: "8", num_key_value_heads: "1", step: "1" };
const fa3WalkedTileUs = fa3TileUs(fa3Us("generation", { ...fa3OneHead, batch_size: "2048" }), 2048, 0);
const fa3WalkUs = (fa3WalkedTileUs - fa3BlockUs / 2 - fa3NextStartUs) / (microbench.sms / 31);
const fa3RequestUs =
  (fa3Us("generation", { ...fa3OneHead, batch_size: "512" }) - fa3FixedUs - 3 * fa3WalkedTileUs) / 512;
const fa3Kernel = {
  policies: ["fa-uniform", "fa3-varlen", "flashinfer-fa3"],
  startUs: from("fa3")(0),
  nextStartUs: from("fa3")(round(fa3NextStartUs, 3)),
  writeOutUs: from("fa3")(0),
  kvTileTokens: from("fa3Source")(128),
  tensorTflops: { rows: [[16, round((microbench.sms * 4 * 128 * 128 * 128) / fa3BlockUs / 1e6)]], source: "fa3" },
  computesWholeTiles: true,
  drainUs: from("fa3")(round(fa3OwnUs, 3)),
  drainRowUs: from("fa3")(round(fa3RowUs, 3)),
  queryRowUs: from("fa3")(round(fa3AloneRowUs - fa3RowUs, 3)),
  ctaStreams: from("fa3Stages")(3),
  preparationUs: from("fa3")(round(fa3FixedUs - microbench.graph_null_node_us - fa3SmallTileUs, 3)),
  preparationRequestUs: from("fa3")(round(fa3RequestUs, 3)),
  mostPreparedRequests: from("fa3Source")(992),
  requestWalkUs: from("fa3")(round(fa3WalkUs, 3)),
  kvWriteUs: from("fa3Write")(round(fa3KvWriteUs, 3)),
  merge: {
    launchUs: from("fa3Source")(0),
    fixedUs: from("fa3Source")(0),
    roundUs: from("fa3Source")(0),
    partialUs: from("mergeFit")(round(merge.slope, 3)),
    rowsAtOnce: from("mergeFit")(8),
  },
};

/** Shapes of a GEMM table, [m, µs] ascending, and the model for shapes outside it. */
function gemmSection(rows, shapesSource, fitSource) {
  const shapes = new Map();
  for (const { m, n, k, us } of rows) {
    const key = `${n}x${k}`;
    if (!shapes.has(key)) shapes.set(key, { n, k, rows: [], source: shapesSource });
    shapes.get(key).rows.push([m, round(us)]);
  }
  for (const shape of shapes.values()) shape.rows.sort((a, b) => a[0] - b[0]);
  const bytes = ({ m, n, k }) => 2 * (n * k + m * k + m * n);
  const small = line(rows.filter((row) => row.m <= 64).map((row) => [bytes(row), row.us]));
  const tflops = median(rows.filter((row) => row.m >= 1024).map((row) => (2 * row.m * row.n * row.k) / row.us / 1e6));
  return {
    shapes: [...shapes.values()].sort((a, b) => a.n - b.n || a.k - b.k),
    fixedUs: { value: round(Math.max(0, small.intercept)), source: fitSource },
    tflops: { value: round(tflops), source: fitSource },
    memoryGBps: { value: round(1 / small.slope / 1000), source: fitSource },
  };
}

function vllmGemm(gpu) {
  return readTable(`aiconfigurator/${gpu}_vllm_0.24.0_gemm_bf16_llama_shapes.csv.gz`).map((row) => ({
    m: Number(row.m),
    n: Number(row.n),
    k: Number(row.k),
    us: Number(row.latency) * 1000,
  }));
}

/** Adds the shapes of another table that are not there yet. */
function withShapes(section, rows, source) {
  const has = new Set(section.shapes.map(({ n, k }) => `${n}x${k}`));
  const others = gemmSection(rows, source, source).shapes.filter(({ n, k }) => !has.has(`${n}x${k}`));
  return { ...section, shapes: [...section.shapes, ...others].sort((a, b) => a.n - b.n || a.k - b.k) };
}

/** GEMMs of one model from LLMServingSim's layer tables: [layer, n, k]. */
function servingGemm(folder, layers) {
  const times = (file, m) =>
    readTable(`llmservingsim/${folder}/${file}.csv.gz`).map((row) => ({ ...row, m: Number(row[m]) }));
  return [...times("dense", "tokens"), ...times("per_sequence", "sequences")].flatMap((row) =>
    layers.filter(([layer]) => layer === row.layer).map(([, n, k]) => ({ m: row.m, n, k, us: Number(row.time_us) })),
  );
}

/** A scaled profile whose GEMMs and small kernels were measured on the GPU itself. */
/**
 * FlashAttention 2 with pages, from vLLM's even batches (attention.csv; a decode behind h tokens sees h + 1). Rounds are
 * CTAs over SMs, one on each.
 */
function fa2Kernel(tables, sms, peakGBps) {
  const rows = readTable(`llmservingsim/${tables}/attention.csv.gz`);
  const us = (chunk, history, decodes = 0, decodeHistory = 0) =>
    Number(
      rows.find(
        (row) =>
          Number(row.prefill_chunk) === chunk &&
          Number(row.kv_prefill) === history &&
          Number(row.n_decode) === decodes &&
          Number(row.kv_decode) === decodeHistory,
      ).time_us,
    );
  const rounds = (ctas) => Math.ceil(ctas / sms);
  // One CTA for each query head, which goes through 64 blocks more.
  const ctaBlockUs = (us(16, 16_384) - us(16, 8192)) / 64;
  const blocksOfTwoRounds = 2 * (16_384 / 128 + 4);
  const tflops = (sms * 64 * 128 * 4 * 128 * blocksOfTwoRounds) / us(512, 16_384) / 1e6;
  // A CTA with one block of 17 tokens, 8 for each of 128 decodes more: its block, half a block's bytes, and its latencies.
  const shortUs = (us(0, 0, 256, 16) - us(0, 0, 128, 16)) / (rounds(256 * 8) - rounds(128 * 8));
  const latencyUs = shortUs - ctaBlockUs - (17 * 512 * sms) / 2 / peakGBps / 1000;
  // 31 of 32 tiles of each of 128 decodes are empty when a chunk of 2,048 tokens is in the batch.
  const emptyUs = us(2048, 0, 128, 16) - us(2048, 0) - (us(16, 0, 128, 16) - us(16, 0));
  // Decodes of 129 tokens have two blocks, which are two parts: what they take longer than one is their combining.
  const combineUs = us(0, 0, 2, 128) - us(0, 0, 2, 64);
  return {
    policies: ["fa2-paged", "fa2-paged-graph"],
    startUs: from("fa2Latency")(round((2 / 3) * latencyUs, 3)),
    nextStartUs: from("fa2Latency")(round((2 / 3) * latencyUs, 3)),
    writeOutUs: from("fa2Latency")(round((1 / 3) * latencyUs, 3)),
    kvTileTokens: from("fa2Source")(128),
    tensorTflops: { rows: [[64, round(tflops)]], source: "fa2" },
    computesWholeTiles: true,
    fillTokens: from("fa2Source")(64),
    emptyCtaUs: from("fa2")(round((emptyUs * sms) / (31 * 128 * 32), 3)),
    ctaGBps: from("fa2")(round((128 * 512) / ctaBlockUs / 1000)),
    preparationUs: from("fa2")(round(us(16, 0) - microbench.graph_null_node_us - shortUs, 3)),
    regroupingUs: from("fa2")(round(us(0, 0, 2, 16) - us(0, 0, 1, 16), 3)),
    merge: {
      launchUs: from("fa2")(round(combineUs - 2 * merge.slope, 3)),
      fixedUs: from("fa2")(0),
      roundUs: from("fa2")(0),
      partialUs: from("scaled")(round(merge.slope, 3)),
      rowsAtOnce: from("fa2Source")(4),
      ctasPerSm: from("fa2Source")(12),
    },
  };
}

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

function allReduceTables(gpu) {
  const rows = readTable(`aiconfigurator/${gpu}_vllm_0.24.0_custom_allreduce.csv.gz`).filter(
    (row) => row.backend === "vllm_graph",
  );
  const counts = [...new Set(rows.map((row) => Number(row.num_gpus)))].sort((a, b) => a - b);
  return counts.map((gpus) => ({
    gpus,
    rows: rows
      .filter((row) => Number(row.num_gpus) === gpus)
      .map((row) => [Number(row.message_size) * ALL_REDUCE_UNIT_BYTES, round(Number(row.latency) * 1000)])
      .sort((a, b) => a[0] - b[0]),
    source: "allReduce",
  }));
}
/** message_size counts elements of bf16. */
const ALL_REDUCE_UNIT_BYTES = 2;

/** message_size counts elements, of which each GPU has so many: 8-bit runs of twice as many take as long as 16-bit ones. */
function allToAllTables(gpu) {
  const all = readTable(`aiconfigurator/${gpu}_nccl_2.29.2.csv.gz`).filter((row) => row.op_name === "alltoall");
  return [...groupBy(all, (row) => Number(row.num_gpus))].map(([gpus, rows]) => {
    const bytesOf = (row) => Number(row.message_size) * (row.nccl_dtype === "half" ? 2 : 1);
    const bySize = [...groupBy(rows, bytesOf)].sort((a, b) => a[0] - b[0]);
    return {
      gpus,
      // The same transfer twice: other work on the machine only ever adds to it.
      rows: bySize.map(([bytes, runs]) => [bytes, round(Math.min(...runs.map((row) => Number(row.latency))) * 1000)]),
      source: "allToAll",
    };
  });
}

const h100 = {
  isochron: "gpu-profile/1",
  name: "h100-sxm",
  title: "NVIDIA H100 SXM5 80 GB",
  calibrated: true,
  sources: {
    datasheet: sources.datasheet("NVIDIA H100 Tensor Core GPU data sheet, SXM5", "2022"),
    ...pick(
      "microbench gemm gemmFit sustained thunderGqa pagedPrefill mergeFit allReduce allToAll port chosen host sampler vllmGemm cudaCores dependentLaunch flashInferSource fa3 fa3Source fa3Write fa3Stages smallKernel",
    ),
  },
  device: {
    smCount: micro(microbench.sms),
    ctasPerSm: from("chosen")(2),
    clockMHz: from("datasheet")(1830),
    l2Bytes: micro(microbench.l2),
    memoryBytes: from("datasheet")(85_899_345_920),
  },
  memory: {
    dataSheetGBps: from("datasheet")(3350),
    achievedGBps: { rows: readCurve, source: "microbench" },
    perCtaGBps: micro(round(perCtaGBps)),
    perSmGBps: from("port")(round((64 * 1830) / 1000)),
    l2GBps: micro(l2GBps),
  },
  tensor: { peakTflops: { bf16: from("datasheet")(989), fp8: from("datasheet")(1979) } },
  attention: {
    ...pieceSection("thunderGqa"),
    kvTileTokens: from("chosen")(64),
    tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, 306]), source: "pagedPrefill" },
  },
  attentionKernels: [
    {
      policies: ["flashinfer-decode", "flashinfer-decode-graph"],
      ...pieceSection("thunderGqa"),
      kvTileTokens: from("flashInferSource")(8),
      tensorTflops: {
        rows: [
          [4, cudaCoreTflops(4, "32/8")],
          [8, cudaCoreTflops(8, "64/8")],
        ],
        source: "cudaCores",
      },
      computesPadding: false,
      ctaShare: from("cudaCores")(cudaCoreCtaShare),
      dependentLaunchUs: from("dependentLaunch")(dependentLaunchUs),
      merge: { ...flashInferMerge, launchUs: from("dependentLaunch")(dependentLaunchUs) },
    },
    { name: "flashinfer-fa2", policies: [], ...flashInferTensorKernel, merge: flashInferMerge },
    { name: "flashinfer-holistic", policies: [], ...flashInferTensorKernel },
    fa3Kernel,
  ],
  merge: {
    fixedUs: from("mergeFit")(round(mergeFixedUs, 3)),
    roundUs: from("mergeFit")(round(mergeRoundUs, 3)),
    partialUs: from("mergeFit")(round(merge.slope, 3)),
    rowsAtOnce: from("mergeFit")(8),
  },
  launch: {
    streamUs: micro(microbench.stream_null_launch_us),
    graphNodeUs: micro(microbench.graph_null_node_us),
    graphUs: micro(microbench.graph_one_null_event_us),
    gridBarrierUs: { rows: microbench.grid_barrier.map((row) => [row.ctas, row.us]), source: "microbench" },
  },
  gemm: {
    ...withShapes(gemmSection(gemm.rows, "gemm", "gemmFit"), vllmGemm("h100_sxm"), "vllmGemm"),
    sustainedTflops: from("sustained")(round(sustainedTflops, 3)),
  },
  interconnectGBps: from("datasheet")(450),
  allReduce: allReduceTables("h100_sxm"),
  allToAll: allToAllTables("h100_sxm"),
  elementwise: { fixedUs: from("smallKernel")(smallKernelUs), memoryGBps: from("smallKernel")(3070) },
  sampler: { fixedUs: from("sampler")(25), bytesPerLogit: from("sampler")(8) },
  host: { stepUs: from("host")(150), requestUs: from("host")(1) },
};

function groupBy(rows, keyOf) {
  const groups = new Map();
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row]);
  return groups;
}

function pick(names) {
  return Object.fromEntries(names.split(" ").map((name) => [name, sources[name]]));
}

// ---- The others: the H100's shape, scaled ---------------------------------------------------------------------------

const h100Peak = Math.max(...readCurve.map(([, gbps]) => gbps));

/**
 * A profile of a GPU from its data sheet. What one CTA pulls is latency, much the same everywhere; where the GPU
 * saturates scales with its bandwidth: B(n) = s · B_H100(n / s).
 */
function scaled({
  name,
  title,
  by = "NVIDIA",
  when,
  sms,
  clockMHz,
  l2Bytes,
  memoryBytes,
  linkGBps,
  gbps,
  tflops,
  fp8,
  achieved,
}) {
  const s = (achieved?.gbps ?? (gbps * h100Peak) / 3350) / h100Peak;
  const sheet = from("datasheet");
  const estimate = from("scaled");
  const peakRatio = tflops / 989;
  return {
    isochron: "gpu-profile/1",
    name,
    title,
    calibrated: false,
    sources: {
      datasheet: { ...sources.datasheet(`${title} data sheet`, when), by },
      scaled: {
        basis: "estimated",
        what: "scaled from the measured h100-sxm profile: latencies kept, bandwidths by data-sheet bandwidth, tensor throughput by data-sheet throughput",
        by: "the project",
        when: "2026-11",
      },
      ...pick("port chosen host sampler"),
      ...(achieved === undefined ? {} : { achieved: achieved.source }),
    },
    device: {
      smCount: sheet(sms),
      ctasPerSm: from("chosen")(2),
      clockMHz: sheet(clockMHz),
      l2Bytes: sheet(l2Bytes),
      memoryBytes: sheet(memoryBytes),
    },
    memory: {
      dataSheetGBps: sheet(gbps),
      achievedGBps: {
        rows: readCurve.map(([n, value]) => [round(n * s), round(value * s)]),
        source: achieved === undefined ? "scaled" : "achieved",
      },
      perCtaGBps: estimate(round(perCtaGBps)),
      perSmGBps: from("port")(round((64 * clockMHz) / 1000)),
      l2GBps: estimate(round((l2GBps * sms * clockMHz) / (132 * 1830))),
    },
    tensor: { peakTflops: { bf16: sheet(tflops), ...(fp8 === undefined ? {} : { fp8: sheet(fp8) }) } },
    attention: {
      ...pieceSection("scaled"),
      kvTileTokens: from("chosen")(64),
      tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, round(306 * peakRatio)]), source: "scaled" },
    },
    merge: {
      fixedUs: estimate(h100.merge.fixedUs.value),
      roundUs: estimate(h100.merge.roundUs.value),
      partialUs: estimate(h100.merge.partialUs.value),
      rowsAtOnce: estimate(8),
    },
    launch: {
      streamUs: estimate(h100.launch.streamUs.value),
      graphNodeUs: estimate(h100.launch.graphNodeUs.value),
      graphUs: estimate(h100.launch.graphUs.value),
      gridBarrierUs: { rows: h100.launch.gridBarrierUs.rows, source: "scaled" },
    },
    gemm: {
      shapes: [],
      fixedUs: estimate(h100.gemm.fixedUs.value),
      tflops: estimate(round(h100.gemm.tflops.value * peakRatio)),
      memoryGBps: estimate(round((h100.gemm.memoryGBps.value * gbps) / 3350)),
    },
    interconnectGBps: sheet(linkGBps),
    allReduce: [],
    allToAll: undefined,
    elementwise: { fixedUs: estimate(smallKernelUs), memoryGBps: estimate(round((3070 * gbps) / 3350)) },
    sampler: { fixedUs: from("sampler")(25), bytesPerLogit: from("sampler")(8) },
    host: { stepUs: from("host")(150), requestUs: from("host")(1) },
  };
}

function h200() {
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
  return {
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
}

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const decodeBandwidth = (gbps) => ({
  gbps,
  source: {
    basis: "fitted",
    what: `best even decode batch of vLLM 0.19 (LLMServingSim 5daddb2, attention.csv): ${gbps} GB/s of KV; the H100's measured curve scaled to it, B(n) = s · B_H100(n / s)`,
    by: "the project",
    when: "2026-11",
  },
});

const profiles = [
  h100,
  h200(),
  scaled({
    name: "a100-sxm",
    title: "NVIDIA A100 SXM4 80 GB",
    when: "2021",
    sms: 108,
    clockMHz: 1410,
    l2Bytes: 40 * MIB,
    memoryBytes: 80 * GIB,
    linkGBps: 300,
    gbps: 2039,
    tflops: 312,
  }),
  scaled({
    name: "b200",
    title: "NVIDIA B200 180 GB",
    when: "2024",
    sms: 148,
    clockMHz: 1965,
    l2Bytes: 126 * MIB,
    memoryBytes: 180 * GIB,
    linkGBps: 900,
    gbps: 8000,
    tflops: 2250,
    fp8: 4500,
  }),
  scaled({
    name: "l40s",
    title: "NVIDIA L40S 48 GB",
    when: "2023",
    sms: 142,
    clockMHz: 2520,
    l2Bytes: 96 * MIB,
    memoryBytes: 48 * GIB,
    linkGBps: 32,
    gbps: 864,
    tflops: 362,
    fp8: 733,
  }),
  servingProfile({
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
  }),
  servingProfile({
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
  }),
  scaled({
    name: "rx-7900-xtx",
    title: "AMD Radeon RX 7900 XTX 24 GB",
    by: "AMD",
    when: "2022",
    sms: 96,
    clockMHz: 2500,
    l2Bytes: 96 * MIB,
    memoryBytes: 24 * GIB,
    linkGBps: 32,
    gbps: 960,
    tflops: 123,
  }),
];
for (const profile of profiles) {
  const file = new URL(`../profiles/${profile.name}.json`, import.meta.url);
  writeFileSync(file, `${compact(profile)}\n`);
  console.log(
    profile.name,
    profile.merge.fixedUs.value,
    profile.gemm.fixedUs.value,
    profile.gemm.tflops.value,
    profile.gemm.memoryGBps.value,
  );
}

/** JSON with arrays of numbers, pairs and quantities on one line each. */
function compact(value) {
  return JSON.stringify(value, null, 2)
    .replace(/\[\s+([-\d.e]+),\s+([-\d.e]+)\s+\]/g, "[$1, $2]")
    .replace(/\{\s+"value": ([-\d.e]+),\s+"source": ("[^"]*")\s+\}/g, '{ "value": $1, "source": $2 }')
    .replace(/(\[[-\d.e]+, [-\d.e]+\],)\s+(?=\[)/g, "$1 ")
    .replace(/\[\s+(\[[^\]]*\](?:, \[[^\]]*\])*)\s+\]/g, "[$1]");
}
