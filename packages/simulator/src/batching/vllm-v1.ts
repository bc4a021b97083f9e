// The scheduler of vLLM v1. There are no phases: each request wants its known tokens computed. Running requests come
// first, in order; where blocks run out, the last running request loses its own and starts over later. Waiting requests
// follow in order, unless somebody was preempted in this step; a request that does not fit ends admission.
//
// With steps in flight, running requests that wait for a token are passed over (with asynchronous scheduling the engine counts
// that token as known already); chunks of one prompt may follow one another. Whoever lost his blocks while in flight gets
// his token still, and comes back after that.

import type { BatchingContext, BatchingPolicy, ScheduledStep } from "./batching-policy.ts";
import { SlotQueue } from "./slot-queue.ts";

export function createVllmV1(context: BatchingContext): BatchingPolicy {
  return new VllmV1(context);
}

class VllmV1 implements BatchingPolicy {
  readonly #context: BatchingContext;
  readonly #waiting = new SlotQueue();
  readonly #running: Int32Array;
  readonly #watermarkBlocks: number;
  #runningCount = 0;
  /** Whether the first in the queue was refused in the last step, and is as long as blocks are only taken. */
  #isFirstRefused = false;

  constructor(context: BatchingContext) {
    this.#context = context;
    this.#running = new Int32Array(context.limits.maxRunningRequests);
    this.#watermarkBlocks = Math.floor(context.limits.watermark * context.kvCache.blocks);
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  get runningCount(): number {
    return this.#runningCount;
  }

  enqueue(slot: number): void {
    this.#waiting.push(slot);
  }

  finish(slot: number): void {
    // Behind the running ones the array holds what it held before.
    const index = this.#running.indexOf(slot);
    if (index < 0 || index >= this.#runningCount) this.#waiting.remove(slot);
    else this.#running.copyWithin(index, index + 1, this.#runningCount--);
  }

  schedule(step: ScheduledStep): void {
    this.#isFirstRefused = false;
    this.#scheduleRunning(step);
    if (step.preemptedCount === 0 && this.#waiting.size > 0) this.#scheduleWaiting(step);
  }

  /**
   * The running ones are computed in the same order; nobody is admitted where nobody waits, all places are taken, or the
   * first in the queue does not fit. Nor does he later: of the blocks that he needs beside those that others use, one less
   * may be missing for each that is taken meanwhile (another copy of it is in use), but that one is no longer free.
   */
  repeats(): boolean {
    const isFull = this.#runningCount === this.#context.limits.maxRunningRequests;
    return this.#waiting.size === 0 || isFull || this.#isFirstRefused;
  }

  #scheduleRunning(step: ScheduledStep): void {
    const { kvCache, limits, requests } = this.#context;
    const { knownTokens, computedTokens, inputTokens, draftTokens } = requests;
    const { slots, qoLens, kvLens } = step;
    const running = this.#running;
    const blockSize = kvCache.blockSizeTokens;
    const heldBlocks = kvCache.heldBlocks;
    const threshold = limits.longPrefillTokenThreshold;
    let budget = limits.maxBatchedTokens;
    let prefillTokens = 0;
    let sampled = 0;
    let entry = 0;
    scheduling: for (let i = 0; i < this.#runningCount && budget > 0; i++) {
      const slot = running[i]!;
      const computed = computedTokens[slot]!;
      const known = knownTokens[slot]!;
      let tokens = known - computed + draftTokens[slot]!;
      if (tokens === 0) continue;
      if (tokens > 1) {
        // The last token of a context is sampled and never computed.
        if (tokens > limits.maxContextTokens - 1 - computed)
          tokens = Math.max(1, limits.maxContextTokens - 1 - computed);
        if (threshold > 0 && tokens > threshold) tokens = threshold;
        if (tokens > budget) tokens = budget;
      }
      const after = computed + tokens;
      // A decode needs the cache only when it crosses into a new block.
      if (after > heldBlocks[slot]! * blockSize || computed < inputTokens[slot]!) {
        while (!kvCache.grow(slot, after)) {
          const victim = running[--this.#runningCount]!;
          this.#preempt(victim, step);
          if (victim === slot) break scheduling;
        }
      }
      computedTokens[slot] = after;
      if (after >= known) sampled += 1 + after - known;
      if (known - computed > 1 || computed < inputTokens[slot]!) prefillTokens += tokens;
      budget -= tokens;
      slots[entry] = slot;
      qoLens[entry] = tokens;
      kvLens[entry++] = after;
    }
    step.count = entry;
    step.tokens = limits.maxBatchedTokens - budget;
    step.prefillTokens = prefillTokens;
    step.sampled = sampled;
  }

  #scheduleWaiting(step: ScheduledStep): void {
    const { kvCache, limits, requests } = this.#context;
    const { knownTokens, computedTokens, transferredTokens, stepsInFlight } = requests;
    const waiting = this.#waiting;
    const threshold = limits.longPrefillTokenThreshold;
    while (waiting.size > 0 && step.tokens < limits.maxBatchedTokens) {
      if (this.#runningCount === limits.maxRunningRequests) break;
      const slot = waiting.first;
      if (stepsInFlight[slot]! > 0) break;
      const known = knownTokens[slot]!;
      const budget = limits.maxBatchedTokens - step.tokens;
      // The lookup never finds more than a transfer brings: the whole prompt.
      const cached = Math.max(kvCache.lookup(slot, known), transferredTokens[slot]!);
      let tokens = known - cached;
      if (threshold > 0 && tokens > threshold) tokens = threshold;
      if (tokens > budget) {
        this.#isFirstRefused = !limits.chunkedPrefill;
        if (this.#isFirstRefused) break;
        tokens = budget;
      }
      const spare = this.#runningCount > 0 ? this.#watermarkBlocks : 0;
      if (!kvCache.fits(limits.reserveFullInput ? known : cached + tokens, spare)) {
        // With fewer cached tokens a chunk may end earlier, and fit.
        this.#isFirstRefused = limits.reserveFullInput;
        break;
      }
      kvCache.admit(slot, cached + tokens);
      waiting.shift();
      this.#running[this.#runningCount++] = slot;
      computedTokens[slot] = cached + tokens;
      const entry = step.count++;
      step.slots[entry] = slot;
      step.qoLens[entry] = tokens;
      step.kvLens[entry] = cached + tokens;
      step.tokens += tokens;
      if (transferredTokens[slot] === 0) step.prefillTokens += tokens;
      if (cached + tokens === known) step.sampled++;
      const admission = step.admittedCount++;
      step.admitted[admission] = slot;
      step.admittedCachedTokens[admission] = cached;
    }
  }

  #preempt(slot: number, step: ScheduledStep): void {
    const { kvCache, requests } = this.#context;
    const computed = requests.computedTokens[slot]!;
    kvCache.release(slot, computed);
    const entry = step.preemptedCount++;
    step.preempted[entry] = slot;
    step.preemptedTokens[entry] = computed;
    requests.computedTokens[slot] = 0;
    requests.transferredTokens[slot] = 0;
    requests.draftTokens[slot] = 0;
    this.#waiting.pushFront(slot);
  }
}
