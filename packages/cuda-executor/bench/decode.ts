// Decode benchmark: ours, the floor of the same run, and FlashInfer's recorded times, case by case.
//   node decode.js [--cases FILE] [--policy P] [--heads 32/8,64/8,32/32] [--pages 16,1] [--match TEXT] [--out FILE]

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, type Device, type PolicyName } from "@isochron/planner";
import { machine } from "./machine.ts";
import { type Case, coldCase, createPool, timeFloor } from "./pool.ts";
import { bestDecode, readRecorded } from "./recorded.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    policy: { type: "string", default: "balanced" },
    heads: { type: "string", default: "32/8,64/8,32/32" },
    pages: { type: "string", default: "16,1" },
    match: { type: "string", default: "" },
    out: { type: "string" },
    repetitions: { type: "string", default: "50" },
    independent: { type: "boolean", default: false },
    "piece-ns": { type: "string" },
    "surcharge-tiles": { type: "string" },
    "kv-tile-tokens": { type: "string" },
  },
});

const data = (name: string): URL => new URL(`../../bench/data/${name}`, import.meta.url);
const document = JSON.parse(readFileSync(values.cases ?? data("cases.json"), "utf8")) as {
  decode: { id: string; kv_lens: number[]; qo_lens?: number[] }[];
};
const cases: Case[] = document.decode
  .filter(({ id }) => values.match.split(",").some((part) => id.includes(part)))
  .map(({ id, kv_lens, qo_lens }) => ({ id, kvLens: kv_lens, qoLens: qo_lens ?? kv_lens.map(() => 1) }));

const WARM_UPS = 8;
/** What a launch should cost at most, by the bytes of KV that it reads. */
const TARGETS = [
  { name: "KV ≥ 200 MB", from: 200e6, to: Number.POSITIVE_INFINITY, atMost: 1.05 },
  { name: "KV 40–200 MB", from: 40e6, to: 200e6, atMost: 1.12 },
  { name: "KV < 40 MB", from: 0, to: 40e6, atMost: 1.6 },
];
const repetitions = Number(values.repetitions);
const executor = CudaExecutor.open();
const recorded = readRecorded(data("flashinfer.csv"), executor.device.name);
const pool = createPool(executor, 1);
const results: Record<string, unknown>[] = [];
const ratios: { kvBytes: number; floor: number; best: number }[] = [];
console.log(
  "case                      heads ps     kvMB      us   floor  ratio recFloor  best  ours/best pieces merges",
);
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
    for (const one of cases) {
      const device = withCosts(executor.plannerDevice(attention));
      const planner = createPlanner({ attention, device, policy: values.policy as PolicyName });
      const plan = planner.plan(one);
      const cold = await coldCase(executor, pool, attention, one, 128);
      const graph = executor.capture(plan, cold.layers, { dependent: !values.independent });
      const times = (await graph.time(plan, WARM_UPS, repetitions)).map((us) => us / cold.copies);
      const floors: number[] = [];
      for (const ctas of [2, 3]) {
        const floor = await timeFloor(executor, pool, attention, cold, ctas * executor.device.smCount, 4, repetitions);
        floors.push(median(floor));
      }
      const us = median(times);
      const floorUs = Math.min(...floors);
      const key = `${one.id}|${heads}|${pageSize}`;
      const bestUs = bestDecode(recorded.get(key));
      const recordedFloorUs = recorded.get(key)?.get("gather_read");
      ratios.push({
        kvBytes: cold.kvBytes,
        floor: us / floorUs,
        best: bestUs === undefined ? Number.NaN : us / bestUs,
      });
      results.push({
        case: one.id,
        heads,
        pageSize,
        policy: values.policy,
        us,
        p10Us: quantile(times, 0.1),
        p90Us: quantile(times, 0.9),
        floorUs,
        recordedFloorUs,
        bestFlashInferUs: bestUs,
        kvBytes: cold.kvBytes,
        copies: cold.copies,
        repetitions,
        stats: plan.stats,
        workspaceBytes: graph.workspaceBytes,
      });
      console.log(
        [
          one.id.padEnd(25),
          heads.padStart(5),
          String(pageSize).padStart(2),
          (cold.kvBytes / 1e6).toFixed(1).padStart(8),
          us.toFixed(2).padStart(8),
          floorUs.toFixed(2).padStart(8),
          (us / floorUs).toFixed(3).padStart(6),
          (recordedFloorUs ?? Number.NaN).toFixed(2).padStart(8),
          (bestUs ?? Number.NaN).toFixed(2).padStart(8),
          (us / (bestUs ?? Number.NaN)).toFixed(3).padStart(6),
          String(plan.stats.pieces).padStart(5),
          String(plan.stats.partialSlots).padStart(5),
        ].join(" "),
      );
      graph.close();
      cold.close();
    }
  }
}
const withBest = ratios.filter(({ best }) => !Number.isNaN(best));
const geometric = (list: number[]): number => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);
console.log(
  `geometric mean: us/floor ${geometric(ratios.map(({ floor }) => floor)).toFixed(3)}` +
    (withBest.length > 0
      ? `, us/best FlashInfer ${geometric(withBest.map(({ best }) => best)).toFixed(3)}, worst ${Math.max(...withBest.map(({ best }) => best)).toFixed(3)}`
      : ""),
);
for (const { name, from, to, atMost } of TARGETS) {
  const list = ratios.filter(({ kvBytes }) => kvBytes >= from && kvBytes < to).map(({ floor }) => floor);
  if (list.length === 0) continue;
  const met = list.filter((ratio) => ratio <= atMost).length;
  console.log(
    `${name.padEnd(16)} at most ${atMost.toFixed(2)} × floor: ${met} of ${list.length}, geometric mean ${geometric(list).toFixed(3)}, worst ${Math.max(...list).toFixed(3)}`,
  );
}
if (values.out !== undefined) {
  writeFileSync(
    values.out,
    `${JSON.stringify({ machine: machine(executor), benchmark: "decode", results }, null, 1)}\n`,
  );
}
await executor.close();

/** The device with the costs that the command line gives, for finding out which plan well. */
function withCosts(device: Device): Device {
  const { costModel } = device;
  const pieceNs = values["piece-ns"];
  const kvTileTokens = Number(values["kv-tile-tokens"] ?? costModel.kvTileTokens);
  const queryTiles = costModel.queryTiles.map((tile) => ({
    ...tile,
    pieceNs: Number(pieceNs ?? tile.pieceNs),
    kvTileNs: Math.round((tile.kvTileNs * kvTileTokens) / costModel.kvTileTokens),
  }));
  const surchargeTiles = Number(values["surcharge-tiles"] ?? costModel.surchargeTiles);
  return { ...device, costModel: { ...costModel, kvTileTokens, queryTiles, surchargeTiles } };
}

function median(list: ArrayLike<number>): number {
  return quantile(list, 0.5);
}

function quantile(list: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(list).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
