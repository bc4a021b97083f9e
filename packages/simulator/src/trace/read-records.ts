// The records of a trace file: each line through the parser of its format.

import { pipeline } from "node:stream";
import { CsvError, type Info, parse as parseCsv } from "csv-parse";
import { readLines } from "./read-lines.ts";
import { LineError, shorten, TraceError } from "./trace-error.ts";
import { MAX_LINE_BYTES, readTraceFile, streamError } from "./trace-file.ts";
import type { CsvFormat, JsonLinesFormat, JsonRecord, RawRequest } from "./trace-format.ts";
import { TRACE_FORMATS, type TraceFormatName } from "./trace-formats.ts";

export interface TraceRecord {
  readonly line: number;
  readonly request: RawRequest;
}

/** Who is told of lines that give no record. */
export interface LineListener {
  /** Throws the error, or lets the line pass. */
  onBadLine(error: TraceError): void;
  /** The service failed the request when it was recorded. */
  onFailedRequest(): void;
}

/**
 * Yields records some at a time.
 * @throws TraceError for what is wrong with the file as such
 */
export function readRecords(
  file: string,
  { format: name, blockTokens }: { readonly format: TraceFormatName; readonly blockTokens: number },
  listener: LineListener,
): AsyncGenerator<TraceRecord[]> {
  const format = TRACE_FORMATS[name];
  return format.kind === "csv" ? readCsv(file, format, listener) : readJsonLines(file, format, blockTokens, listener);
}

async function* readJsonLines(
  file: string,
  format: JsonLinesFormat,
  blockTokens: number,
  listener: LineListener,
): AsyncGenerator<TraceRecord[]> {
  const parse = format.parser(blockTokens);
  let isHeader = format.hasHeader === true;
  for await (const lines of readLines(file)) {
    const records: TraceRecord[] = [];
    for (const { number, text } of lines) {
      if (isHeader) {
        isHeader = false;
        continue;
      }
      try {
        records.push({ line: number, request: parse(parseObject(text)) });
      } catch (error) {
        listener.onBadLine(located(error, file, number));
      }
    }
    yield records;
  }
}

function parseObject(text: string): JsonRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LineError("", text, "one JSON object per line");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new LineError("", text, "a JSON object");
  }
  return value as JsonRecord;
}

async function* readCsv(file: string, format: CsvFormat, listener: LineListener): AsyncGenerator<TraceRecord[]> {
  const parser = parseCsv({
    bom: true,
    info: true,
    record_delimiter: ["\n", "\r\n"],
    relax_column_count: true,
    // A quote inside a cell makes that line bad, not the file.
    relax_quotes: true,
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
      cells = row.record;
      if (cells.length === 1 && cells[0]!.trim() === "") continue;
      if (columns.size === 0) {
        readHeader(cells, columns);
        continue;
      }
      try {
        refuseSurplus(cells, columns.size);
        const hasFailed = format.hasFailed?.(cell) === true;
        const request = hasFailed ? undefined : format.parse(cell);
        refuseShortage(cells, columns.size);
        if (request === undefined) listener.onFailedRequest();
        else records.push({ line, request });
      } catch (error) {
        listener.onBadLine(located(error, file, line));
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

/** Columns that nobody asks for may be without a name, or share one: they are told apart by their place. */
function readHeader(cells: readonly string[], columns: Map<string, number>): void {
  let width = cells.length;
  while (width > 0 && cells[width - 1]!.trim() === "") width--;
  for (const [index, cell] of cells.slice(0, width).entries()) {
    const name = cell.trim();
    columns.set(columns.has(name) ? `column ${index}` : name, index);
  }
}

/** Cells after the last column mean that a comma inside a number or text has moved the others; empty ones mean nothing. */
function refuseSurplus(cells: readonly string[], columns: number): void {
  if (cells.length > columns && cells.slice(columns).some((cell) => cell.trim() !== "")) refuseWidth(cells, columns);
}

/** A row whose cells are too few has lost one, and those behind it stand where others belong. */
function refuseShortage(cells: readonly string[], columns: number): void {
  if (cells.length < columns) refuseWidth(cells, columns);
}

function refuseWidth(cells: readonly string[], columns: number): never {
  throw new LineError("", cells.join(","), `${columns} cells, as many as the header has, or quotes around commas`);
}

function located(error: unknown, file: string, line: number): TraceError {
  if (!(error instanceof LineError)) throw error;
  const { field, value, expected } = error;
  return new TraceError({ file, line, field, value, expected, isOneRecord: true });
}
