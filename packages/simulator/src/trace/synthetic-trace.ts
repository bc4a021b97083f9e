// Made-up traces: an arrival process and two length distributions, a stream of any length in flat memory.

import { createHash } from "node:crypto";
import { RandomStream } from "../random.ts";
import type { Trace, TraceRequest } from "./trace.ts";

export type Arrivals =
  | { readonly kind: "poisson"; readonly perSecond: number }
  /** Gaps of a gamma distribution with this coefficient of variation: 1 is Poisson, more is bursty. */
  | { readonly kind: "gamma"; readonly perSecond: number; readonly cv: number }
  | { readonly kind: "constant"; readonly perSecond: number };

export type Lengths =
  | { readonly kind: "constant"; readonly tokens: number }
  /** Both ends included. */
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  | { readonly kind: "exponential"; readonly mean: number; readonly max: number }
  /** The shape of most production traces. */
  | { readonly kind: "lognormal"; readonly median: number; readonly sigma: number; readonly max: number };

export interface SyntheticTrace {
  readonly requests: number;
  readonly arrivals: Arrivals;
  readonly input: Lengths;
  readonly output: Lengths;
  readonly seed: number;
}

const CHUNK = 4096;

/** @throws RangeError for a description that makes no trace */
export function syntheticTrace(description: SyntheticTrace): Trace {
  validate(description);
  const { requests, arrivals, input, output, seed } = description;
  const sha256 = createHash("sha256").update(JSON.stringify(description)).digest("hex");
  const name = `synthetic ${arrivals.kind}`;
  return {
    name,
    format: "synthetic",
    blockTokens: 0,
    rate: 1,
    async *chunks() {
      const gaps = new RandomStream(seed, "arrivals");
      const inputs = new RandomStream(seed, "input lengths");
      const outputs = new RandomStream(seed, "output lengths");
      let arrivalUs = 0;
      for (let start = 0; start < requests; start += CHUNK) {
        const chunk: TraceRequest[] = [];
        for (let i = start; i < Math.min(requests, start + CHUNK); i++) {
          if (i > 0) arrivalUs += gapUs(arrivals, gaps);
          chunk.push({
            arrivalUs,
            inputTokens: length(input, inputs),
            outputTokens: length(output, outputs),
            content: undefined,
          });
        }
        yield chunk;
      }
    },
    identity: () => ({ name, format: "synthetic", sha256, requestsUsed: requests, linesSkipped: 0 }),
    warnings: () => [],
  };
}

function gapUs(arrivals: Arrivals, random: RandomStream): number {
  const meanUs = 1e6 / arrivals.perSecond;
  switch (arrivals.kind) {
    case "poisson":
      return random.exponential(meanUs);
    case "gamma": {
      const shape = 1 / (arrivals.cv * arrivals.cv);
      return random.gamma(shape, meanUs / shape);
    }
    case "constant":
      return meanUs;
  }
}

function length(lengths: Lengths, random: RandomStream): number {
  switch (lengths.kind) {
    case "constant":
      return lengths.tokens;
    case "uniform":
      return lengths.low + random.integer(lengths.high - lengths.low + 1);
    case "exponential":
      return clamp(random.exponential(lengths.mean), lengths.max);
    case "lognormal":
      return clamp(lengths.median * Math.exp(lengths.sigma * random.normal()), lengths.max);
  }
}

function clamp(tokens: number, max: number): number {
  return Math.min(max, Math.max(1, Math.round(tokens)));
}

function validate({ requests, arrivals, input, output }: SyntheticTrace): void {
  requirePositive("requests", requests, true);
  requirePositive("arrivals.perSecond", arrivals.perSecond, false);
  if (arrivals.kind === "gamma") requirePositive("arrivals.cv", arrivals.cv, false);
  for (const [name, lengths] of [
    ["input", input],
    ["output", output],
  ] as const) {
    for (const [field, value] of Object.entries(lengths)) {
      if (typeof value === "number") requirePositive(`${name}.${field}`, value, !["sigma", "mean"].includes(field));
    }
    if (lengths.kind === "uniform" && lengths.low > lengths.high) {
      throw new RangeError(`${name}.low is ${lengths.low}, expected at most ${name}.high (${lengths.high})`);
    }
  }
}

function requirePositive(field: string, value: number, isInteger: boolean): void {
  if (!(value > 0) || !Number.isFinite(value) || (isInteger && !Number.isInteger(value))) {
    throw new RangeError(`${field} is ${value}, expected ${isInteger ? "an integer" : "a number"} above 0`);
  }
}
