// Compares the simulator with measurements: prints the error tables, writes them into docs/accuracy.md, and fails when an
// error is worse than the one in expected.json.
//
//   npm run validate -w @isochron/simulator [-- --kernel | --serving] [-- --cases] [-- --json] [-- --record] [-- --data DIR]
//
// --kernel, --serving: one level only. --cases: every kernel case. --record: expected.json and the page anew. --data: another
// folder, laid out as this package's or with `h100`, `perf`, `validation` and `traces` in it; whatever of it is there is
// simulated, what is not is named, and nothing is compared or written then.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { writeAccuracyPage } from "./accuracy-page.mjs";
import { allFigures, errorSizes, regressions } from "./figures.mjs";

const expectedFile = new URL("./expected.json", import.meta.url);
const has = (flag) => process.argv.includes(flag);
const dataFlag = process.argv.indexOf("--data");
const isElsewhere = dataFlag >= 0;
const data = isElsewhere
  ? pathToFileURL(`${resolve(process.env.INIT_CWD ?? ".", process.argv[dataFlag + 1] ?? "")}/`)
  : new URL("./data/", import.meta.url);

if (isElsewhere && (process.argv[dataFlag + 1] === undefined || !existsSync(data))) {
  console.error(`--data: ${process.argv[dataFlag + 1] ?? "nothing"} is not a folder`);
  process.exit(2);
}

const figures = await allFigures(data, { kernel: !has("--serving"), serving: !has("--kernel") });
const { rows, table, serving, runs, missing } = figures;
for (const what of missing) console.error(`not at hand: ${what}`);
if (rows.length === 0 && serving.length === 0) {
  console.error("nothing to validate against was found");
  process.exitCode = 2;
}

const percent = (value) => `${(value * 100).toFixed(1)} %`;
if (has("--json")) {
  console.log(JSON.stringify({ isochron: "validation/1", table, serving, rows, missing }));
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

if (!isElsewhere) {
  const sizes = errorSizes(figures);
  const expected = JSON.parse(readFileSync(expectedFile, "utf8"));
  const isWhole = !has("--kernel") && !has("--serving");
  if (has("--record")) {
    writeFileSync(expectedFile, `${JSON.stringify(isWhole ? sizes : { ...expected, ...sizes }, null, 2)}\n`);
    if (isWhole) writeAccuracyPage(table, serving, runs);
  } else {
    const compared = isWhole ? expected : Object.fromEntries(Object.keys(sizes).map((name) => [name, expected[name]]));
    for (const worse of regressions(sizes, compared)) {
      console.error(worse);
      process.exitCode = 1;
    }
  }
}
