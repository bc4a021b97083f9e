// What is wrong with a replay in the words of whoever asked for it: the simulator speaks of what a report calls things, people
// wrote flags, or fields of a sweep.

import { InputError } from "../errors.ts";
import type { ReplayOptions } from "./replay-options.ts";

/** What there is to say of an error, as sweeps keep it. */
export interface ErrorFacts {
  readonly message: string;
  readonly field?: string | undefined;
  readonly value?: unknown;
  readonly expected?: string | undefined;
}

/** The simulator's names of what options set. */
const OPTIONS: Readonly<Record<string, keyof ReplayOptions>> = {
  gpu: "gpu",
  tensorParallel: "tp",
  pipelineParallel: "pp",
  expertParallel: "ep",
  expertShareCv: "expertImbalance",
  replicas: "replicas",
  router: "router",
  routerStalenessMs: "routerStalenessMs",
  batching: "batching",
  asyncScheduling: "asyncScheduling",
  "disaggregation.prefillReplicas": "prefillReplicas",
  "disaggregation.kvTransferGBps": "kvTransfer",
  "speculation.tokens": "speculativeTokens",
  "speculation.acceptanceRate": "acceptanceRate",
  "speculation.draftUs": "draftUs",
  blockSizeTokens: "blockSize",
  kvBlocks: "kvBlocks",
  maxRunningRequests: "maxRunning",
  maxBatchedTokens: "maxBatchedTokens",
  maxContextTokens: "maxContext",
  gpuMemoryUtilization: "memoryUse",
};

/** The error under the name of the flag, where it speaks of one. */
export function inFlags(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message } = factsInFlags(error);
  return message === error.message ? error : new InputError(message);
}

/** The same in the names of fields of a sweep, of which `isField` knows all: `--no-prefix-caching` is `prefixCaching false`. */
export function factsInFields(facts: ErrorFacts, isField: (name: string) => boolean): ErrorFacts {
  const fieldsFor = (text: string): string =>
    text.replaceAll(/--(no-)?([a-z]+(?:-[a-z]+)*)/g, (flag: string, not: string | undefined, name: string) => {
      const field = name.replaceAll(/-[a-z]/g, (letter) => letter.slice(1).toUpperCase());
      if (!isField(field)) return flag;
      return not === undefined ? field : `${field} false`;
    });
  const { message, field, value, expected } = factsInFlags(facts);
  return {
    message: fieldsFor(message),
    ...(field === undefined ? {} : { field: fieldsFor(field) }),
    ...(value === undefined ? {} : { value }),
    ...(expected === undefined ? {} : { expected: fieldsFor(expected) }),
  };
}

function factsInFlags(facts: ErrorFacts): ErrorFacts {
  const { field, value, expected = "" } = facts;
  const option = field === undefined ? undefined : OPTIONS[field];
  if (option === undefined) return facts;
  const flag = flagOf(option);
  const inWords = expected.replaceAll(/\b[a-z]+[A-Z]\w+/g, (name) => flagOf(OPTIONS[name]) ?? name);
  return { message: `${flag}: found ${String(value)}, expected ${inWords}`, field: flag, value, expected: inWords };
}

function flagOf(option: keyof ReplayOptions): string;
function flagOf(option: keyof ReplayOptions | undefined): string | undefined;
function flagOf(option: keyof ReplayOptions | undefined): string | undefined {
  return option === undefined ? undefined : `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
