// vLLM's FlashAttention-3: a kernel that prepares the schedule, then attention with wgmma and deep TMA pipelines. The rows of
// its tables that are looked at here are not judged.

import { merge, microbench, peakGBps } from "./h100-microbench.mjs";
import { round } from "./numbers.mjs";
import { from } from "./sources.mjs";
import { readTable } from "./tables.mjs";

const rowOf = (phase, columns) =>
  readTable(`aiconfigurator/h100_sxm_vllm_0.24.0_${phase}_attention_bf16_hd128.csv.gz`).find((row) =>
    Object.entries({ num_heads: "32", num_key_value_heads: "8", batch_size: "1", ...columns }).every(
      ([name, value]) => row[name] === value,
    ),
  );
const measuredUs = (phase, columns) => Number(rowOf(phase, columns).latency) * 1000;
/** Everything but the tiles: of one decode. */
const fixedUs = measuredUs("generation", { step: "1" });
/** What a tile takes that others follow: time over rounds of tiles, one tile for each SM, the first less what it shares. */
const rounds = (tiles) => Math.ceil(tiles / microbench.sms) - 1;
// The tables' times include writing the new keys and values to the cache: a CTA for each token, of 512 threads with four KV
// heads and with eight, four of which fit an SM; the first ones are part of the fixed time. Heads of 16/4 are half the tiles
// of 32/8 for the same tokens.
const prompts = { batch_size: "256", isl: "128", step: "0" };
const writers = (kvHeads) => microbench.sms * Math.floor(2048 / Math.min(512, kvHeads * 128));
const halfTilesUs = measuredUs("context", { ...prompts, num_heads: "16", num_key_value_heads: "4" }) - fixedUs;
const halfRounds = rounds(256 * 4 * 4) / rounds(256 * 8 * 4);
const kvWriteUs =
  (halfTilesUs - halfRounds * (measuredUs("context", prompts) - fixedUs)) /
  (1 - halfRounds) /
  ((256 * 128) / writers(4) - 1);
const writeUs = (tokens) => kvWriteUs * Math.max(0, tokens / writers(8) - 1);
const tileUs = (us, tiles, tokens) => (us - fixedUs - writeUs(tokens)) / rounds(tiles);
const smallTileUs = tileUs(measuredUs("generation", { batch_size: "2048", step: "1" }), 2048 * 8, 2048);
const fullTileUs = tileUs(measuredUs("context", prompts), 256 * 8 * 4, 256 * 128);
// Tiles of 128 rows, which are 32 tokens of 4 heads: the first four see one block, the next four two, and so on.
const promptTiles = (8 * 16_384) / 32;
const promptBlocks = (8 * 4 * (128 * 129)) / 2;
// A full tile of one block is a block and the tile's own time; the prompt has both in other proportions.
const blockUs =
  ((measuredUs("context", { isl: "16384", step: "0" }) - fixedUs - writeUs(16_384)) * microbench.sms -
    promptTiles * fullTileUs) /
  (promptBlocks - promptTiles);
/** A row's share of a tile that follows others: mostly writing the output. */
const rowUs = (fullTileUs - blockUs - (smallTileUs - blockUs / 2)) / (128 - 4);
const ownUs = fullTileUs - blockUs - 128 * rowUs;
// A tile that follows none waits for its queries too.
const alone = ["32", "64", "128"].map((isl) => measuredUs("context", { isl, step: "0" }));
const aloneUs = alone.reduce((sum, us) => sum + us, 0) / alone.length;
const aloneRowUs = (aloneUs - fixedUs - blockUs / 2) / (128 - 4);
// Tiles of one block that are bound by memory: what they take longer than their bytes is the start of the next stream.
const nextStartUs =
  tileUs(measuredUs("generation", { batch_size: "2048", step: "127" }), 2048 * 8, 2048) -
  (128 * 512 * microbench.sms) / peakGBps / 1000;
// With one tile for each request a CTA's next one is 132 requests on, which it walks 31 at a time before it can stream.
const oneHead = { num_heads: "8", num_key_value_heads: "1", step: "1" };
const walkedTileUs = tileUs(measuredUs("generation", { ...oneHead, batch_size: "2048" }), 2048, 0);
const walkUs = (walkedTileUs - blockUs / 2 - nextStartUs) / (microbench.sms / 31);
const requestUs = (measuredUs("generation", { ...oneHead, batch_size: "512" }) - fixedUs - 3 * walkedTileUs) / 512;
export const fa3Kernel = {
  policies: ["fa-uniform", "fa3-varlen", "flashinfer-fa3"],
  startUs: from("fa3")(0),
  nextStartUs: from("fa3")(round(nextStartUs, 3)),
  writeOutUs: from("fa3")(0),
  kvTileTokens: from("fa3Source")(128),
  tensorTflops: { rows: [[16, round((microbench.sms * 4 * 128 * 128 * 128) / blockUs / 1e6)]], source: "fa3" },
  computesWholeTiles: true,
  drainUs: from("fa3")(round(ownUs, 3)),
  drainRowUs: from("fa3")(round(rowUs, 3)),
  queryRowUs: from("fa3")(round(aloneRowUs - rowUs, 3)),
  ctaStreams: from("fa3Stages")(3),
  preparationUs: from("fa3")(round(fixedUs - microbench.graph_null_node_us - smallTileUs, 3)),
  preparationRequestUs: from("fa3")(round(requestUs, 3)),
  mostPreparedRequests: from("fa3Source")(992),
  requestWalkUs: from("fa3")(round(walkUs, 3)),
  kvWriteUs: from("fa3Write")(round(kvWriteUs, 3)),
  merge: {
    launchUs: from("fa3Source")(0),
    fixedUs: from("fa3Source")(0),
    roundUs: from("fa3Source")(0),
    partialUs: from("mergeFit")(round(merge.slope, 3)),
    rowsAtOnce: from("mergeFit")(8),
  },
};
