// Prefill and mixed batches: ours and FlashInfer's recorded times of the same cases.
//   node append.js [--cases FILE] [--kind prefill,mixed] [--heads 32/8,64/8] [--pages 16] [--match TEXT] [--out FILE]

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, type PolicyName } from "@isochron/planner";
import { machine } from "./machine.ts";
import { type Case, coldCase, createPool } from "./pool.ts";
import { readRecorded } from "./recorded.ts";
import { withTallCosts } from "./tall-costs.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    kind: { type: "string", default: "prefill,mixed" },
    policy: { type: "string", default: "balanced" },
    heads: { type: "string", default: "32/8,64/8" },
    pages: { type: "string", default: "16" },
    match: { type: "string", default: "" },
    out: { type: "string" },
    "tall-piece-ns": { type: "string" },
    "tall-tile-ns": { type: "string" },
  },
});

interface Recorded {
  readonly id: string;
  readonly qo_lens: number[];
  readonly kv_lens: number[];
}

/** Ceilings of data/NOTICE.md: paged gather in GB/s, sustained bf16 in TFLOP/s. */
const CEILING = { bandwidthGBps: 3000, tflops: 690 };
/** Copies in one graph at most, as recorded. */
const MAX_COPIES: Record<string, number> = { prefill: 3, mixed: 128 };
const WARM_UPS = 5;
const REPETITIONS = 50;

const data = (name: string): URL => new URL(`../../bench/data/${name}`, import.meta.url);
const document = JSON.parse(readFileSync(values.cases ?? data("cases.json"), "utf8")) as Record<string, Recorded[]>;
const executor = CudaExecutor.open();
const recorded = readRecorded(data("flashinfer.csv"), executor.device.name);
const pool = createPool(executor, 0.5);
const results: Record<string, unknown>[] = [];
console.log("case                                heads ps       us   bound TFLOP/s | recorded µs");
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
    for (const kind of values.kind.split(",")) {
      for (const { id, qo_lens, kv_lens } of (document[kind] ?? []).filter((one) => one.id.includes(values.match))) {
        const one: Case = { id, qoLens: qo_lens, kvLens: kv_lens };
        const device = withTallCosts(executor.plannerDevice(attention), values);
        const plan = createPlanner({ attention, device, policy: values.policy as PolicyName }).plan(one);
        const cold = await coldCase(executor, pool, attention, one, MAX_COPIES[kind] ?? 1);
        const graph = executor.capture(plan, cold.layers);
        const times = (await graph.time(plan, WARM_UPS, REPETITIONS)).map((us) => us / cold.copies).sort();
        const us = times[Math.floor(times.length / 2)]!;
        const flops = 4 * 128 * queryHeads * qo_lens.reduce((sum, q, i) => sum + visiblePairs(q, kv_lens[i]!), 0);
        const boundUs = Math.max(cold.kvBytes / CEILING.bandwidthGBps / 1e3, flops / CEILING.tflops / 1e6);
        const peers = recorded.get(`${id}|${heads}|${pageSize}`);
        const peerText = [...(peers ?? [])]
          .filter(([name]) => !name.startsWith("part_"))
          .map(([name, peerUs]) => `${name} ${peerUs.toFixed(1)}`)
          .join(", ");
        console.log(
          [
            id.padEnd(34),
            heads.padStart(5),
            String(pageSize).padStart(2),
            us.toFixed(1).padStart(9),
            boundUs.toFixed(1).padStart(7),
            (flops / us / 1e6).toFixed(0).padStart(6),
            "|",
            peerText,
          ].join(" "),
        );
        results.push({
          case: id,
          kind,
          heads,
          pageSize,
          policy: values.policy,
          us,
          p90Us: times[Math.floor(0.9 * times.length)],
          boundUs,
          flops,
          kvBytes: cold.kvBytes,
          copies: cold.copies,
          recordedUs: Object.fromEntries(peers ?? []),
          stats: plan.stats,
          workspaceBytes: graph.workspaceBytes,
        });
        graph.close();
        cold.close();
      }
    }
  }
}
if (values.out !== undefined) {
  writeFileSync(
    values.out,
    `${JSON.stringify({ machine: machine(executor), benchmark: "append", results }, null, 1)}\n`,
  );
}
await executor.close();

/** Pairs of query and KV token that a causal mask lets through. */
function visiblePairs(qoLen: number, kvLen: number): number {
  return qoLen * (kvLen - qoLen) + (qoLen * (qoLen + 1)) / 2;
}
