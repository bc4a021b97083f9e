// The benchmark: every case of the case files, the floor of the same run, FlashInfer's recorded times, and the targets.
//   node bench.js [--cases FILE] [--sections decode,prefill,mixed,shared_prefix] [--heads 32/8,64/8,32/32] [--pages 16,1]
//                 [--match TEXT] [--policy P] [--repetitions N] [--out FILE]
//
// Without --cases: data/cases.json with all heads and page sizes, decode steps of traces, and small heads.

import { renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import type { AttentionShape, PolicyName } from "@isochron/planner";
import { readCases, type Section } from "./case-file.ts";
import { withCosts } from "./costs.ts";
import { machine } from "./machine.ts";
import { createPool } from "./pool.ts";
import { isRecordedDevice, readRecorded } from "./recorded.ts";
import { compareWithTargets, printTargets } from "./targets.ts";
import { printRow, ROW_TITLES, type Row, type Timing, timeCases } from "./timed-case.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    sections: { type: "string", default: "decode,trace_steps,small_heads,prefill,mixed,shared_prefix" },
    heads: { type: "string", default: "32/8,64/8,32/32" },
    pages: { type: "string", default: "16,1" },
    match: { type: "string", default: "" },
    policy: { type: "string", default: "balanced" },
    repetitions: { type: "string", default: "50" },
    independent: { type: "boolean", default: false },
    out: { type: "string" },
    "piece-ns": { type: "string" },
    "tall-piece-ns": { type: "string" },
    "tall-tile-ns": { type: "string" },
    "surcharge-tiles": { type: "string" },
    "kv-tile-tokens": { type: "string" },
  },
});

interface Part {
  readonly name: Row["section"];
  readonly file: string | URL;
  readonly section: Section;
  readonly heads: string;
  readonly pages: string;
}

const data = (name: string): URL => new URL(`../../bench/data/${name}`, import.meta.url);
const { heads, pages } = values;
const inFile = (file: string | URL): Part[] =>
  (["decode", "prefill", "mixed", "shared_prefix"] as const).map((name) => ({
    name,
    file,
    section: name,
    heads,
    pages,
  }));
const parts: readonly Part[] = (
  values.cases === undefined
    ? [
        ...inFile(data("cases.json")),
        { name: "trace_steps", file: data("trace-steps.json"), section: "decode", heads: "32/8", pages: "16" } as const,
        { name: "small_heads", file: data("small-heads.json"), section: "decode", heads: "8/1", pages: "16" } as const,
      ]
    : inFile(values.cases)
).filter(({ name }) => values.sections.split(",").includes(name));

const readFile = (file: string | URL): ReturnType<typeof readCases> => {
  try {
    return readCases(file);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(2);
  }
};
// All files are read before the first case runs.
const casesOf = new Map(parts.map(({ file }) => [file, readFile(file)]));
const wanted = values.match.split(",");
const executor = CudaExecutor.open();
const isRecorded = isRecordedDevice(executor.device.name);
const recorded = readRecorded(data("flashinfer.csv"));
const pool = createPool(executor, 1);
const rows: Row[] = [];
const notRun: { case: string; heads: string; pageSize: number; reason: string }[] = [];
for (const { name, file, section, heads, pages } of parts) {
  const cases = (casesOf.get(file)!.get(section) ?? []).filter(({ id }) => wanted.some((part) => id.includes(part)));
  if (cases.length === 0) continue;
  console.log(`\n${name}\n${ROW_TITLES}`);
  for (const pair of heads.split(",")) {
    const [queryHeads, kvHeads] = pair.split("/").map(Number) as [number, number];
    for (const pageSize of pages.split(",").map(Number)) {
      const mask = { kind: "causal" } as const;
      const dtype = "bf16";
      const attention: AttentionShape = { queryHeads, kvHeads, headDim: 128, dtype, kvDtype: dtype, pageSize, mask };
      const timing: Timing = {
        executor,
        pool,
        attention,
        device: withCosts(executor.plannerDevice(attention), values),
        policy: values.policy as PolicyName,
        repetitions: Number(values.repetitions),
        dependent: !values.independent,
        recordedOf: (id) => (isRecorded ? recorded.get(`${id}|${pair}|${pageSize}`) : undefined) ?? new Map(),
      };
      const timed = await timeCases(name, cases, timing);
      timed.rows.forEach(printRow);
      rows.push(...timed.rows);
      for (const one of timed.notRun) {
        notRun.push({ case: one.case, heads: pair, pageSize, reason: one.reason });
        console.log(`${one.case} ${pair} ${pageSize}: not run: ${one.reason}`);
        process.exitCode = 1;
      }
    }
  }
}
const targets = compareWithTargets(rows, isRecorded);
printTargets(targets);
if (values.out !== undefined) {
  const document = { machine: machine(executor), benchmark: "bench", targets, rows, notRun };
  writeFileSync(`${values.out}.part`, `${JSON.stringify(document, null, 1)}\n`);
  renameSync(`${values.out}.part`, values.out);
}
await executor.close();
