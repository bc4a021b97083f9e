// Memory of long replays: `npm run bench:memory -w @isochron/simulator`. Each length runs in a process of its own, so that
// its peak is its own; a streamed trace should need hardly more for 10 million requests than for one million. Prints a
// table and writes bench/memory.json.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findModel, findProfile, gpuFacts, replay, syntheticTrace } from "../dist/index.js";
import { cheapTimer } from "./replay.mjs";

const LENGTHS = [100_000, 1_000_000, 10_000_000];
const LIMIT_MIB = 1024;

if (process.argv[2] === undefined) {
  const rows = LENGTHS.map((requests) => {
    const run = spawnSync(process.execPath, [fileURLToPath(import.meta.url), String(requests)], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(run.stderr);
    return JSON.parse(run.stdout);
  });
  console.table(rows);
  const most = Math.max(...rows.map((row) => row.peakRssMiB));
  console.log(`most ${most} MiB, target ${LIMIT_MIB} MiB: ${most <= LIMIT_MIB ? "reached" : "not reached"}`);
  writeFileSync(fileURLToPath(new URL("memory.json", import.meta.url)), `${JSON.stringify(rows, null, 2)}\n`);
} else {
  const requests = Number(process.argv[2]);
  const started = performance.now();
  const report = await replay({
    trace: syntheticTrace({
      requests,
      arrivals: { kind: "poisson", perSecond: 200 },
      input: { kind: "lognormal", median: 300, sigma: 0.8, max: 8000 },
      output: { kind: "constant", tokens: 20 },
      seed: 1,
    }),
    deployment: {
      model: findModel("llama-3.1-8b"),
      gpu: gpuFacts(findProfile("h100-sxm")),
      attention: "balanced",
      replicas: 8,
    },
    stepTimer: cheapTimer(),
  });
  const { completed, rejected } = report.metrics;
  const peakRssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
  console.log(JSON.stringify({ requests, completed, rejected, seconds, peakRssMiB }));
}
