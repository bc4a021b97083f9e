// A trace that says on the terminal how far it has been read.

import type { Trace } from "@isochron/simulator";
import type { Context } from "./context.ts";
import { integer } from "./terminal/numbers.ts";
import { startProgress } from "./terminal/progress.ts";

/** Runs `work` with the trace; the line of progress is gone when it ends, well or not. */
export async function watched<T>(trace: Trace, context: Context, work: (trace: Trace) => Promise<T>): Promise<T> {
  const progress = startProgress(context.stderr);
  let read = 0;
  try {
    return await work({
      name: trace.name,
      format: trace.format,
      blockTokens: trace.blockTokens,
      rate: trace.rate,
      identity: () => trace.identity(),
      warnings: () => trace.warnings(),
      async *chunks() {
        for await (const requests of trace.chunks()) {
          yield requests;
          read += requests.length;
          progress.update(undefined, () => `${integer(read)} requests`);
        }
      },
    });
  } finally {
    progress.end();
  }
}
