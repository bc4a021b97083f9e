// A trace: requests in arrival order, read as a stream.

import type { TraceIdentity } from "../documents/report.ts";

export interface TraceRequest {
  /** Microseconds since the first arrival of the trace, after all options. */
  arrivalUs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Ids of the prompt's prefix blocks, numbered from 0 in order of appearance: equal id, equal tokens up to its end. */
  readonly content: Int32Array | undefined;
}

export interface Trace {
  readonly name: string;
  readonly format: string;
  /** Prompt tokens that one content id stands for; 0 where the trace says nothing about prefixes. */
  readonly blockTokens: number;
  /** How many times as fast as recorded the requests arrive. */
  readonly rate: number;
  /** Reads the trace from its beginning, some thousands of requests at a time. */
  chunks(): AsyncIterable<TraceRequest[]>;
  /** What was read; whole only once `chunks` has come to its end. */
  identity(): TraceIdentity;
  /** Peculiarities of the data that a report should mention. Whole when `identity` is. */
  warnings(): string[];
}

/** A trace from requests at hand, in arrival order. For tests and programs that make their own. */
export function traceOf(
  requests: readonly { arrivalUs: number; inputTokens: number; outputTokens: number; content?: readonly number[] }[],
  options: { name?: string; blockTokens?: number; sha256?: string; format?: string } = {},
): Trace {
  const chunk = requests.map(({ arrivalUs, inputTokens, outputTokens, content }) => ({
    arrivalUs,
    inputTokens,
    outputTokens,
    content: content === undefined ? undefined : Int32Array.from(content),
  }));
  const name = options.name ?? "requests";
  const format = options.format ?? "memory";
  return {
    name,
    format,
    blockTokens: options.blockTokens ?? 0,
    rate: 1,
    async *chunks() {
      yield chunk;
    },
    identity: () => ({ name, format, sha256: options.sha256 ?? "", requestsUsed: chunk.length, linesSkipped: 0 }),
    warnings: () => [],
  };
}
