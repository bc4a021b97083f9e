// What a trace format is: how to know it by its first record, and how to read one record.

import type { Separator } from "./csv-line.ts";
import { LineError } from "./trace-error.ts";

/**
 * One record as the file has it. A parser returns undefined where the service failed the request when it was recorded: the
 * line is as it should be, but there is no answer to replay.
 */
export interface RawRequest {
  /** Microseconds on the trace's own clock. */
  timeUs: number;
  inputTokens: number;
  outputTokens: number;
  /** Ids of prefix blocks as the file has them, in order. */
  blockIds?: readonly number[] | undefined;
}

interface FormatFacts {
  readonly title: string;
}

/** Separated cells with a header line. */
export interface CsvFormat extends FormatFacts {
  readonly kind: "csv";
  /** A comma unless given. */
  readonly separator?: Separator;
  /** Columns that must be there; the header may have others too. */
  readonly columns: readonly string[];
  /** `cell` gives the content of a column. */
  readonly parse: (cell: (column: string) => string) => RawRequest | undefined;
}

/** One JSON object per line. */
export interface JsonLinesFormat extends FormatFacts {
  readonly kind: "jsonl";
  /** Keys that the first object must have. */
  readonly keys: readonly string[];
  /** Prompt tokens per block id, from the first objects of the file; 0 where they have no block ids. */
  readonly blockTokens: (first: readonly JsonRecord[]) => number;
  /** Whether the first line is a header and no request. */
  readonly hasHeader?: boolean;
  /** A reader of one file's objects; formats that must remember what came before do so in it. */
  readonly parser: (blockTokens: number) => (record: JsonRecord) => RawRequest | undefined;
}

export type JsonRecord = Readonly<Record<string, unknown>>;

export type TraceFormat = CsvFormat | JsonLinesFormat;

const MAX_TOKENS = 2 ** 31 - 1;

/** A count of tokens, at least 1: a number, or the text of one. */
export function tokenCount(field: string, value: unknown): number {
  const count = numberOf(value);
  if (typeof count !== "number" || !Number.isInteger(count) || count < 1 || count > MAX_TOKENS) {
    throw new LineError(field, value, `an integer from 1 to ${MAX_TOKENS}`);
  }
  return count;
}

/** A time in microseconds from a number, or the text of one, in units of `unitUs`. */
export function timeIn(unitUs: number, field: string, value: unknown): number {
  const time = numberOf(value);
  if (typeof time !== "number" || !Number.isFinite(time))
    throw new LineError(field, value, "a time as a finite number");
  const most = Number.MAX_SAFE_INTEGER / unitUs;
  if (Math.abs(time) > most) throw new LineError(field, value, `a time of at most ${Math.floor(most)} in its unit`);
  return time * unitUs;
}

const WALL_CLOCK = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([+-]\d\d):?(\d\d))?$/;

/** Microseconds of a date and time as in ISO 8601; without a zone it is UTC. */
export function wallClockUs(field: string, value: unknown): number {
  const match = typeof value === "string" ? WALL_CLOCK.exec(value) : null;
  if (match === null) throw new LineError(field, value, "a time like 2023-11-16 18:15:46.6805900");
  const [, year, month, day, hour, minute, second, fraction, zoneHours, zoneMinutes] = match;
  const zone = zoneHours === undefined ? "Z" : `${zoneHours}:${zoneMinutes}`;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  // Date.parse takes 30 February for 2 March.
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day);
  if (Number.isNaN(ms) || !isDay) throw new LineError(field, value, "a date that exists");
  return ms * 1000 + Number(fraction ?? 0) * 1e6;
}

/** Decimal, with fraction and exponent as spreadsheets and pandas write them; not JavaScript's 0x10. */
const DECIMAL = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

function numberOf(value: unknown): unknown {
  return typeof value === "string" && DECIMAL.test(value) ? Number(value) : value;
}

/** Block ids, if the record has any. */
export function blockIdList(
  field: string,
  value: unknown,
  inputTokens: number,
  blockTokens: number,
): readonly number[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw new LineError(field, value, "a list of block ids");
  for (const id of value) {
    if (!Number.isSafeInteger(id)) throw new LineError(field, id, "integers below 2^53 as block ids");
  }
  const most = Math.ceil(inputTokens / blockTokens);
  if (value.length > most) {
    throw new LineError(
      field,
      `a list of ${value.length} ids`,
      `at most ${most} for ${inputTokens} tokens in blocks of ${blockTokens} (or another block size)`,
    );
  }
  return value as number[];
}
