// Lines of a byte stream, with a limit on their length, so that a file without line ends cannot fill memory.

import { TraceError } from "./trace-error.ts";
import { MAX_LINE_BYTES, readTraceFile, streamError } from "./trace-file.ts";

export interface Line {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

const LINE_FEED = 10;

/** Lines that are not blank, without their ends and without a byte order mark. */
export async function* readLines(file: string): AsyncGenerator<Line[]> {
  let number = 1;
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of await readTraceFile(file)) {
      const bytes: Buffer = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
      const lines: Line[] = [];
      let start = 0;
      for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
        addLine(lines, number, bytes.toString("utf8", start, end));
        number++;
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > MAX_LINE_BYTES) {
        throw new TraceError({
          file,
          line: number,
          field: "line",
          value: `longer than ${rest.length} bytes`,
          expected: `at most ${MAX_LINE_BYTES} bytes; each request must be a line of its own`,
        });
      }
      yield lines;
    }
  } catch (error) {
    throw streamError(error, file, number);
  }
  const last: Line[] = [];
  addLine(last, number, rest.toString("utf8"));
  yield last;
}

function addLine(lines: Line[], number: number, text: string): void {
  const trimmed = (number === 1 && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text).trim();
  if (trimmed !== "") lines.push({ number, text: trimmed });
}
