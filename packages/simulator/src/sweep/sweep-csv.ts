// Rows of a sweep as CSV (RFC 4180): a column for every field and every number. Texts that a spreadsheet would run as a
// formula are quoted with an apostrophe.

import type { SweepResults, SweepRow } from "../documents/sweep-results.ts";

type Cell = string | number | boolean | null | undefined;

/** Line by line, the header first. */
export function* sweepCsv({ varying, objectives, rows = [] }: SweepResults): Generator<string> {
  const constant = [...new Set(rows.flatMap(({ fields }) => Object.keys(fields)))].filter(
    (path) => !varying.includes(path),
  );
  const paths = [...varying, ...constant];
  const sample = rows.find((row) => row.metrics !== undefined)?.metrics;
  const metrics = sample === undefined ? [...objectives] : leafNames(sample);
  yield line([
    "configuration",
    ...paths,
    "status",
    "gpus",
    "costPerHour",
    "costPerMillionOutputTokens",
    "meetsSlo",
    ...metrics,
    "error",
    "command",
    "report",
  ]);
  for (const row of rows) {
    yield line([
      row.configuration,
      ...paths.map((path) => row.fields[path]),
      row.status,
      row.gpus,
      row.costPerHour,
      row.costPerMillionOutputTokens,
      meetsSlo(row),
      ...metrics.map((path) => leafAt(row.metrics, path)),
      row.error?.message,
      row.command,
      row.report,
    ]);
  }
}

function meetsSlo({ misses }: SweepRow): boolean | null {
  return misses === null ? null : misses.length === 0;
}

/** Dotted paths of everything that is not an object. */
function leafNames(tree: object, prefix = ""): string[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    value !== null && typeof value === "object" ? leafNames(value, `${prefix}${name}.`) : [`${prefix}${name}`],
  );
}

function leafAt(tree: object | undefined, path: string): Cell {
  let value: unknown = tree;
  for (const name of path.split(".")) value = (value as Record<string, unknown> | null | undefined)?.[name];
  return typeof value === "object" ? null : (value as Cell);
}

function line(cells: readonly Cell[]): string {
  return `${cells.map(cellText).join(",")}\r\n`;
}

function cellText(value: Cell): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
