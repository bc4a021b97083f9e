// Any trace → our own format, for `isochron traces convert`.

import { writeWhole } from "../write-report.ts";
import type { Trace } from "./trace.ts";

/** Writes a trace as `trace/1` JSON lines; the file appears once it is whole. Streams, whatever the length. */
export async function writeTrace(trace: Trace, path: string): Promise<void> {
  await writeWhole(path, traceLines(trace));
}

async function* traceLines(trace: Trace): AsyncGenerator<string> {
  const header = {
    isochron: "trace/1",
    name: trace.name,
    ...(trace.blockTokens > 0 ? { blockTokens: trace.blockTokens } : {}),
  };
  yield `${JSON.stringify(header)}\n`;
  for await (const requests of trace.chunks()) {
    let lines = "";
    for (const { arrivalUs, inputTokens, outputTokens, content } of requests) {
      const blockIds = content === undefined ? {} : { blockIds: Array.from(content) };
      lines += `${JSON.stringify({ arrivalUs, inputTokens, outputTokens, ...blockIds })}\n`;
    }
    yield lines;
  }
}
