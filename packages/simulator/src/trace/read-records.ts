// The records of a trace file: each line through the parser of its format.

import { cellsOf } from "./csv-line.ts";
import { readLines } from "./read-lines.ts";
import { LineError, TraceError } from "./trace-error.ts";
import type { CsvFormat, JsonLinesFormat, JsonRecord, RawRequest, TraceFormat } from "./trace-format.ts";

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

/** What a line gives: undefined where the request failed when it was recorded. */
type LineParser = (text: string) => RawRequest | undefined;

/**
 * Yields records some at a time.
 * @throws TraceError for what is wrong with the file as such
 */
export async function* readRecords(
  file: string,
  { format, blockTokens }: { readonly format: TraceFormat; readonly blockTokens: number },
  listener: LineListener,
): AsyncGenerator<TraceRecord[]> {
  let parse: LineParser | undefined = format.kind === "csv" ? undefined : jsonParser(format, blockTokens);
  let isHeader = format.kind === "csv" || format.hasHeader === true;
  for await (const lines of readLines(file)) {
    const records: TraceRecord[] = [];
    for (const { number, text } of lines) {
      if (isHeader) {
        if (format.kind === "csv") parse = csvParser(format, text);
        isHeader = false;
        continue;
      }
      try {
        const request = parse!(text);
        if (request === undefined) listener.onFailedRequest();
        else records.push({ line: number, request });
      } catch (error) {
        listener.onBadLine(located(error, file, number));
      }
    }
    yield records;
  }
}

function jsonParser(format: JsonLinesFormat, blockTokens: number): LineParser {
  const parse = format.parser(blockTokens);
  return (text) => parse(parseObject(text));
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

/** A parser of the lines below a header. */
function csvParser(format: CsvFormat, header: string): LineParser {
  const { separator } = format;
  const columns = columnsOf(cellsOf(header, separator));
  let cells: readonly string[] = [];
  const cell = (column: string): string => {
    const value = cells[columns.get(column)!];
    if (value === undefined) throw new LineError(column, undefined, "as many columns as the header has");
    return value.trim();
  };
  return (text) => {
    cells = cellsOf(text, separator);
    refuseSurplus(cells, columns.size);
    const request = format.parse(cell);
    refuseShortage(cells, columns.size);
    return request;
  };
}

/** Columns that nobody asks for may be without a name, or share one: they are told apart by their place. */
function columnsOf(cells: readonly string[]): ReadonlyMap<string, number> {
  const columns = new Map<string, number>();
  let width = cells.length;
  while (width > 0 && cells[width - 1]!.trim() === "") width--;
  for (const [index, cell] of cells.slice(0, width).entries()) {
    const name = cell.trim();
    columns.set(columns.has(name) ? `column ${index}` : name, index);
  }
  return columns;
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
