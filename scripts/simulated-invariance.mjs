// What batch invariance costs in simulated time, by kinds of batches: `npm run build && node scripts/simulated-invariance.mjs`.
//
// `invariant` is held against the best of `none`, `balanced` and `tight` on the same batch, as in simulated-policies.mjs: the
// recorded batches, the executor's cases with 32/8 and 64/8 heads, and prompts on long contexts, alone and together. The
// simulation knows where plans may be cut, but not that a kernel starts each chunk afresh and merges its node; the figures
// on the right add that to the longest worker. So the left ones ask for fine chunks, the right ones for coarse ones.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createPlanner, Header, Piece } from "@isochron/planner";
import { findProfile, plannerDevice, simulateKernel } from "@isochron/simulator";
import { readInputs } from "../packages/planner/bench/inputs.mjs";
import { chunkUnits, unitRange } from "../packages/planner/dist/canonical-tree.js";
import { CANDIDATES, summariseRatios } from "./simulated-policies.mjs";

const path = (name) => fileURLToPath(new URL(`../packages/${name}`, import.meta.url));
/** KV tiles that a node of 128 rows takes as long as, and one of a short tile; measured on an H100 (docs/performance.md). */
const NODE_TILES = 2;
const SHORT_NODE_TILES = 0.05;
const SHORT_ROWS = 16;

/** Batches as { kind, smCount, attention, batch }. */
function* allBatches(profile) {
  const smCount = profile.device.smCount.value;
  const attentionOf = (queryHeads, kvHeads) => {
    return {
      queryHeads,
      kvHeads,
      headDim: 128,
      dtype: "bf16",
      kvDtype: "bf16",
      pageSize: 16,
      mask: { kind: "causal" },
    };
  };
  const data = path("planner/bench/data");
  const files = readdirSync(data).filter((name) => name.endsWith(".json.gz"));
  for (const input of readInputs(files.map((name) => join(data, name)))) {
    if (input.smCount <= smCount) yield { ...input, kind: `recorded, ${kindOf(input.batch)}` };
  }
  const sections = JSON.parse(readFileSync(path("cuda-executor/bench/data/cases.json"), "utf8"));
  for (const section of ["decode", "prefill", "mixed"]) {
    for (const { kv_lens: kvLens, qo_lens: qoLens = kvLens.map(() => 1) } of sections[section]) {
      for (const queryHeads of [32, 64]) {
        const batch = { qoLens, kvLens };
        yield { kind: `executor, ${section}`, smCount, attention: attentionOf(queryHeads, 8), batch };
      }
    }
  }
  for (const requests of [1, 4, 16, 64]) {
    for (const tokens of [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]) {
      for (const context of [2048, 8192, 32_768, 131_072]) {
        // As many as a step of 8,192 new tokens and the memory for a million others hold.
        if (requests * tokens > 8192 || requests * context > 1e6) continue;
        const batch = { qoLens: Array(requests).fill(tokens), kvLens: Array(requests).fill(context) };
        for (const [queryHeads, kvHeads] of [
          [32, 8],
          [64, 8],
          [8, 1],
        ]) {
          yield { kind: `prompts, ${requests}`, smCount, attention: attentionOf(queryHeads, kvHeads), batch };
        }
      }
    }
  }
}

function kindOf({ qoLens, kvLens }) {
  const longest = Math.max(...qoLens);
  if (longest <= 8) return longest === 1 ? "decode" : "to 8 tokens";
  return qoLens.every((tokens, request) => tokens === kvLens[request]) ? "prefill" : "mixed";
}

/** How much longer the longest worker of a plan is with the nodes of its chunks, in the planner's prices. */
function nodeFactor(plan, { costModel }, qoLens, queryHeads) {
  const { pieces, header } = plan;
  const { kvTileTokens, queryTiles } = costModel;
  let longestNs = 0;
  let longestWithNodesNs = 0;
  for (let worker = 0; worker < plan.workers; worker++) {
    let loadNs = 0;
    let nodesNs = 0;
    for (let i = plan.workerPieceIndptr[worker]; i < plan.workerPieceIndptr[worker + 1]; i++) {
      const [kvStart, kvEnd] = [pieces[i * Piece.stride + Piece.kvStart], pieces[i * Piece.stride + Piece.kvEnd]];
      if (kvStart === kvEnd) continue;
      const heads = pieces[i * Piece.stride + Piece.headCount];
      const tileRows = pieces[i * Piece.stride + Piece.rows] >>> 16;
      const price = queryTiles.find(({ rows }) => rows >= tileRows) ?? queryTiles.at(-1);
      const tileNs = price.kvTileNs * Math.max(1, tileRows / price.rows);
      const tiles = Math.ceil(kvEnd / kvTileTokens) - Math.floor(kvStart / kvTileTokens);
      loadNs += heads * (price.pieceNs + tiles * tileNs);
      const requestRows = qoLens[pieces[i * Piece.stride + Piece.request]] * queryHeads;
      const [from, to] = unitRange(kvStart, kvEnd, header[Header.mergeGridTokens], requestRows);
      const nodeTiles = tileRows > SHORT_ROWS ? NODE_TILES * Math.min(1, tileRows / 128) : SHORT_NODE_TILES;
      for (let unit = from + chunkUnits(from, requestRows); unit < to; unit += chunkUnits(unit, requestRows)) {
        nodesNs += heads * nodeTiles * tileNs;
      }
    }
    longestNs = Math.max(longestNs, loadNs);
    longestWithNodesNs = Math.max(longestWithNodesNs, loadNs + nodesNs);
  }
  return longestNs === 0 ? 1 : longestWithNodesNs / longestNs;
}

const profile = findProfile("h100-sxm");
const byKind = new Map();
for (const { kind, smCount, attention, batch } of allBatches(profile)) {
  const device = { ...plannerDevice(profile, attention), smCount };
  const planOf = (policy) => createPlanner({ attention, device, policy }).plan(batch);
  const bestUs = Math.min(...CANDIDATES.map((policy) => simulateKernel(planOf(policy), profile).durationUs));
  const plan = planOf("invariant");
  const ratio = simulateKernel(plan, profile).durationUs / bestUs;
  const withNodes = ratio * nodeFactor(plan, device, batch.qoLens, attention.queryHeads);
  for (const name of [kind, `${kind.split(",")[0]}, all`]) {
    byKind.set(name, [...(byKind.get(name) ?? []), { ratio, withNodes }]);
  }
}
console.log("kind                    batches   mean    p95  worst   with nodes: mean    p95  worst");
for (const [kind, ratios] of byKind) {
  const cells = ["ratio", "withNodes"].map((which) => {
    const { mean, p95, worst } = summariseRatios(ratios.map((of) => of[which]));
    return [mean, p95, worst].map((value) => value.toFixed(3).padStart(6)).join(" ");
  });
  console.log(`${kind.padEnd(23)} ${String(ratios.length).padStart(7)} ${cells[0]}            ${cells[1]}`);
}
