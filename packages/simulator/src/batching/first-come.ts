// What policies share that admit requests in the order in which they come: a queue, the list of those that run, and the
// admission of whoever is first in the queue.

import type { BatchingContext, BatchingPolicy, ScheduledStep } from "./batching-policy.ts";
import { SlotQueue } from "./slot-queue.ts";
import { scheduleTokens } from "./step-building.ts";

export abstract class FirstCome implements BatchingPolicy {
  protected readonly context: BatchingContext;
  protected readonly waiting: SlotQueue = new SlotQueue();
  /** In the order in which they were admitted. */
  protected readonly running: number[] = [];
  readonly #maxRunning: number;

  constructor(context: BatchingContext) {
    this.context = context;
    // A decode step computes all running requests.
    this.#maxRunning = Math.min(context.limits.maxRunningRequests, context.limits.maxBatchedTokens);
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  get runningCount(): number {
    return this.running.length;
  }

  enqueue(slot: number): void {
    this.waiting.push(slot);
  }

  finish(slot: number): void {
    this.running.splice(this.running.indexOf(slot), 1);
  }

  /** All who run decode, and nobody waits. */
  repeats(step: ScheduledStep): boolean {
    return this.waiting.size === 0 && step.count === this.running.length;
  }

  abstract schedule(step: ScheduledStep): void;

  /**
   * Admits requests and schedules what the step has tokens left for of their prompts, as long as there are blocks for all of a
   * prompt, or for the `reservedTokens` that are set aside for each request.
   */
  protected admit(step: ScheduledStep, reservedTokens?: number): void {
    const { kvCache, limits, requests } = this.context;
    const { waiting, running } = this;
    while (waiting.size > 0 && step.tokens < limits.maxBatchedTokens && running.length < this.#maxRunning) {
      const slot = waiting.first;
      const known = requests.knownTokens[slot]!;
      const cached = kvCache.lookup(slot, known);
      if (!kvCache.fits(reservedTokens ?? known, 0)) break;
      const tokens = Math.min(known - cached, limits.maxBatchedTokens - step.tokens);
      kvCache.admit(slot, cached + tokens);
      if (reservedTokens !== undefined) kvCache.reserve(slot, reservedTokens);
      waiting.shift();
      running.push(slot);
      scheduleTokens(step, requests, slot, tokens, cached);
    }
  }
}
