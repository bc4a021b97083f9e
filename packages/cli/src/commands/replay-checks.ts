// What the options of a replay must not be together.

import { resolve } from "node:path";
import { InputError } from "../errors.ts";

interface CheckedOptions {
  readonly replicas: number;
  readonly prefillReplicas?: number;
  readonly router: string;
  readonly prefixCaching: boolean;
  readonly speculativeTokens?: number;
  readonly tp: number;
  readonly stepTimer: string;
  readonly layerTimes?: string;
  readonly json?: true;
  readonly out?: string;
  readonly html?: string;
  readonly traceEvents?: string;
}

/** Options that undo each other, or do nothing alone, are a mistake that the numbers would hide. `isGiven`: by the user. */
export function refuseContradictions(options: CheckedOptions, isGiven: (option: string) => boolean): void {
  const { replicas, prefillReplicas, router, prefixCaching, speculativeTokens } = options;
  const { tp, stepTimer, layerTimes, json, out, html, traceEvents } = options;
  if (prefillReplicas === undefined && isGiven("kvTransfer")) {
    throw new InputError("--kv-transfer: found no --prefill-replicas, expected some that transfer");
  }
  if (prefillReplicas !== undefined && prefillReplicas >= replicas) {
    throw new InputError(
      `--prefill-replicas: found ${prefillReplicas}, expected fewer than --replicas (${replicas}), which counts them too`,
    );
  }
  if (router === "prefix-aware" && !prefixCaching) {
    throw new InputError("--router prefix-aware: found --no-prefix-caching, expected prefix caching");
  }
  if (speculativeTokens === undefined && isGiven("draftUs")) {
    throw new InputError("--draft-us: found no --speculative-tokens, expected some that are drafted");
  }
  if (stepTimer === "measured" && layerTimes === undefined) {
    throw new InputError("--step-timer measured: found no --layer-times, expected the folder of the measured layers");
  }
  if (stepTimer !== "measured" && layerTimes !== undefined) {
    throw new InputError(`--layer-times: found --step-timer ${stepTimer}, expected --step-timer measured`);
  }
  if (stepTimer === "measured" && tp > 1) {
    throw new InputError(`--step-timer measured: found --tp ${tp}, expected 1: the tables hold no all-reduces`);
  }
  if (stepTimer === "measured" && isGiven("attention")) {
    throw new InputError("--attention: found --step-timer measured, whose attention is the measured engine's own");
  }
  if (stepTimer === "analytic" && isGiven("attention") && [json, out, html].every((place) => place === undefined)) {
    throw new InputError(
      "--attention: found --step-timer analytic, which plans no attention, expected --step-timer kernel",
    );
  }
  if (html !== undefined && traceEvents !== undefined && resolve(html) === resolve(traceEvents)) {
    throw new InputError(`--trace-events: found ${traceEvents}, expected another file than --html writes`);
  }
}
