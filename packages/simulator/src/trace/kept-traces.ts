// Traces that are read once and replayed often: the requests of the last few files stay in memory, as they are at rate 1.
// Times at another rate are the same bits as if the file had been read at it, because both divide the same numbers once.

import { openTrace, type TraceOptions } from "./open-trace.ts";
import type { Trace, TraceRequest } from "./trace.ts";

/** Chosen: some hundred megabytes at most; a longer trace is read anew for every replay, and memory stays flat. */
const MAX_KEPT_REQUESTS = 500_000;

interface Kept {
  readonly trace: Trace;
  /** Undefined until the trace was read to its end, or where it is too long. */
  chunks: readonly (readonly TraceRequest[])[] | undefined;
}

export class KeptTraces {
  readonly #most: number;
  /** By what was opened; the one that was used last is last. */
  readonly #kept = new Map<string, Kept>();

  /** `most`: requests that are kept in all. */
  constructor(most: number = MAX_KEPT_REQUESTS) {
    this.#most = most;
  }

  /** The same as `openTrace`, but for files that do not change. */
  async open(file: string, options: TraceOptions = {}): Promise<Trace> {
    const { rate = 1, ...rest } = options;
    const key = JSON.stringify([file, rest]);
    const kept = this.#kept.get(key) ?? { trace: await openTrace(file, rest), chunks: undefined };
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    // What openTrace says of a rate that cannot be.
    if (!(rate > 0) || rate === Number.POSITIVE_INFINITY) return openTrace(file, options);
    const { trace } = kept;
    const read = (): AsyncIterable<TraceRequest[]> => this.#chunks(kept, rate);
    return {
      name: trace.name,
      format: trace.format,
      blockTokens: trace.blockTokens,
      rate,
      chunks: read,
      identity: () => trace.identity(),
      warnings: () => trace.warnings(),
    };
  }

  async *#chunks(kept: Kept, rate: number): AsyncIterable<TraceRequest[]> {
    if (kept.chunks !== undefined) {
      for (const chunk of kept.chunks) yield atRate(chunk, rate);
      return;
    }
    let chunks: TraceRequest[][] | undefined = [];
    let requests = 0;
    for await (const chunk of kept.trace.chunks()) {
      requests += chunk.length;
      if (requests > this.#most) chunks = undefined;
      chunks?.push(chunk);
      yield atRate(chunk, rate);
    }
    if (chunks === undefined) return;
    kept.chunks = chunks;
    this.#forget(kept);
  }

  /** Lets go of traces that were not used for long, until all that are kept have room. */
  #forget(latest: Kept): void {
    let total = 0;
    for (const kept of this.#kept.values()) total += lengthOf(kept);
    for (const [key, kept] of this.#kept) {
      if (total <= this.#most) return;
      if (kept === latest) continue;
      total -= lengthOf(kept);
      this.#kept.delete(key);
    }
  }
}

function lengthOf({ chunks = [] }: Kept): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** Copies: whoever replays them may change their times. */
function atRate(chunk: readonly TraceRequest[], rate: number): TraceRequest[] {
  return chunk.map((request) => ({ ...request, arrivalUs: request.arrivalUs / rate }));
}
