// Compares the simulator with measurements: prints the error tables, writes them into docs/accuracy.md, and fails when an
// error is worse than the one in expected.json.
//
//   npm run validate -w @isochron/simulator [-- --kernel | --serving] [-- --cases] [-- --json] [-- --record] [-- --data DIR]
//
// --kernel, --serving: one level only. --cases: every kernel case. --record: expected.json and the page anew. --data: the
// serving level against another folder, with `validation`, `perf` and `traces` in it; nothing is compared or written then.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { writeAccuracyPage } from "./accuracy-page.mjs";
import { errorTable } from "./error-table.mjs";
import { kernelRows } from "./kernel-h100.mjs";
import { vllmRows } from "./kernel-vllm.mjs";
import { servingFigures } from "./serving.mjs";

const expectedFile = new URL("./expected.json", import.meta.url);
/** Errors may grow by this much before the run fails: profiles are rounded. */
const TOLERANCE = 0.002;

const has = (flag) => process.argv.includes(flag);
const dataFlag = process.argv.indexOf("--data");
const isElsewhere = dataFlag >= 0;
const data = isElsewhere
  ? pathToFileURL(`${resolve(process.env.INIT_CWD ?? ".", process.argv[dataFlag + 1])}/`)
  : new URL("./data/", import.meta.url);

const rows = has("--serving") || isElsewhere ? [] : [...kernelRows(), ...vllmRows()];
const table = errorTable(rows);
const { rows: serving, runs } = has("--kernel") ? { rows: [], runs: [] } : await servingFigures(data);

const percent = (value) => `${(value * 100).toFixed(1)} %`;
if (has("--json")) {
  console.log(JSON.stringify({ isochron: "validation/1", table, serving, rows }));
} else {
  if (has("--cases")) {
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
  if (table.length > 0) {
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
  if (serving.length > 0) {
    console.table(
      serving.map(({ against, what, error, target, field, cases }) => ({
        against,
        what,
        error: percent(error),
        target: target === undefined ? "" : percent(target),
        reached: target === undefined ? "" : Math.abs(error) <= target ? "yes" : "no",
        others: field,
        cases,
      })),
    );
  }
}

/** Sizes of all errors by name. */
const sizes = Object.fromEntries([
  ...table.flatMap(({ what, median, p90 }) => [
    [`${what}: median`, median],
    [`${what}: p90`, p90],
  ]),
  // A factor in a name changes with the last digit of a fit.
  ...serving.map(({ against, what, error }) => [
    `${against.replace(/times [\d.]+/, "times a factor")}: ${what}`,
    Math.abs(error),
  ]),
]);
if (!isElsewhere) {
  const expected = JSON.parse(readFileSync(expectedFile, "utf8"));
  if (has("--record")) {
    const all = { ...expected, ...sizes };
    const whole = !has("--kernel") && !has("--serving");
    writeFileSync(expectedFile, `${JSON.stringify(whole ? sizes : all, null, 2)}\n`);
    if (whole) writeAccuracyPage(table, serving, runs);
  } else {
    for (const [name, now] of Object.entries(sizes)) {
      const then = expected[name];
      if (then === undefined || now <= then + TOLERANCE) continue;
      console.error(`${name}: error ${percent(now)}, was ${percent(then)}`);
      process.exitCode = 1;
    }
  }
}
