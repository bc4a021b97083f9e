// Runs the checks one after another and prints one line for each. Exit code 1 where one fails.
//   node test.js [--seed N] [--scale F] [--only TEXT]

import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import { CHECKS } from "./checks.ts";

const { values } = parseArgs({
  options: { seed: { type: "string" }, scale: { type: "string" }, only: { type: "string" } },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const scale = Number(values.scale ?? 1);
/** Chosen: often enough to tell slow from stuck. */
const PROGRESS_MS = 5000;
const executor = CudaExecutor.open();
console.log(`${executor.device.name}, seed ${seed}, scale ${scale}`);
let failures = 0;
for (const check of CHECKS) {
  if (values.only !== undefined && !check.name.includes(values.only)) continue;
  const notes: string[] = [];
  const startedMs = performance.now();
  let saidMs = startedMs;
  const progress = (done: number, all: number): void => {
    if (performance.now() - saidMs < PROGRESS_MS) return;
    saidMs = performance.now();
    console.error(`      ${check.name}: ${done.toLocaleString("en")} of ${all.toLocaleString("en")}`);
  };
  try {
    await check.run({ executor, seed, scale, progress, report: (line) => notes.push(line) });
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`ok    ${check.name} (${seconds} s)${notes.length > 0 ? `: ${notes.join("; ")}` : ""}`);
  } catch (error) {
    failures++;
    console.log(`FAIL  ${check.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
await executor.close();
process.exitCode = failures > 0 ? 1 : 0;
