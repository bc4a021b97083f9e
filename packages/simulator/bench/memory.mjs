// Memory of long replays: `npm run bench:memory -w @isochron/simulator`. Each length runs in a process of its own, so that
// its peak is its own; a streamed trace should need hardly more for 10 million requests than for one million. Traces are
// made as they are replayed, or read from a CSV file that is written first. Prints a table and writes bench/memory.json.

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createStepTimer, findModel, findProfile, gpuFacts, openTrace, replay, syntheticTrace } from "../dist/index.js";

const LENGTHS = [100_000, 1_000_000, 10_000_000];
const LIMIT_MIB = 1024;

const [, script, length, file] = process.argv;
if (length === undefined) {
  const rows = [];
  const folder = mkdtempSync(join(tmpdir(), "isochron-memory-"));
  try {
    for (const requests of LENGTHS) {
      const csv = join(folder, "trace.csv");
      await writeCsv(syntheticOf(requests), csv);
      rows.push(measured(requests), measured(requests, csv));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.table(rows);
  const most = Math.max(...rows.map((row) => row.peakRssMiB));
  console.log(`most ${most} MiB, target ${LIMIT_MIB} MiB: ${most <= LIMIT_MIB ? "reached" : "not reached"}`);
  writeFileSync(fileURLToPath(new URL("memory.json", import.meta.url)), `${JSON.stringify(rows, null, 2)}\n`);
} else {
  const requests = Number(length);
  const started = performance.now();
  const model = findModel("llama-3.1-8b");
  const profile = findProfile("h100-sxm");
  const report = await replay({
    trace: file === undefined ? syntheticOf(requests) : await openTrace(file),
    deployment: { model, gpu: gpuFacts(profile), attention: "balanced", replicas: 8 },
    stepTimer: createStepTimer({
      kind: "analytic",
      model,
      profile,
      tensorParallel: 1,
      attentionPolicy: "balanced",
      pageSize: 16,
    }),
  });
  const { completed, rejected } = report.metrics;
  const peakRssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
  const source = file === undefined ? "synthetic" : "CSV file";
  console.log(JSON.stringify({ source, requests, completed, rejected, seconds, peakRssMiB }));
}

function measured(requests, csv) {
  const args = [script, String(requests), ...(csv === undefined ? [] : [csv])];
  const run = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout);
}

function syntheticOf(requests) {
  return syntheticTrace({
    requests,
    arrivals: { kind: "poisson", perSecond: 200 },
    input: { kind: "lognormal", median: 300, sigma: 0.8, max: 8000 },
    output: { kind: "constant", tokens: 20 },
    seed: 1,
  });
}

async function writeCsv(trace, path) {
  const out = createWriteStream(path);
  out.write("arrived_at,num_prefill_tokens,num_decode_tokens\n");
  for await (const requests of trace.chunks()) {
    const lines = requests.map((r) => `${(r.arrivalUs / 1e6).toFixed(6)},${r.inputTokens},${r.outputTokens}\n`);
    if (!out.write(lines.join(""))) await once(out, "drain");
  }
  out.end();
  await once(out, "finish");
}
