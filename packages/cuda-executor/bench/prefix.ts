// Shared prefixes: decodes that share one long prefix, planned with it read once; FlashInfer's recorded times beside.
//   node prefix.js [--cases FILE] [--heads 32/8,64/8] [--pages 16] [--out FILE]

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor, type LayerTensors } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, type PolicyName } from "@isochron/planner";
import { machine } from "./machine.ts";
import { createPool } from "./pool.ts";
import { permutation, seededRandom } from "./random.ts";
import { readRecorded } from "./recorded.ts";
import { withTallCosts } from "./tall-costs.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    policy: { type: "string", default: "balanced" },
    heads: { type: "string", default: "32/8,64/8" },
    pages: { type: "string", default: "16" },
    out: { type: "string" },
    "tall-piece-ns": { type: "string" },
    "tall-tile-ns": { type: "string" },
  },
});
const data = (name: string): URL => new URL(`../../bench/data/${name}`, import.meta.url);
const document = JSON.parse(readFileSync(values.cases ?? data("cases.json"), "utf8")) as {
  shared_prefix: { id: string; shared: number; unique: number[] }[];
};
const BANDWIDTH_GBPS = 3000;
const WARM_UPS = 5;
const REPETITIONS = 50;
const executor = CudaExecutor.open();
const recorded = readRecorded(data("flashinfer.csv"), executor.device.name);
const pool = createPool(executor, 0.5);
const results: Record<string, unknown>[] = [];
console.log("case                      heads ps       us   bound pieces slots | recorded µs");
for (const heads of values.heads.split(",")) {
  const [queryHeads, kvHeads] = heads.split("/").map(Number) as [number, number];
  for (const pageSize of values.pages.split(",").map(Number)) {
    const attention: AttentionShape = {
      queryHeads,
      kvHeads,
      headDim: 128,
      dtype: "bf16",
      kvDtype: "bf16",
      pageSize,
      mask: { kind: "causal" },
    };
    for (const { id, shared, unique } of document.shared_prefix) {
      const batch = unique.length;
      const sharedPages = shared / pageSize;
      const uniquePages = unique.map((length) => Math.ceil(length / pageSize));
      const pagesPerCopy = sharedPages + uniquePages.reduce((sum, n) => sum + n, 0);
      const kvBytes = (shared + unique.reduce((sum, n) => sum + n, 0)) * kvHeads * 128 * 4;
      const copies = Math.max(1, Math.min(16, Math.ceil((512 * 2 ** 20) / kvBytes)));
      const order = permutation(copies * pagesPerCopy, seededRandom(1));
      const entries = batch * sharedPages + uniquePages.reduce((sum, n) => sum + n, 0);
      const table = new Int32Array(copies * entries);
      for (let copy = 0, at = 0; copy < copies; copy++) {
        let next = copy * pagesPerCopy + sharedPages;
        for (let r = 0; r < batch; r++) {
          for (let p = 0; p < sharedPages; p++) table[at++] = order[copy * pagesPerCopy + p]!;
          for (let p = 0; p < uniquePages[r]!; p++) table[at++] = order[next++]!;
        }
      }
      const pageIndices = await executor.upload(table);
      const poolPages = Math.floor(pool.key.byteLength / 2 / (pageSize * kvHeads * 128));
      const layers = Array.from(
        { length: copies },
        (_, copy): LayerTensors => ({
          ...pool,
          pageIndices,
          offsets: { query: copy * batch * queryHeads * 128, pageIndices: copy * entries },
          queryTokens: batch,
          pages: poolPages,
          pageTableLength: entries,
        }),
      );
      const kvLens = unique.map((length) => shared + length);
      const plan = createPlanner({
        attention,
        device: withTallCosts(executor.plannerDevice(attention), values),
        policy: values.policy as PolicyName,
      }).plan({
        qoLens: kvLens.map(() => 1),
        kvLens,
        prefixes: [{ requests: kvLens.map((_, r) => r), kvLen: shared }],
      });
      const graph = executor.capture(plan, layers);
      const times = (await graph.time(plan, WARM_UPS, REPETITIONS)).map((us) => us / copies).sort();
      const us = times[Math.floor(times.length / 2)]!;
      const peers = recorded.get(`${id}|${heads}|${pageSize}`);
      const peerText = [...(peers ?? [])]
        .filter(([name]) => !name.startsWith("part_"))
        .map(([name, peerUs]) => `${name} ${peerUs.toFixed(1)}`)
        .join(", ");
      console.log(
        [
          id.padEnd(25),
          heads.padStart(5),
          String(pageSize).padStart(2),
          us.toFixed(1).padStart(8),
          (kvBytes / BANDWIDTH_GBPS / 1e3).toFixed(1).padStart(7),
          String(plan.stats.pieces).padStart(6),
          String(plan.stats.partialSlots).padStart(5),
          "|",
          peerText,
        ].join(" "),
      );
      results.push({
        case: id,
        heads,
        pageSize,
        policy: values.policy,
        us,
        kvBytes,
        copies,
        recordedUs: Object.fromEntries(peers ?? []),
        stats: plan.stats,
      });
      graph.close();
      pageIndices.close();
    }
  }
}
if (values.out !== undefined) {
  writeFileSync(
    values.out,
    `${JSON.stringify({ machine: machine(executor), benchmark: "prefix", results }, null, 1)}\n`,
  );
}
await executor.close();
