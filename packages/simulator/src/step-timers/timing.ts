// The parts of a step that all timers share.

import type { Step, StepTiming } from "../step.ts";
import type { StepCosts } from "./step-costs.ts";

export function emptyTiming(): StepTiming {
  return {
    durationUs: 0,
    attentionUs: 0,
    gemmUs: 0,
    collectiveUs: 0,
    otherUs: 0,
    hostUs: 0,
    attentionImbalance: Number.NaN,
    smBusyFraction: Number.NaN,
  };
}

/** Fills in everything but attention, and the sum. */
export function addUp(timing: StepTiming, costs: StepCosts, step: Step): StepTiming {
  timing.gemmUs = costs.gemmUs(step.tokens, step.sampled);
  timing.collectiveUs = costs.collectiveUs(step.tokens);
  timing.otherUs = costs.otherUs(step.tokens, step.sampled);
  const gpuUs = timing.attentionUs + timing.gemmUs + timing.collectiveUs + timing.otherUs;
  timing.hostUs = costs.hostUs(step.count, step.tokens, gpuUs);
  timing.durationUs = gpuUs + timing.hostUs;
  return timing;
}
