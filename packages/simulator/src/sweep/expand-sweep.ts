// A sweep document → its configurations, in the order of a number whose digits are the axes' values: the last axis varies
// fastest. Excluded combinations have no number.

import type { AxisValue, FieldMatch, FieldTree, FieldValue, SweepDocument } from "../documents/sweep.ts";
import { type Fields, leavesOf, overlap, requireApart } from "./fields.ts";
import { SweepError } from "./sweep-error.ts";

export interface Configuration {
  /** Position among all that are to be run. */
  readonly index: number;
  readonly fields: Fields;
}

/** Chosen: rows of this many take about a gigabyte of memory when results are written. */
const MAX_COMBINATIONS = 100_000;

/**
 * @throws SweepError for axes that set the same field or hold a value twice, rules that can never match, and a sweep that is
 * empty or too large
 */
export function expandSweep(document: SweepDocument): Configuration[] {
  const { base, axes, exclude = [] } = document;
  requireApart(base, "base");
  const settings = Object.entries(axes).map(([axis, values]) => settingsOf(axis, values));
  requireDistinctFields(document);
  const combinations = settings.reduce((product, values) => product * values.length, 1);
  if (combinations > MAX_COMBINATIONS) {
    throw new SweepError("axes", combinations, `at most ${MAX_COMBINATIONS.toLocaleString("en-US")} combinations`);
  }
  const known = sweptPaths(document);
  exclude.forEach((rule, i) => {
    requireKnown(rule, known, `exclude[${i}]`);
  });
  for (const [list, at] of [
    [document.workload, "workload"],
    [document.repeat, "repeat"],
  ] as const) {
    list?.forEach((path, i) => {
      if (!known.has(path)) throw new SweepError(`${at}[${i}]`, path, `a field of base or axes (${names(known)})`);
    });
  }
  const common = leavesOf(base);
  const configurations: Configuration[] = [];
  const digits = new Array<number>(settings.length).fill(0);
  for (let combination = 0; combination < combinations; combination++) {
    const fields = merged(
      common,
      settings.flatMap((values, axis) => values[digits[axis]!]!),
    );
    if (!exclude.some((rule) => matches(fields, rule))) configurations.push({ index: configurations.length, fields });
    for (let axis = digits.length - 1; axis >= 0; axis--) {
      digits[axis] = (digits[axis]! + 1) % settings[axis]!.length;
      if (digits[axis] !== 0) break;
    }
  }
  if (configurations.length === 0) throw new SweepError("exclude", exclude, "rules that leave a combination to run");
  return configurations;
}

type Setting = readonly (readonly [path: string, value: FieldValue])[];

/** What each value of an axis sets. */
function settingsOf(axis: string, values: readonly AxisValue[]): Setting[] {
  const settings = values.map((value, i): Setting => {
    if (value === null || typeof value !== "object") return [[axis, value]];
    requireApart(value, `axes.${axis}[${i}]`);
    return leavesOf(value);
  });
  const seen = new Set<string>();
  settings.forEach((setting, i) => {
    // The number 2 and the text "2" are one setting.
    const text = JSON.stringify(setting.map(([path, value]) => [path, String(value)]));
    if (seen.has(text)) throw new SweepError(`axes.${axis}[${i}]`, values[i], "a value that is not there already");
    seen.add(text);
  });
  return settings;
}

/** Two axes that set one field would hide each other. */
function requireDistinctFields({ base, axes }: SweepDocument): void {
  const owners = new Map<string, string>();
  for (const [axis, values] of Object.entries(axes)) {
    const paths = new Set(settingsOf(axis, values).flatMap((setting) => setting.map(([path]) => path)));
    for (const path of paths) {
      for (const [other, owner] of owners) {
        if (overlap(path, other)) {
          throw new SweepError(`axes.${axis}`, path, `a field that axes.${owner} does not set`);
        }
      }
    }
    // Inside one axis only one value at a time sets its fields.
    for (const path of paths) owners.set(path, axis);
  }
  for (const [path] of leavesOf(base)) {
    for (const [other, owner] of owners) {
      // An axis may replace a field of the base; half a field it cannot.
      if (path !== other && overlap(path, other)) {
        throw new SweepError(`axes.${owner}`, other, `a field that goes with base.${path}`);
      }
    }
  }
}

function merged(common: Setting, setting: Setting): Fields {
  const fields: Record<string, FieldValue> = {};
  for (const [path, value] of [...common, ...setting]) fields[path] = value;
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as Fields;
}

function matches(fields: Fields, rule: FieldMatch): boolean {
  return Object.entries(rule).every(([path, wanted]) => {
    const value = fields[path] ?? null;
    return Array.isArray(wanted) ? wanted.includes(value) : value === wanted;
  });
}

/** Every path that base or an axis sets. */
export function sweptPaths({ base, axes }: SweepDocument): ReadonlySet<string> {
  const trees: FieldTree[] = Object.entries(axes).flatMap(([axis, values]) =>
    values.map((value): FieldTree => (value !== null && typeof value === "object" ? value : { [axis]: value })),
  );
  return new Set([base, ...trees].flatMap((tree) => leavesOf(tree).map(([path]) => path)));
}

function requireKnown(rule: FieldMatch, known: ReadonlySet<string>, at: string): void {
  for (const path of Object.keys(rule)) {
    if (!known.has(path)) throw new SweepError(at, path, `a field of base or axes (${names(known)})`);
  }
}

function names(paths: ReadonlySet<string>): string {
  return [...paths].join(", ");
}
