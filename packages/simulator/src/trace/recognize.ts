// Which format a file has, from its first line, and how large its prefix blocks are, from some more.

import { cellsOf, SEPARATORS, type Separator } from "./csv-line.ts";
import { formatOfColumns, type TraceColumns, valueAt } from "./own-columns.ts";
import { type Line, readLines } from "./read-lines.ts";
import { LineError, shorten, TraceError } from "./trace-error.ts";
import type { JsonRecord, TraceFormat } from "./trace-format.ts";
import { TRACE_FORMAT_NAMES, TRACE_FORMATS, type TraceFormatName } from "./trace-formats.ts";

export interface RecognizedFormat {
  readonly name: TraceFormatName | typeof OWN_COLUMNS;
  readonly format: TraceFormat;
  readonly blockTokens: number;
}

/** What the format of a file is called whose columns were given. */
const OWN_COLUMNS = "columns";

/** Chosen: enough to meet requests of many lengths, few enough to be read in no time. */
const LOOKED_AT = 1000;
const LOOKED_AT_CHARACTERS = 2 ** 20;

/**
 * Reads the first lines of a file. With `asked` or `columns`, checks that the file can be of that format, or has them.
 * @throws TraceError when no format has what the line has
 */
export async function recognizeFormat(
  file: string,
  asked: TraceFormatName | undefined,
  columns: TraceColumns | undefined,
): Promise<RecognizedFormat> {
  const lines = await firstLines(file);
  const { number, text } = lines[0]!;
  const candidates = asked === undefined ? TRACE_FORMAT_NAMES : [asked];
  const fail = (field: string, value: string, expected: string, isUnknownFormat = false): TraceError =>
    new TraceError({ file, line: number, field, value, expected, isUnknownFormat });

  if (text.startsWith("version https://git-lfs.github.com/")) {
    throw fail("", "a Git LFS pointer", "the file that it stands for: run git lfs pull, or download it");
  }
  if (text.startsWith("[")) throw fail("", shorten(text), "one JSON object per line, not one list of all");
  if (text.startsWith("{")) {
    const record = objectOf(text);
    if (record === undefined) throw fail("", shorten(text), "one JSON object per line");
    if (columns !== undefined) {
      const format = formatOfColumns(columns, "jsonl");
      requireKeys(lines, format, fail);
      return { name: OWN_COLUMNS, format, blockTokens: 0 };
    }
    for (const name of candidates) {
      const format: TraceFormat = TRACE_FORMATS[name];
      if (format.kind !== "jsonl" || !format.keys.every((key) => key in record)) continue;
      try {
        const others = lines.slice(1).map((line) => objectOf(line.text) ?? {});
        return { name, format, blockTokens: format.blockTokens([record, ...others]) };
      } catch (error) {
        if (error instanceof LineError) throw fail(error.field, error.value, error.expected);
        throw error;
      }
    }
    const keys = shorten(Object.keys(record).join(", "));
    throw fail("keys", keys, describe(candidates, "jsonl"), asked === undefined);
  }

  const known =
    columns === undefined
      ? candidates.map((name) => ({ name, format: TRACE_FORMATS[name] as TraceFormat }))
      : SEPARATORS.map((one) => ({ name: OWN_COLUMNS, format: formatOfColumns(columns, "csv", one) }) as const);
  for (const { name, format } of known) {
    if (format.kind !== "csv") continue;
    const header = headerCells(text, format.separator);
    if (format.columns.every((column) => header.includes(column))) {
      const twice = format.columns.find((column) => header.indexOf(column) !== header.lastIndexOf(column));
      if (twice !== undefined) throw fail("header", `${twice} twice`, "each column once");
      return { name, format, blockTokens: 0 };
    }
  }
  const own = known.find(({ name }) => name === OWN_COLUMNS)?.format;
  if (own?.kind === "csv") {
    // The separator that finds most of them is the one that was meant.
    const [missing] = SEPARATORS.map((one) => {
      const header = headerCells(text, one);
      return own.columns.filter((column) => !header.includes(column));
    }).sort((a, b) => a.length - b.length);
    throw fail("header", JSON.stringify(text), `${missing!.join(", ")} among the columns`);
  }
  throw fail("header", shorten(text), describe(candidates, "csv"), asked === undefined);
}

/** Some lines of a log may lack keys, as those of failed requests do; one that no line has was meant for another file. */
function requireKeys(
  lines: readonly Line[],
  format: TraceFormat,
  fail: (field: string, value: string, expected: string) => TraceError,
): void {
  const records = lines.map(({ text }) => objectOf(text) ?? {});
  const keys = format.kind === "jsonl" ? format.keys : [];
  const missing = keys.filter((key) => records.every((record) => valueAt(record, key) === undefined));
  if (missing.length === 0) return;
  throw fail("keys", keyPaths(records[0]!).join(", "), `${missing.join(", ")} among the keys`);
}

/** Of an object and of those in it, as `usage.prompt_tokens`. */
function keyPaths(record: JsonRecord): string[] {
  return Object.entries(record).flatMap(([key, value]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? keyPaths(value as JsonRecord).map((inner) => `${key}.${inner}`)
      : [key],
  );
}

/** Undefined for what is no JSON object: whether it may be skipped is not decided here. */
function objectOf(text: string): JsonRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonRecord) : undefined;
  } catch {
    return undefined;
  }
}

async function firstLines(file: string): Promise<readonly Line[]> {
  const first: Line[] = [];
  let characters = 0;
  for await (const lines of readLines(file)) {
    first.push(...lines.slice(0, LOOKED_AT - first.length));
    characters += lines.reduce((sum, { text }) => sum + text.length, 0);
    if (first.length === LOOKED_AT || characters > LOOKED_AT_CHARACTERS) break;
  }
  if (first.length > 0) return first;
  throw new TraceError({ file, line: 0, field: "", value: "only blank lines", expected: "at least one request" });
}

/** "columns A, B (azure-csv) or …": of the formats that look like the file, else of all. */
function describe(candidates: readonly TraceFormatName[], kind: TraceFormat["kind"]): string {
  const alike = candidates.filter((name) => TRACE_FORMATS[name].kind === kind);
  const descriptions = (alike.length > 0 ? alike : candidates).map((name) => {
    const format: TraceFormat = TRACE_FORMATS[name];
    return format.kind === "csv"
      ? `columns ${format.columns.join(",")} (${name})`
      : `JSON lines with ${format.keys.join(", ")} (${name})`;
  });
  return descriptions.join(" or ");
}

/** As it stands where its quotes are broken: then no format has it. */
function headerCells(text: string, separator?: Separator): string[] {
  try {
    return cellsOf(text, separator).map((cell) => cell.trim());
  } catch {
    return [text];
  }
}
