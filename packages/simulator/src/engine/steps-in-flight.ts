// Steps that have been scheduled and whose tokens have not come back, oldest first: vLLM's batch queue. One without
// pipeline and asynchronous scheduling, which has two. Allocated once and used again.

import { createScheduledStep, type ScheduledStep } from "../batching/batching-policy.ts";
import type { StepTimer, StepTiming } from "../step.ts";

export interface StepInFlight {
  readonly batch: ScheduledStep;
  /** Within the replica. */
  number: number;
  startUs: number;
  endUs: number;
  durationUs: number;
  /** What it adds to the time in which the replica is busy: durationUs, less what it shares with the step before. */
  occupiedUs: number;
  /** KV tokens that it reads, and pairs of a query token and a KV token that it sees. */
  kvTokens: number;
  pairs: number;
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
  /** Of the step that is decided on next, within the replica. */
  nextNumber = 0;
  /** End of the last step that came back. */
  lastEndUs = -1;

  constructor(depth: number, maxRunningRequests: number) {
    this.depth = depth;
    this.#ring = Array.from({ length: depth }, () => ({
      batch: createScheduledStep(maxRunningRequests),
      number: 0,
      startUs: 0,
      endUs: 0,
      durationUs: 0,
      occupiedUs: 0,
      kvTokens: 0,
      pairs: 0,
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

/** Sums up what the step's attention is over. */
export function measureBatch(flight: StepInFlight): void {
  const { count, qoLens, kvLens } = flight.batch;
  let kvTokens = 0;
  let pairs = 0;
  for (let i = 0; i < count; i++) {
    const kv = kvLens[i]!;
    const query = qoLens[i]!;
    kvTokens += kv;
    // Query token j of q sees kv − q + j + 1 tokens.
    pairs += query === 1 ? kv : query * (kv - (query - 1) / 2);
  }
  flight.kvTokens = kvTokens;
  flight.pairs = pairs;
}

/** What a step takes, which must be more than nothing. */
export function checkDuration({ name }: StepTimer, { durationUs }: StepTiming): number {
  if (durationUs > 0) return durationUs;
  throw new Error(`step timer ${name} gave ${durationUs} µs, expected more than 0`);
}
