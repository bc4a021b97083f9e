// Compares the simulator with measurements and prints the error table.
//
//   npm run validate -w @isochron/simulator [-- --cases] [-- --json] [-- --record]
//
// Fails when an error is worse than the one in expected.json (--record writes it anew).

import { readFileSync, writeFileSync } from "node:fs";
import { kernelRows } from "./kernel-h100.mjs";
import { vllmRows } from "./kernel-vllm.mjs";

const expectedFile = new URL("./expected.json", import.meta.url);
/** Errors may grow by this much before the run fails: profiles are rounded. */
const TOLERANCE = 0.002;

const quantile = (sorted, q) => {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};

function errorTable(rows) {
  const groups = Map.groupBy === undefined ? groupBy(rows) : Map.groupBy(rows, (row) => row.kernel);
  return [...groups].map(([kernel, group]) => {
    const errors = group.map((row) => row.simulatedUs / row.measuredUs - 1);
    const sizes = errors.map(Math.abs).sort((a, b) => a - b);
    const worst = group[errors.findIndex((error) => Math.abs(error) === sizes.at(-1))];
    return {
      what: kernel,
      cases: group.length,
      median: quantile(sizes, 0.5),
      p90: quantile(sizes, 0.9),
      worst: sizes.at(-1),
      bias: quantile(
        [...errors].sort((a, b) => a - b),
        0.5,
      ),
      worstCase: `${worst.case} ${worst.heads}`,
    };
  });
}

function groupBy(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.kernel, [...(groups.get(row.kernel) ?? []), row]);
  return groups;
}

const rows = [...kernelRows(), ...vllmRows()];
const table = errorTable(rows);
const percent = (value) => `${(value * 100).toFixed(1)} %`;
if (process.argv.includes("--json")) {
  console.log(JSON.stringify({ isochron: "validation/1", table, rows }));
} else {
  if (process.argv.includes("--cases")) {
    console.table(
      rows.map((row) => ({
        kernel: row.kernel,
        case: row.case,
        heads: row.heads,
        measuredUs: row.measuredUs,
        simulatedUs: Number(row.simulatedUs.toFixed(1)),
        error: percent(row.simulatedUs / row.measuredUs - 1),
      })),
    );
  }
  console.table(
    table.map(({ what, cases, median, p90, worst, bias, worstCase }) => ({
      against: what,
      cases,
      "median |error|": percent(median),
      "p90 |error|": percent(p90),
      worst: percent(worst),
      "median error": percent(bias),
      "worst case": worstCase,
    })),
  );
}

if (process.argv.includes("--record")) {
  const record = Object.fromEntries(table.map(({ what, median, p90 }) => [what, { median, p90 }]));
  writeFileSync(expectedFile, `${JSON.stringify(record, null, 2)}\n`);
} else {
  const expected = JSON.parse(readFileSync(expectedFile, "utf8"));
  for (const { what, median, p90 } of table) {
    const before = expected[what];
    if (before === undefined) continue;
    for (const [name, now, then] of [
      ["median", median, before.median],
      ["p90", p90, before.p90],
    ]) {
      if (now <= then + TOLERANCE) continue;
      console.error(`${what}: ${name} error ${percent(now)}, was ${percent(then)}`);
      process.exitCode = 1;
    }
  }
}
