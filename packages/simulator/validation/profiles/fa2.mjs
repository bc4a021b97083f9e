// FlashAttention 2 with pages, as vLLM runs it on GPUs without wgmma.

import { merge, microbench } from "./h100-microbench.mjs";
import { round } from "./numbers.mjs";
import { from } from "./sources.mjs";
import { readTable } from "./tables.mjs";

/**
 * From vLLM's even batches (attention.csv; a decode behind h tokens sees h + 1). Rounds are CTAs over SMs, one on each.
 */
export function fa2Kernel(tables, sms, peakGBps) {
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
