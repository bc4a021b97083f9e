// Where the time of one launch goes: quantiles over its pieces of every phase, from the instrumented kernel.
//   node profile.js [--cases FILE] [--match TEXT] [--heads 32/8] [--pages 16] [--policy P]

import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, Piece, type PolicyName } from "@isochron/planner";
import { readCases } from "./case-file.ts";
import { batchOf, coldCase, createPool } from "./pool.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    policy: { type: "string", default: "balanced" },
    heads: { type: "string", default: "32/8" },
    pages: { type: "string", default: "16" },
    match: { type: "string", default: "" },
    pool: { type: "string", default: "0.5" },
    copies: { type: "string", default: "6" },
  },
});
const sections = readCases(values.cases ?? new URL("../../bench/data/cases.json", import.meta.url));
const [queryHeads, kvHeads] = values.heads.split("/").map(Number) as [number, number];
const attention: AttentionShape = {
  queryHeads,
  kvHeads,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: Number(values.pages),
  mask: { kind: "causal" },
};
const executor = CudaExecutor.open();
const pool = createPool(executor, Number(values.pool));
const GHZ = 1.98; // the boost clock, for reading cycles as µs at a glance
const wanted = values.match.split(",");
for (const one of [...sections.values()].flat().filter(({ id }) => wanted.includes(id))) {
  const plan = createPlanner({
    attention,
    device: executor.plannerDevice(attention),
    policy: values.policy as PolicyName,
  }).plan(batchOf(one, attention.pageSize));
  const cold = await coldCase(executor, pool, attention, one, Number(values.copies));
  const trace = await executor.trace(plan, [...cold.layers, ...cold.layers]);
  console.log(`${one.id}: event time ${trace.durationUs.toFixed(1)} µs, ${plan.stats.pieces} pieces`);
  const rows = (data: Float64Array, f: (at: number) => number): number[] =>
    Array.from({ length: data.length / 8 }, (_, i) => f(i * 8));
  const print = (name: string, list: number[]): void => {
    const sorted = list.toSorted((a, b) => a - b);
    const q = (x: number): string =>
      (sorted[Math.min(sorted.length - 1, Math.floor(x * sorted.length))] ?? Number.NaN).toFixed(2);
    console.log(`  ${name.padEnd(28)} min ${q(0)} p10 ${q(0.1)} p50 ${q(0.5)} p90 ${q(0.9)} max ${q(1)}`);
  };
  const { pieces, merges } = trace;
  const us = (cycles: number): number => cycles / (GHZ * 1000);
  print(
    "piece start µs (timer)",
    rows(pieces, (at) => pieces[at]!),
  );
  print(
    "piece end µs (timer)",
    rows(pieces, (at) => pieces[at + 1]!),
  );
  print(
    "CTA begin → first tile",
    rows(pieces, (at) => us(pieces[at + 4]!)),
  );
  print(
    "first tile → last consumed",
    rows(pieces, (at) => us(pieces[at + 5]! - pieces[at + 4]!)),
  );
  print(
    "last consumed → rows written",
    rows(pieces, (at) => us(pieces[at + 6]! - pieces[at + 5]!)),
  );
  print(
    "rows written → arrival+merge",
    rows(pieces, (at) => us(pieces[at + 7]! - pieces[at + 6]!)),
  );
  print(
    "merge start µs (timer)",
    rows(merges, (at) => merges[at]!),
  );
  print(
    "merge end µs (timer)",
    rows(merges, (at) => merges[at + 1]!),
  );
  print(
    "merge duration",
    rows(merges, (at) => us(merges[at + 5]! - merges[at + 4]!)),
  );
  // Pieces in the order of their records, one for each head.
  const tileTimes: Record<string, number[]> = { short: [], tall: [] };
  for (let record = 0, piece = 0; record < plan.pieceRecordCount; record++) {
    const field = (name: number): number => plan.pieces[record * Piece.stride + name]!;
    const tiles = Math.ceil((field(Piece.kvEnd) - field(Piece.kvStart)) / 64);
    for (let h = 0; h < field(Piece.headCount); h++, piece++) {
      const perTile = us(pieces[piece * 8 + 5]! - pieces[piece * 8 + 4]!) / tiles;
      if (tiles >= 8) tileTimes[field(Piece.rows) >> 16 > 16 ? "tall" : "short"]!.push(perTile);
    }
  }
  for (const [kind, list] of Object.entries(tileTimes)) print(`µs a tile, ${kind} pieces`, list);
  const lastOf = new Map<number, number>();
  for (let at = 0; at < pieces.length; at += 8)
    lastOf.set(pieces[at + 3]!, Math.max(lastOf.get(pieces[at + 3]!) ?? 0, pieces[at + 1]!));
  print("worker's last piece end", [...lastOf.values()]);
  const lastOfSm = new Map<number, number>();
  for (let at = 0; at < pieces.length; at += 8)
    lastOfSm.set(pieces[at + 2]!, Math.max(lastOfSm.get(pieces[at + 2]!) ?? 0, pieces[at + 1]!));
  print("SM's last piece end", [...lastOfSm.values()]);
  cold.close();
}
await executor.close();
