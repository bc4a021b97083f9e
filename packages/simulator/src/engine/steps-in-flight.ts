// Steps that have been scheduled and whose tokens have not come back, oldest first: vLLM's batch queue. One without
// pipeline and asynchronous scheduling, which has two. Allocated once and used again.

import { createScheduledStep, type ScheduledStep } from "../batching/batching-policy.ts";

export interface StepInFlight {
  readonly batch: ScheduledStep;
  /** Within the replica. */
  number: number;
  startUs: number;
  endUs: number;
  durationUs: number;
  /** What it adds to the time in which the replica is busy: durationUs, less what it shares with the step before. */
  occupiedUs: number;
  attentionUs: number;
  /** Not a number where the timer does not know. */
  attentionImbalance: number;
  /** When its requests got their last tokens, if they were in the step whose end let this one be scheduled. */
  previousEndUs: number;
}

export class StepsInFlight {
  readonly depth: number;
  readonly #ring: readonly StepInFlight[];
  #first = 0;
  count = 0;

  constructor(depth: number, maxRunningRequests: number) {
    this.depth = depth;
    this.#ring = Array.from({ length: depth }, () => ({
      batch: createScheduledStep(maxRunningRequests),
      number: 0,
      startUs: 0,
      endUs: 0,
      durationUs: 0,
      occupiedUs: 0,
      attentionUs: 0,
      attentionImbalance: Number.NaN,
      previousEndUs: -1,
    }));
  }

  get isFull(): boolean {
    return this.count === this.depth;
  }

  /** The step whose tokens come back next. There must be one. */
  get oldest(): StepInFlight {
    return this.#ring[this.#first]!;
  }

  /** Where the next step is put together. It is in flight once `add` is called. */
  get next(): StepInFlight {
    const at = this.#first + this.count;
    return this.#ring[at < this.depth ? at : at - this.depth]!;
  }

  add(): void {
    this.count++;
  }

  /** The oldest is over. */
  remove(): void {
    this.count--;
    if (++this.#first === this.depth) this.#first = 0;
  }
}
