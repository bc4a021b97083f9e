// A step's times before anything is known of them.

import type { StepTiming } from "../step.ts";

/** `stages`: of a pipeline. One stage leaves what only a pipeline has out. */
export function emptyTiming(stages: number): StepTiming {
  return {
    durationUs: 0,
    attentionUs: 0,
    gemmUs: 0,
    collectiveUs: 0,
    otherUs: 0,
    hostUs: 0,
    attentionImbalance: Number.NaN,
    smBusyFraction: Number.NaN,
    ...(stages === 1 ? {} : { stageUs: new Float64Array(stages), transferUs: 0 }),
  };
}
