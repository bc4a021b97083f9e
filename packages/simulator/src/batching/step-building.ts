// What policies do to a step: schedule some tokens of a request, or send a request back.

import type { BatchingContext, ScheduledStep, SchedulerRequests } from "./batching-policy.ts";

/**
 * Puts the next `tokens` of a request into the step and counts them as computed. The request must have blocks for them.
 * `cached`, for a request that has just been admitted: tokens that the prefix cache had.
 */
export function scheduleTokens(
  step: ScheduledStep,
  requests: SchedulerRequests,
  slot: number,
  tokens: number,
  cached?: number,
): void {
  const { knownTokens, computedTokens, inputTokens } = requests;
  if (cached !== undefined) {
    computedTokens[slot] = cached;
    step.admitted[step.admittedCount] = slot;
    step.admittedCachedTokens[step.admittedCount++] = cached;
  }
  const computed = computedTokens[slot]!;
  const entry = step.count++;
  computedTokens[slot] = computed + tokens;
  step.slots[entry] = slot;
  step.qoLens[entry] = tokens;
  step.kvLens[entry] = computed + tokens;
  step.tokens += tokens;
  if (tokens > 1 || computed < inputTokens[slot]!) step.prefillTokens += tokens;
  if (computed + tokens === knownTokens[slot]!) step.sampled++;
}

/** Takes all blocks from a request, which starts over later. The caller puts it back into its queue. */
export function preempt(step: ScheduledStep, { kvCache, requests }: BatchingContext, slot: number): void {
  const computed = requests.computedTokens[slot]!;
  kvCache.release(slot, computed);
  requests.computedTokens[slot] = 0;
  step.preempted[step.preemptedCount] = slot;
  step.preemptedTokens[step.preemptedCount++] = computed;
}
