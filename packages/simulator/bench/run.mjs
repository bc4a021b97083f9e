// Benchmarks of the simulator: `npm run bench -w @isochron/simulator [-- NAME...]`. Each case is measured five times where
// it does not say otherwise; the table shows the median and the best. Results also go to bench/results.json.
// Adding a case: a file like its neighbours that exports `cases`, and its cases in CASES. Sweeps over many cores belong to the
// command: `npm run bench -w isochron`.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { cases as replayCases } from "./replay.mjs";

const CASES = [...replayCases];
const RUNS = 5;

const asked = process.argv.slice(2);
const results = [];
for (const { name, target, run, runs = RUNS } of CASES) {
  if (asked.length > 0 && !asked.some((part) => name.includes(part))) continue;
  const values = [];
  let details = {};
  for (let i = 0; i < runs; i++) {
    const { value, ...rest } = await run();
    values.push(value);
    details = rest;
  }
  values.sort((a, b) => a - b);
  const result = {
    name,
    unit: target.unit,
    median: values[runs >> 1],
    best: values[runs - 1],
    target: target.least,
    ...details,
  };
  results.push(result);
  const figure = (value) => Math.round(value).toLocaleString("en");
  console.log(
    `${name.padEnd(58)} ${figure(result.median).padStart(9)} ${figure(result.best).padStart(9)} ${target.unit}, target ${figure(target.least)}`,
  );
}
writeFileSync(
  fileURLToPath(new URL("results.json", import.meta.url)),
  `${JSON.stringify({ node: process.version, cpu: cpus()[0].model, results }, null, 2)}\n`,
);
