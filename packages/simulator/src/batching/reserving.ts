// Policies of the time before paged caches: a request gets room for a whole context when it starts, so it is never sent
// back, and prompts are computed whole, in several steps only where they exceed the token budget. `orca` (Yu et al., OSDI
// 2022) lets requests in as others leave; `static` fills a batch and lets nobody in until all of it has ended.

import type { BatchingContext, BatchingPolicy, ScheduledStep } from "./batching-policy.ts";
import { FirstCome } from "./first-come.ts";
import { scheduleTokens } from "./step-building.ts";

export function createOrca(context: BatchingContext): BatchingPolicy {
  return new Reserving(context, true);
}

export function createStatic(context: BatchingContext): BatchingPolicy {
  return new Reserving(context, false);
}

class Reserving extends FirstCome {
  readonly #admitsWhileRunning: boolean;
  readonly #reservedTokens: number;

  constructor(context: BatchingContext, admitsWhileRunning: boolean) {
    super(context);
    const { kvCache, limits } = context;
    this.#admitsWhileRunning = admitsWhileRunning;
    // Where the cache is smaller than a context, requests run one by one.
    this.#reservedTokens = Math.min(limits.maxContextTokens, kvCache.blocks * kvCache.blockSizeTokens);
  }

  schedule(step: ScheduledStep): void {
    const { kvCache, limits, requests } = this.context;
    const { knownTokens, computedTokens } = requests;
    const canAdmit = this.#admitsWhileRunning || this.running.length === 0;
    // Those that generate, one token each: there are no more of them than the budget has tokens. Then prompts.
    for (const isDecode of [true, false]) {
      for (const slot of this.running) {
        const left = knownTokens[slot]! - computedTokens[slot]!;
        if ((left === 1) !== isDecode) continue;
        const tokens = Math.min(left, limits.maxBatchedTokens - step.tokens);
        if (tokens === 0) continue;
        kvCache.grow(slot, computedTokens[slot]! + tokens);
        scheduleTokens(step, requests, slot, tokens);
      }
    }
    if (canAdmit) this.admit(step, this.#reservedTokens);
  }
}
