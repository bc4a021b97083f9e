// Writes a trace in our own format: a header line, then one request per line. Streamed, whole or not at all.

import { createWriteStream } from "node:fs";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Trace } from "@isochron/simulator";
import { writeThrough } from "./write.ts";

/** Returns the number of requests. Throws InputError where the file cannot be written, TraceError for a bad trace, AbortError on `signal`. */
export async function writeTrace(path: string, trace: Trace, signal: AbortSignal): Promise<number> {
  let requests = 0;
  async function* lines(): AsyncGenerator<string> {
    yield `${JSON.stringify({ isochron: "trace/1", blockTokens: trace.blockTokens })}\n`;
    for await (const chunk of trace.chunks()) {
      requests += chunk.length;
      yield chunk
        .map(({ arrivalUs, inputTokens, outputTokens, content }) => {
          const blockIds = content === undefined ? {} : { blockIds: Array.from(content) };
          return `${JSON.stringify({ arrivalUs, inputTokens, outputTokens, ...blockIds })}\n`;
        })
        .join("");
    }
  }
  await writeThrough(path, (temporary) =>
    pipeline(
      Readable.from(lines()),
      path.endsWith(".gz") ? createGzip() : new PassThrough(),
      createWriteStream(temporary),
      { signal },
    ),
  );
  return requests;
}
