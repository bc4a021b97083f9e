// How a sweep scales with cores: `npm run bench -w isochron [-- CONFIGURATIONS ROUNDS REQUESTS]`. The whole command is measured, from
// reading its document to its written results, with one worker and with one for each core, in turns, so that a change of the machine's load
// meets both. What this machine gives at that moment is measured beside it: threads that only count. Prints a table, writes
// bench/results.json.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { main } from "../dist/main.js";

/** Of the design: the throughput of n workers over that of one, for each of n cores. */
const TARGET = 0.9;
const COUNT_MS = 1000;

const [configurations = 1000, rounds = 3, requests = 3000] = process.argv.slice(2).map(Number);
const cores = availableParallelism();
const folder = mkdtempSync(join(tmpdir(), "isochron-bench-"));

/** Seeds change the router's choices alone: all configurations take about as long. */
const document = {
  isochron: "sweep/1",
  base: { trace: "azure-conv-2023", limit: requests, rate: 4, router: "random" },
  axes: {
    replicas: [2, 3],
    maxBatchedTokens: [512, 1024, 2048, 4096, 8192],
    seed: Array.from({ length: Math.ceil(configurations / 10) }, (_, seed) => seed),
  },
};

try {
  const file = join(folder, "sweep.json");
  writeFileSync(file, JSON.stringify(document));
  const results = [];
  for (let round = 0; round < rounds; round++) {
    // Forwards, then backwards: a load that grows or falls favours neither.
    const order = round % 2 === 0 ? [1, cores] : [cores, 1];
    const sweeps = new Map();
    const counts = new Map();
    for (const workers of order) {
      counts.set(workers, await countsPerSecond(workers));
      sweeps.set(workers, await sweep(file, join(folder, `${round}-${workers}`), workers));
      counts.set(workers, (counts.get(workers) + (await countsPerSecond(workers))) / 2);
    }
    const [one, all] = [sweeps.get(1), sweeps.get(cores)];
    const scaling = one.seconds / all.seconds;
    const machine = counts.get(cores) / counts.get(1);
    results.push({
      oneWorker: one.total / one.seconds,
      allWorkers: all.total / all.seconds,
      scaling,
      machine,
      perCore: scaling / cores,
      perGivenCore: scaling / machine,
      cpuMsOne: one.cpuMs / one.total,
      cpuMsAll: all.cpuMs / all.total,
      cpuRatio: one.cpuMs / all.cpuMs,
      load: loadavg()[0],
    });
  }
  report(results);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function sweep(file, out, workers) {
  const quiet = { write: () => {} };
  const context = { stdout: quiet, stderr: quiet, env: {}, commandLine: "", exitCode: 0 };
  const start = performance.now();
  // Of all threads of this process.
  const cpuBefore = process.cpuUsage();
  const exitCode = await main(["sweep", file, "--workers", String(workers), "--out", out], {
    ...context,
    interrupt: new AbortController().signal,
  });
  const { user, system } = process.cpuUsage(cpuBefore);
  const seconds = (performance.now() - start) / 1000;
  if (exitCode !== 0) throw new Error(`the sweep ended with exit code ${exitCode}`);
  const total = readFileSync(join(out, "results.jsonl"), "utf8").trimEnd().split("\n").length;
  return { seconds, total, cpuMs: (user + system) / 1000 };
}

/** Of threads that share nothing and touch no memory: the most that any program could scale here and now. */
async function countsPerSecond(threads) {
  const code = `
    const { parentPort } = require("node:worker_threads");
    const end = performance.now() + ${COUNT_MS};
    let count = 0;
    for (let x = 1; performance.now() < end; count++) for (let i = 0; i < 1e5; i++) x = (x * 48271) % 2147483647;
    parentPort.postMessage(count);`;
  const counts = await Promise.all(
    Array.from(
      { length: threads },
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker(code, { eval: true });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function report(results) {
  const names = Object.keys(results[0]);
  const median = Object.fromEntries(
    names.map((name) => [name, results.map((result) => result[name]).sort((a, b) => a - b)[results.length >> 1]]),
  );
  const rows = [
    ["configurations/s, 1 worker", "oneWorker"],
    [`configurations/s, ${cores} workers`, "allWorkers"],
    ["scaling", "scaling"],
    ["scaling of threads that only count", "machine"],
    [`scaling / ${cores} cores`, "perCore"],
    ["scaling / what the machine gave", "perGivenCore"],
    ["CPU ms per configuration, 1 worker", "cpuMsOne"],
    [`CPU ms per configuration, ${cores} workers`, "cpuMsAll"],
    ["CPU, 1 worker / all: most it could be", "cpuRatio"],
    ["load average", "load"],
  ];
  console.log(
    `${configurations} configurations of ${requests} requests, ${rounds} rounds, ${cores} cores (${cpus()[0].model.trim()})\n`,
  );
  console.log(`${"".padEnd(40)}${"median".padStart(9)}${results.map((_, i) => `${i + 1}`.padStart(9)).join("")}`);
  for (const [label, name] of rows) {
    const values = [median[name], ...results.map((result) => result[name])];
    console.log(`${label.padEnd(40)}${values.map((value) => value.toFixed(2).padStart(9)).join("")}`);
  }
  const verdict = median.perCore >= TARGET ? "reached" : "not reached";
  console.log(`\nscaling / cores ${median.perCore.toFixed(2)}, target ${TARGET}: ${verdict}`);
  if (median.machine < cores * 0.95) {
    console.log(`This machine was busy: threads that only count scaled by ${median.machine.toFixed(2)}, not ${cores}.`);
  }
  writeFileSync(
    fileURLToPath(new URL("results.json", import.meta.url)),
    `${JSON.stringify({ node: process.version, cpu: cpus()[0].model, cores, configurations, requests, target: TARGET, median, results }, null, 2)}\n`,
  );
}
