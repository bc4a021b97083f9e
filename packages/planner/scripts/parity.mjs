// Compares the FlashInfer planners of this package with recordings of FlashInfer's own: every field of every case.
//
//   npm run parity -w @isochron/planner -- DIR [--json]
//
// Exit code 0: all usable cases match. 1: at least one differs, or nothing could be compared. 2: DIR cannot be used.

import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { NATIVE_PLANNERS } from "../dist/policies/flashinfer/index.js";
import { firstDifference, RecordingError, readRecordings, skipReason } from "./recordings.mjs";

const USAGE = "Usage: npm run parity -w @isochron/planner -- DIR [--json]";

function main() {
  const { directory, json } = readArguments();
  const reports = compareAll(readRecordings(directory));
  const differences = reports.reduce((sum, report) => sum + report.differences.length, 0);
  const usable = reports.reduce((sum, report) => sum + report.usable, 0);
  if (json) console.log(JSON.stringify({ planners: reports, usable, matched: usable - differences }, undefined, 2));
  else printReports(reports, usable);
  if (usable === 0) console.error("No case could be compared: the recordings hold no usable output.");
  process.exitCode = differences > 0 || usable === 0 ? 1 : 0;
}

function readArguments() {
  const options = { json: { type: "boolean", default: false } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length !== 1) throw new TypeError(`one directory is needed, ${positionals.length} were given`);
  // npm runs scripts in the package's folder; paths are meant from where npm was called.
  return { directory: resolve(process.env.INIT_CWD ?? ".", positionals[0]), json: values.json };
}

function compareAll(cases) {
  const reports = Object.keys(NATIVE_PLANNERS).map((planner) => ({
    planner,
    policy: NATIVE_PLANNERS[planner].policy,
    cases: 0,
    usable: 0,
    matched: 0,
    skipped: {},
    differences: [],
  }));
  for (const recorded of cases) {
    const report = reports.find((candidate) => candidate.planner === recorded.planner);
    if (report === undefined) {
      const known = Object.keys(NATIVE_PLANNERS).join(", ");
      throw new RecordingError(
        recorded.file,
        `${recorded.id}: planner is "${recorded.planner}", expected one of ${known}`,
      );
    }
    report.cases++;
    const reason = skipReason(recorded);
    if (reason !== undefined) {
      report.skipped[reason] = (report.skipped[reason] ?? 0) + 1;
      continue;
    }
    report.usable++;
    const difference = comparePlan(recorded);
    if (difference === undefined) report.matched++;
    else report.differences.push({ file: recorded.file, case: recorded.id, ...difference });
  }
  return reports;
}

function comparePlan({ planner, input, output }) {
  try {
    return firstDifference(output, NATIVE_PLANNERS[planner].plan(input));
  } catch (error) {
    return { field: "(output)", expected: "a plan", got: `${error.name}: ${error.message}` };
  }
}

function printReports(reports, usable) {
  for (const { planner, policy, matched, usable: count, skipped, differences } of reports) {
    const left = Object.entries(skipped).map(([reason, n]) => `${n} ${reason}`);
    const note = left.length === 0 ? "" : `   skipped: ${left.join(", ")}`;
    console.log(`${planner.padEnd(9)} ${policy.padEnd(20)} ${matched}/${count} usable cases match${note}`);
    for (const difference of differences) {
      const at = difference.index === undefined ? "" : `[${difference.index}]`;
      const { expected, got } = difference;
      console.log(`  ${difference.case}: ${difference.field}${at}: expected ${show(expected)}, got ${show(got)}`);
    }
  }
  const matched = reports.reduce((sum, report) => sum + report.matched, 0);
  console.log(`${"all".padEnd(30)} ${matched}/${usable} usable cases match`);
}

function show(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === undefined ? "nothing" : text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

try {
  main();
} catch (error) {
  if (!(error instanceof RecordingError || error instanceof TypeError)) throw error;
  console.error(error instanceof TypeError ? `${error.message}\n${USAGE}` : error.message);
  process.exitCode = 2;
}
