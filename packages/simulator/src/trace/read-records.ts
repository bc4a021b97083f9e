// The records of a trace file: each line through the parser of its format.

import { pipeline } from "node:stream";
import { CsvError, type Info, parse as parseCsv } from "csv-parse";
import { readLines } from "./read-lines.ts";
import { LineError, shorten, TraceError } from "./trace-error.ts";
import { MAX_LINE_BYTES, readTraceFile, streamError } from "./trace-file.ts";
import type { CsvFormat, JsonLinesFormat, RawRequest } from "./trace-format.ts";
import { TRACE_FORMATS, type TraceFormatName } from "./trace-formats.ts";

export interface TraceRecord {
  readonly line: number;
  readonly request: RawRequest;
}

/**
 * Yields records some at a time. A bad line goes to `onBadLine`, which throws it or lets it pass.
 * @throws TraceError for what is wrong with the file as such
 */
export function readRecords(
  file: string,
  name: TraceFormatName,
  onBadLine: (error: TraceError) => void,
): AsyncGenerator<TraceRecord[]> {
  const format = TRACE_FORMATS[name];
  return format.kind === "csv" ? readCsv(file, format, onBadLine) : readJsonLines(file, format, onBadLine);
}

async function* readJsonLines(
  file: string,
  format: JsonLinesFormat,
  onBadLine: (error: TraceError) => void,
): AsyncGenerator<TraceRecord[]> {
  const parse = format.parser();
  let isHeader = format.hasHeader === true;
  for await (const lines of readLines(file)) {
    const records: TraceRecord[] = [];
    for (const { number, text } of lines) {
      try {
        const request = parse(parseObject(text));
        if (!isHeader) records.push({ line: number, request });
        isHeader = false;
      } catch (error) {
        onBadLine(located(error, file, number));
      }
    }
    yield records;
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LineError("", text, "one JSON object per line");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new LineError("", text, "a JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}

async function* readCsv(
  file: string,
  format: CsvFormat,
  onBadLine: (error: TraceError) => void,
): AsyncGenerator<TraceRecord[]> {
  const parser = parseCsv({
    bom: true,
    info: true,
    record_delimiter: ["\n", "\r\n"],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
  });
  // Errors of the file are thrown where the parser is iterated.
  pipeline(await readTraceFile(file), parser, () => {});
  const columns = new Map<string, number>();
  let cells: readonly string[] = [];
  const cell = (column: string): string => {
    const value = cells[columns.get(column)!];
    if (value === undefined) throw new LineError(column, undefined, "as many columns as the header has");
    return value.trim();
  };
  let records: TraceRecord[] = [];
  let line = 1;
  try {
    for await (const row of parser as AsyncIterable<{ record: string[]; info: Info }>) {
      line = row.info.lines;
      if (columns.size === 0) {
        for (const [index, column] of row.record.entries()) columns.set(column.trim(), index);
        continue;
      }
      cells = row.record;
      try {
        records.push({ line, request: format.parse(cell) });
      } catch (error) {
        onBadLine(located(error, file, line));
      }
      if (records.length === 1024) {
        yield records;
        records = [];
      }
    }
  } catch (error) {
    if (error instanceof CsvError) {
      throw new TraceError({
        file,
        line: Number(error["lines"] ?? line + 1),
        field: "line",
        value: shorten(error.code === "CSV_MAX_RECORD_SIZE" ? `longer than ${MAX_LINE_BYTES} bytes` : error.message),
        expected: "comma-separated values, one request per line",
      });
    }
    throw streamError(error, file, line);
  }
  yield records;
}

function located(error: unknown, file: string, line: number): TraceError {
  if (!(error instanceof LineError)) throw error;
  const { field, value, expected } = error;
  return new TraceError({ file, line, field, value, expected });
}
