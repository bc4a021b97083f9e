// `isochron traces make`: a trace of requests that nobody sent, for questions such as "8 requests a second of 1,000 tokens in
// and 200 out" where no trace is at hand.

import { type Arrivals, type Lengths, syntheticTrace } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { writeTrace } from "../documents/write-trace.ts";
import { InputError } from "../errors.ts";
import { integerOption, nonNegativeOption, positiveOption } from "../options.ts";
import { integer } from "../terminal/numbers.ts";
import { watched } from "../watched-trace.ts";

interface MakeOptions extends CommonOptions {
  readonly requests: number;
  readonly perSecond: number;
  readonly gapCv: number;
  readonly input: Lengths;
  readonly output: Lengths;
  readonly seed: number;
}

export function addMakeTrace(traces: Command, context: Context): void {
  newCommand(traces, {
    usage: "make <file>",
    about: { file: "file to write" },
    summary: "make a trace of random arrivals and lengths (gzip when the name ends in .gz)",
    examples: ["isochron traces make chat.jsonl --per-second 8 --input lognormal:900,1 --output exponential:200"],
  })
    .requiredOption("--per-second <number>", "requests a second, on average", positiveOption("--per-second"))
    .requiredOption("--input <lengths>", "tokens of prompts", lengthsOption("--input"))
    .requiredOption("--output <lengths>", "tokens of answers", lengthsOption("--output"))
    .option("--requests <number>", "how many", integerOption("--requests", 1), 10_000)
    .option(
      "--gap-cv <number>",
      "coefficient of variation of the time between arrivals: 0 is a metronome, 1 Poisson, more is bursty",
      nonNegativeOption("--gap-cv"),
      1,
    )
    .option("--seed <number>", "seed of everything random", integerOption("--seed", 0), 0)
    .addHelpText("after", LENGTHS_HELP)
    .action(async (target: string, _: MakeOptions, self: Command) => {
      const options = self.optsWithGlobals<MakeOptions>();
      const { requests, input, output, seed } = options;
      const trace = syntheticTrace({ requests, arrivals: arrivalsOf(options), input, output, seed });
      const written = await watched(trace, context, (made) => writeTrace(target, made, context.interrupt));
      const document = { isochron: "trace-making/1", file: target, requests: written, from: trace.identity() };
      print(context, options, document, () => `wrote ${integer(written)} requests to ${target}\n`);
    });
}

/** A gamma distribution whose coefficient of variation is 1 is the exponential one. */
function arrivalsOf({ perSecond, gapCv }: MakeOptions): Arrivals {
  if (gapCv === 0) return { kind: "constant", perSecond };
  return gapCv === 1 ? { kind: "poisson", perSecond } : { kind: "gamma", perSecond, cv: gapCv };
}

/** Chosen: the longest context of the bundled models that is usual. */
const MAX_TOKENS = 131_072;

const LENGTHS_HELP = `
Lengths:
  1000                     all the same
  100..2000                uniform, both ends included
  exponential:500          by their mean; cut at ${integer(MAX_TOKENS)} tokens
  exponential:500,4000     the same, cut at 4,000
  lognormal:300,0.8        by their median and the deviation of their logarithm
  lognormal:300,0.8,4000   the same, cut at 4,000
`;

const EXPECTED =
  "a number of tokens, a range such as 100..2000, exponential:MEAN[,MAX] or lognormal:MEDIAN,SIGMA[,MAX]";

function lengthsOption(flag: string): (text: string) => Lengths {
  return (text) => {
    const lengths = lengthsOf(text);
    if (lengths === undefined) throw new InputError(`${flag}: found "${text}", expected ${EXPECTED}`);
    return lengths;
  };
}

/** Undefined for a text that says no lengths. */
function lengthsOf(text: string): Lengths | undefined {
  if (/^\d+$/.test(text)) return tokens(Number(text)) ? { kind: "constant", tokens: Number(text) } : undefined;
  const range = /^(\d+)\.\.(\d+)$/.exec(text);
  if (range !== null) {
    const [low, high] = [Number(range[1]), Number(range[2])];
    return tokens(low) && tokens(high) && low <= high ? { kind: "uniform", low, high } : undefined;
  }
  const [kind, list = ""] = text.split(":");
  const numbers = list.split(",").map((number) => (number.trim() === "" ? Number.NaN : Number(number)));
  if (kind === "exponential" && numbers.length <= 2) {
    const [mean = Number.NaN, max = MAX_TOKENS] = numbers;
    return above0(mean) && tokens(max) ? { kind, mean, max } : undefined;
  }
  if (kind === "lognormal" && (numbers.length === 2 || numbers.length === 3)) {
    const [median = Number.NaN, sigma = Number.NaN, max = MAX_TOKENS] = numbers;
    return tokens(median) && above0(sigma) && tokens(max) ? { kind, median, sigma, max } : undefined;
  }
  return undefined;
}

function tokens(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value < 2 ** 31;
}

function above0(value: number): boolean {
  return value > 0 && Number.isFinite(value);
}
