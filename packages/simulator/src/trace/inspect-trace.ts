// What is in a trace, for `isochron traces inspect`.

import type { TraceIdentity } from "../documents/report.ts";
import { Distribution } from "../metrics/distribution.ts";
import type { Trace } from "./trace.ts";

export interface TokenSummary {
  readonly total: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface TraceInspection {
  readonly identity: TraceIdentity;
  readonly requests: number;
  /** From the first to the last arrival. */
  readonly spanS: number;
  readonly requestsPerS: number;
  /** Standard deviation of the gaps between arrivals over their mean: 1 for Poisson. */
  readonly gapCv: number;
  readonly input: TokenSummary;
  readonly output: TokenSummary;
  readonly blockTokens: number;
  /** Share of prompt tokens that a cache without limits would have; null where the trace has no prefix identity. */
  readonly prefixHitBound: number | null;
  readonly warnings: readonly string[];
}

/** Reads a whole trace. Flat memory but for the set of prefix blocks. */
export async function inspectTrace(trace: Trace): Promise<TraceInspection> {
  const input = new Distribution();
  const output = new Distribution();
  const gaps = new Distribution();
  const seen = new Set<number>();
  let hitTokens = 0;
  let inputTotal = 0;
  let outputTotal = 0;
  let lastUs = Number.NaN;
  for await (const requests of trace.chunks()) {
    for (const request of requests) {
      input.add(request.inputTokens, 1);
      output.add(request.outputTokens, 1);
      inputTotal += request.inputTokens;
      outputTotal += request.outputTokens;
      if (!Number.isNaN(lastUs)) gaps.add(request.arrivalUs - lastUs, 1);
      lastUs = request.arrivalUs;
      if (request.content === undefined) continue;
      let hits = 0;
      while (hits < request.content.length && seen.has(request.content[hits]!)) hits++;
      hitTokens += Math.min(hits * trace.blockTokens, request.inputTokens);
      for (const id of request.content) seen.add(id);
    }
  }
  const gap = gaps.summary(1);
  const spanS = lastUs / 1e6;
  return {
    identity: trace.identity(),
    requests: input.count,
    spanS,
    requestsPerS: spanS > 0 ? gaps.count / spanS : 0,
    gapCv: gap.mean !== null && gap.mean > 0 ? gap.std! / gap.mean : 0,
    input: tokenSummary(input, inputTotal),
    output: tokenSummary(output, outputTotal),
    blockTokens: trace.blockTokens,
    prefixHitBound: trace.blockTokens > 0 ? hitTokens / inputTotal : null,
    warnings: trace.warnings(),
  };
}

function tokenSummary(tokens: Distribution, total: number): TokenSummary {
  const { mean, min, max } = tokens.summary(1);
  const [p50, p90, p99] = tokens.percentiles([50, 90, 99]);
  return { total, mean: mean!, min: min!, p50: p50!, p90: p90!, p99: p99!, max: max! };
}
