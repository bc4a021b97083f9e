// Which format a file has, from its first line.

import { readLines } from "./read-lines.ts";
import { LineError, shorten, TraceError } from "./trace-error.ts";
import type { TraceFormat } from "./trace-format.ts";
import { TRACE_FORMAT_NAMES, TRACE_FORMATS, type TraceFormatName } from "./trace-formats.ts";

export interface RecognizedFormat {
  readonly name: TraceFormatName;
  readonly blockTokens: number;
}

/**
 * Reads the first line of a file. With `asked`, checks that the file can be of that format.
 * @throws TraceError when no format has what the line has
 */
export async function recognizeFormat(file: string, asked: TraceFormatName | undefined): Promise<RecognizedFormat> {
  const { number, text } = await firstLine(file);
  const candidates = asked === undefined ? TRACE_FORMAT_NAMES : [asked];
  const fail = (field: string, value: string, expected: string): TraceError =>
    new TraceError({ file, line: number, field, value, expected });

  if (text.startsWith("{")) {
    let record: Readonly<Record<string, unknown>>;
    try {
      record = JSON.parse(text);
    } catch {
      throw fail("", shorten(text), "one JSON object per line");
    }
    for (const name of candidates) {
      const format: TraceFormat = TRACE_FORMATS[name];
      if (format.kind !== "jsonl" || !format.keys.every((key) => key in record)) continue;
      try {
        return { name, blockTokens: format.blockTokens(record) };
      } catch (error) {
        if (error instanceof LineError) throw fail(error.field, error.value, error.expected);
        throw error;
      }
    }
    const keys = shorten(Object.keys(record).join(", "));
    throw fail("keys", keys, describe(candidates, "jsonl"));
  }

  const header = text.split(",").map(unquote);
  for (const name of candidates) {
    const format: TraceFormat = TRACE_FORMATS[name];
    if (format.kind === "csv" && format.columns.every((column) => header.includes(column))) {
      return { name, blockTokens: 0 };
    }
  }
  throw fail("header", shorten(text), describe(candidates, "csv"));
}

async function firstLine(file: string): Promise<{ number: number; text: string }> {
  for await (const lines of readLines(file)) {
    if (lines.length > 0) return lines[0]!;
  }
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

function unquote(cell: string): string {
  return cell.trim().replace(/^"(.*)"$/, "$1");
}
