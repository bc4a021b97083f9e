// All figures of the validation: simulates every measurement of a data folder, and names the errors that must not grow.

import { errorTable } from "./error-table.mjs";
import { kernelRows } from "./kernel-h100.mjs";
import { vllmRows } from "./kernel-vllm.mjs";
import { servingFigures } from "./serving.mjs";

/** Errors may grow by this much before a check fails: profiles are rounded. */
export const TOLERANCE = 0.002;

/**
 * { rows, table, serving, runs, missing }: kernel cases, their errors by kernel, figures of the serving level, the runs in
 * detail, and one sentence for each measurement that the folder lacks.
 */
export async function allFigures(data, { kernel = true, serving = true } = {}) {
  const missing = [];
  const rows = kernel ? [...kernelRows(data, missing), ...vllmRows(data, missing)] : [];
  const { rows: figures, runs } = serving ? await servingFigures(data, missing) : { rows: [], runs: [] };
  return { rows, table: errorTable(rows), serving: figures, runs, missing: [...new Set(missing)] };
}

/** Sizes of all errors by name. */
export function errorSizes({ table, serving }) {
  return Object.fromEntries([
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
}

/** Errors that are worse than they were by more than the tolerance, and names that only one side has. */
export function regressions(sizes, expected) {
  const percent = (value) => `${(value * 100).toFixed(1)} %`;
  return [
    ...Object.entries(sizes).flatMap(([name, now]) => {
      const then = expected[name];
      if (then === undefined) return [`${name}: error ${percent(now)}, not recorded: run with --record`];
      return now <= then + TOLERANCE ? [] : [`${name}: error ${percent(now)}, was ${percent(then)}`];
    }),
    ...Object.keys(expected)
      .filter((name) => sizes[name] === undefined)
      .map((name) => `${name}: recorded, but no longer computed`),
  ];
}
