// Measures the policies: balance over recorded batches, plan time, garbage collections, bytes, package size; prints tables,
// compares with the targets and writes JSON.
//
//   npm run bench -w @isochron/planner [-- --inputs FILE… --policies NAME,… --out FILE]
//
// --inputs    files of recorded inputs (default: all of bench/data)
// --policies  names separated by commas (default: all)
// --out       where the JSON goes (default: bench/results.json of this package)
//
// Exit code 0 when it ran, whatever the figures; 2 when an argument or a file cannot be used.

import { readdirSync, renameSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { H100_SXM, POLICIES } from "../dist/index.js";
import { RecordingError } from "../scripts/recordings.mjs";
import { measureBalance } from "./balance.mjs";
import { readInputs } from "./inputs.mjs";
import { measurePackageSize } from "./package-size.mjs";
import { measurePlanTimes } from "./plan-time.mjs";
import { balanceTables, planTimeTable, print, sizeTable, targetTable } from "./tables.mjs";
import { compareWithTargets } from "./targets.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));

async function main() {
  const { inputs, policies, out } = readArguments();
  const batches = readInputs(inputs);
  const total = batches.reduce((sum, batch) => sum + batch.count, 0);
  console.error(`${total} recorded inputs, ${batches.length} different; ${policies.length} policies`);

  // Times first, on a heap that the balance of large batches has not grown yet.
  const planTimes = await measurePlanTimes(policies);
  const balance = measureBalance(policies, batches, H100_SXM);
  const packageSize = await measurePackageSize();
  const targets = compareWithTargets({ balance, planTimes, packageSize });

  const sizes = packageSize === undefined ? [] : [sizeTable(packageSize)];
  for (const table of [...balanceTables(balance), planTimeTable(planTimes), ...sizes, targetTable(targets)])
    print(table);
  const results = {
    isochron: "planner-bench/1",
    machine: { node: process.version, cpu: cpus()[0]?.model ?? "unknown", device: H100_SXM.name },
    inputs: { recorded: total, different: batches.length },
    balance,
    planTimes,
    packageSize,
    targets,
  };
  writeFileSync(`${out}.partial`, `${JSON.stringify(results, undefined, 1)}\n`);
  renameSync(`${out}.partial`, out);
  console.error(`wrote ${out}`);
}

function readArguments() {
  const options = { inputs: { type: "string", multiple: true }, policies: { type: "string" }, out: { type: "string" } };
  // `--inputs A B` and `--inputs A --inputs B` mean the same.
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length > 0 && values.inputs === undefined) throw new TypeError(`unexpected ${positionals[0]}`);
  // npm runs scripts in the package's folder; paths are meant from where npm was called.
  const fromCaller = (path) => resolve(process.env.INIT_CWD ?? ".", path);
  const data = join(HERE, "data");
  const bundled = () =>
    readdirSync(data)
      .filter((name) => name.endsWith(".json.gz"))
      .map((name) => join(data, name));
  const known = Object.keys(POLICIES);
  const policies = values.policies?.split(",") ?? known;
  for (const name of policies) {
    if (!known.includes(name)) throw new TypeError(`unknown policy "${name}", expected some of ${known.join(", ")}`);
  }
  return {
    inputs: values.inputs ? [...values.inputs, ...positionals].map(fromCaller) : bundled(),
    policies,
    out: values.out ? fromCaller(values.out) : join(HERE, "results.json"),
  };
}

try {
  await main();
} catch (error) {
  if (!(error instanceof RecordingError || error instanceof TypeError || error.code?.startsWith?.("ERR_PARSE_ARGS"))) {
    throw error;
  }
  console.error(error.message);
  process.exitCode = 2;
}
