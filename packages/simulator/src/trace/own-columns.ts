// Logs of one's own: CSV or JSON lines of any shape, whose columns are named by whoever knows them. A request without an
// answer (0 output tokens, as gateways log those that failed) is counted and left out, as in BurstGPT.

import type { Separator } from "./csv-line.ts";
import { LineError } from "./trace-error.ts";
import { type JsonRecord, type RawRequest, type TraceFormat, timeIn, tokenCount, wallClockUs } from "./trace-format.ts";

/** Names of columns, or of keys; `usage.prompt_tokens` is the key of an object inside an object. */
export type TraceColumns = Readonly<Partial<Record<ArrivalColumn, string>>> & {
  readonly inputTokens: string;
  readonly outputTokens: string;
};

/** A wall clock as in ISO 8601, or a number whose unit is the name's. */
export type ArrivalColumn = "arrival" | "arrivalS" | "arrivalMs" | "arrivalUs" | "arrivalNs";

type TimeOf = (field: string, value: unknown) => number;

const ARRIVALS: Readonly<Record<ArrivalColumn, TimeOf>> = {
  arrival: hinted(wallClockUs, () => "a number is arrivalS, arrivalMs, arrivalUs or arrivalNs"),
  arrivalS: numberIn(1e6),
  arrivalMs: numberIn(1e3),
  arrivalUs: numberIn(1),
  arrivalNs: numberIn(1e-3),
};

function numberIn(unitUs: number): TimeOf {
  return hinted(
    (field, value) => timeIn(unitUs, field, value),
    (value) =>
      Number.isFinite(Number(value))
        ? "smaller units are arrivalMs, arrivalUs and arrivalNs"
        : "a date and time is arrival",
  );
}

/** Names the column that was meant instead. */
function hinted(timeOf: TimeOf, hint: (value: unknown) => string): TimeOf {
  return (field, value) => {
    try {
      return timeOf(field, value);
    } catch (error) {
      throw error instanceof LineError ? new LineError(field, value, `${error.expected} (${hint(value)})`) : error;
    }
  };
}

export const ARRIVAL_COLUMNS: readonly ArrivalColumn[] = Object.keys(ARRIVALS) as ArrivalColumn[];

/**
 * The format of a file with these columns; `separator` is that of its cells.
 * @throws RangeError unless exactly one column says when requests arrive
 */
export function formatOfColumns(
  columns: TraceColumns,
  kind: TraceFormat["kind"],
  separator: Separator = ",",
): TraceFormat {
  const { inputTokens, outputTokens } = columns;
  const [arrival, second] = ARRIVAL_COLUMNS.filter((name) => columns[name] !== undefined);
  if (arrival === undefined || second !== undefined) {
    throw new RangeError(
      `columns has ${arrival ?? "no arrival"}${second ? ` and ${second}` : ""}, expected one arrival`,
    );
  }
  const time = columns[arrival]!;
  const requestOf = (cellOf: (name: string) => unknown): RawRequest | undefined =>
    isNone(cellOf(outputTokens))
      ? undefined
      : {
          timeUs: ARRIVALS[arrival](time, cellOf(time)),
          inputTokens: tokenCount(inputTokens, cellOf(inputTokens)),
          outputTokens: tokenCount(outputTokens, cellOf(outputTokens)),
        };
  const names = [time, inputTokens, outputTokens];
  return kind === "csv"
    ? { title: "CSV with named columns", kind, separator, columns: names, parse: requestOf }
    : {
        title: "JSON lines with named keys",
        kind,
        keys: names,
        blockTokens: () => 0,
        parser: () => (record) => requestOf((name) => valueAt(record, name)),
      };
}

function isNone(value: unknown): boolean {
  return value === 0 || value === "0";
}

/** A key that has dots in it comes before a way through objects. Undefined where there is none. */
export function valueAt(record: JsonRecord, path: string): unknown {
  if (Object.hasOwn(record, path)) return record[path];
  let value: unknown = record;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as JsonRecord)[key];
  }
  return value;
}
