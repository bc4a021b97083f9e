// Prompts before answers, as SGLang schedules: a step is either prompts, as many as the budget takes (the last one in
// part), or one token for every running request. When blocks run out, the request with the fewest generated tokens goes
// back to the queue, the longest prompt first among equals. Admission looks at prompts alone: SGLang's estimate of answer
// lengths needs a max_tokens that traces do not have.

import type { BatchingContext, BatchingPolicy, ScheduledStep } from "./batching-policy.ts";
import { FirstCome } from "./first-come.ts";
import { preempt, scheduleTokens } from "./step-building.ts";

export function createPrefillFirst(context: BatchingContext): BatchingPolicy {
  return new PrefillFirst(context);
}

class PrefillFirst extends FirstCome {
  schedule(step: ScheduledStep): void {
    this.#schedulePrompts(step);
    if (step.count === 0) this.#scheduleDecodes(step);
  }

  #schedulePrompts(step: ScheduledStep): void {
    const { kvCache, limits, requests } = this.context;
    const { knownTokens, computedTokens } = requests;
    // The prompt that the last prefill step began and did not end.
    const unfinished = this.running.at(-1);
    if (unfinished !== undefined && knownTokens[unfinished]! - computedTokens[unfinished]! > 1) {
      const tokens = Math.min(knownTokens[unfinished]! - computedTokens[unfinished]!, limits.maxBatchedTokens);
      // Without blocks for it others decode first, until they end or are sent back.
      if (!kvCache.grow(unfinished, computedTokens[unfinished]! + tokens)) return;
      scheduleTokens(step, requests, unfinished, tokens);
    }
    this.admit(step);
  }

  #scheduleDecodes(step: ScheduledStep): void {
    const { kvCache, requests } = this.context;
    for (let i = 0; i < this.running.length; i++) {
      const slot = this.running[i]!;
      const left = requests.knownTokens[slot]! - requests.computedTokens[slot]!;
      if (left > 1) continue;
      while (!kvCache.grow(slot, requests.computedTokens[slot]! + 1)) {
        // Requests before i have their token already.
        const victim = this.#shortestAnswer(i);
        const [sentBack] = this.running.splice(victim, 1);
        preempt(step, this.context, sentBack!);
        this.waiting.pushFront(sentBack!);
        if (sentBack === slot) break;
      }
      if (this.running[i] === slot) scheduleTokens(step, requests, slot, 1);
      else i--;
    }
  }

  /** Index of the running request from `start` on that has generated least. */
  #shortestAnswer(start: number): number {
    const { knownTokens, inputTokens } = this.context.requests;
    let chosen = start;
    for (let i = start + 1; i < this.running.length; i++) {
      const [a, b] = [this.running[i]!, this.running[chosen]!];
      const difference = knownTokens[a]! - inputTokens[a]! - (knownTokens[b]! - inputTokens[b]!);
      if (difference < 0 || (difference === 0 && inputTokens[a]! > inputTokens[b]!)) chosen = i;
    }
    return chosen;
  }
}
