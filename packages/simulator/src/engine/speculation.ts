// Speculative decoding by acceptance rate: after each token a request gets K drafts, which the next step verifies together
// with the token itself. Drafts are right one by one, up to the first that is not; the step yields one token more than
// that, as sampling at the first wrong draft (or behind the last right one) gives the next token anyway.
//
// Whether the draft of a position is right follows from seed, request and position alone, so two deployments that replay
// one trace meet the same luck.

import { uniformOf } from "../random.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";

export interface Speculation {
  /** K: drafts per step and request. */
  readonly tokens: number;
  /** Probability that a draft is right, given that all before it are. */
  readonly acceptanceRate: number;
  /** What the draft model takes for one draft token of the whole batch; 0 for look-ups in the prompt. */
  readonly draftUs: number;
}

export class Acceptance {
  readonly #seed: number;
  readonly #rate: number;

  constructor(seed: number, rate: number) {
    this.#seed = seed;
    this.#rate = rate;
  }

  /** Right ones among `drafts` drafts, the first of which stands for output token `position` of the request. */
  accepted(request: number, position: number, drafts: number): number {
    let right = 0;
    while (right < drafts && uniformOf(this.#seed, "acceptance", request, position + right) < this.#rate) right++;
    return right;
  }
}

/** Adds the time of drafting to every step that samples. */
export function draftingTimer(timer: StepTimer, { tokens, draftUs }: Speculation): StepTimer {
  const timing = {} as StepTiming;
  return {
    name: timer.name,
    time(step: Step) {
      Object.assign(timing, timer.time(step));
      if (step.sampled === 0) return timing;
      timing.otherUs += tokens * draftUs;
      timing.durationUs += tokens * draftUs;
      return timing;
    },
  };
}
