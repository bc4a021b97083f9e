// FastServe's skip-join multi-level feedback queue (Wu et al., 2023): short answers overtake long ones without anybody
// knowing which is which. Level i has a quantum of 2^i iterations; a request joins the first level whose quantum covers its
// prompt and sinks by one whenever it has used its quantum up. Each step takes the highest levels first. Requests that are
// passed over keep their blocks; when somebody above needs them the lowest resident loses its own and computes them again
// later (FastServe swaps them to the host instead). Who has waited long rises to the top, but keeps the quantum of its
// level: the top's own would be used up by the prompt that has to be computed again, and nobody would get on.

import type { BatchingContext, BatchingPolicy, ScheduledStep } from "./batching-policy.ts";
import { preempt, scheduleTokens } from "./step-building.ts";

/** Chosen: prompt tokens that cost about as much time as one decode iteration. */
const TOKENS_PER_ITERATION = 512;
const LEVELS = 16;
/** FastServe's starvation limit is a tunable time. Chosen: as many steps without service. */
const STARVATION_STEPS = 512;

interface Entry {
  readonly slot: number;
  /** The level whose quantum it has. */
  level: number;
  /** The level in whose order it stands: its own, or the highest after a long wait. */
  rank: number;
  /** Iterations used of the level's quantum. */
  used: number;
  /** Order of arrival at the level. */
  joined: number;
  lastServed: number;
  isResident: boolean;
}

export function createMlfq(context: BatchingContext): BatchingPolicy {
  return new MultiLevelFeedbackQueue(context);
}

class MultiLevelFeedbackQueue implements BatchingPolicy {
  readonly #context: BatchingContext;
  /** All requests, highest priority first. */
  readonly #entries: Entry[] = [];
  #joins = 0;
  #steps = 0;
  #residents = 0;
  /** Blocks that the requests below the current one hold. */
  #blocksBelow = 0;
  /** From this entry on nobody is resident. */
  #lowest = 0;

  constructor(context: BatchingContext) {
    this.#context = context;
  }

  get waitingCount(): number {
    return this.#entries.length - this.#residents;
  }

  get runningCount(): number {
    return this.#residents;
  }

  enqueue(slot: number): void {
    const iterations = Math.ceil(this.#context.requests.inputTokens[slot]! / TOKENS_PER_ITERATION);
    const level = Math.min(LEVELS - 1, Math.ceil(Math.log2(iterations)));
    const joined = this.#joins++;
    this.#entries.push({ slot, level, rank: level, used: 0, joined, lastServed: this.#steps, isResident: false });
  }

  finish(slot: number): void {
    const index = this.#entries.findIndex((entry) => entry.slot === slot);
    this.#entries.splice(index, 1);
    this.#residents--;
  }

  schedule(step: ScheduledStep): void {
    const { kvCache, limits, requests } = this.#context;
    this.#steps++;
    for (const entry of this.#entries) this.#age(entry);
    this.#entries.sort((a, b) => a.rank - b.rank || a.joined - b.joined);
    this.#lowest = this.#entries.length;
    this.#blocksBelow = 0;
    for (const { slot } of this.#entries) this.#blocksBelow += kvCache.heldBlocks[slot]!;
    for (let i = 0; i < this.#entries.length; i++) {
      if (step.tokens === limits.maxBatchedTokens || step.count === limits.maxRunningRequests) break;
      const entry = this.#entries[i]!;
      this.#blocksBelow -= kvCache.heldBlocks[entry.slot]!;
      const tokens = this.#makeRoom(step, i, limits.maxBatchedTokens - step.tokens);
      if (tokens === 0) continue;
      if (entry.isResident) scheduleTokens(step, requests, entry.slot, tokens);
      else this.#admit(step, entry, tokens);
      entry.used += Math.ceil(tokens / TOKENS_PER_ITERATION);
      entry.lastServed = this.#steps;
    }
  }

  #age(entry: Entry): void {
    if (entry.used >= 2 ** entry.level && entry.level < LEVELS - 1) {
      entry.level++;
      entry.rank = entry.level;
      entry.used = 0;
      entry.joined = this.#joins++;
    } else if (this.#steps - entry.lastServed > STARVATION_STEPS && entry.rank > 0) {
      entry.rank = 0;
      entry.used = 0;
      entry.joined = this.#joins++;
      entry.lastServed = this.#steps;
    }
  }

  /** Finds blocks for the next tokens of entry i, at the cost of residents below it. Returns how many tokens fit, 0 for none. */
  #makeRoom(step: ScheduledStep, i: number, budget: number): number {
    const { kvCache, limits, requests } = this.#context;
    const { slot, isResident } = this.#entries[i]!;
    const known = requests.knownTokens[slot]!;
    const wanted = isResident ? Math.min(known, requests.computedTokens[slot]! + budget) : known;
    const missing = Math.ceil(wanted / kvCache.blockSizeTokens) - kvCache.heldBlocks[slot]!;
    if (missing > kvCache.freeBlocks + this.#blocksBelow) return 0;
    for (;;) {
      if (isResident) {
        if (kvCache.grow(slot, wanted)) return wanted - requests.computedTokens[slot]!;
      } else if (this.#residents < limits.maxRunningRequests) {
        const cached = kvCache.lookup(slot, known);
        if (kvCache.fits(known, 0)) return Math.min(known - cached, budget);
      }
      if (!this.#evictBelow(step, i)) return 0;
    }
  }

  /** Takes its blocks from the lowest resident below entry i. */
  #evictBelow(step: ScheduledStep, i: number): boolean {
    while (--this.#lowest > i) {
      const entry = this.#entries[this.#lowest]!;
      if (!entry.isResident) continue;
      this.#blocksBelow -= this.#context.kvCache.heldBlocks[entry.slot]!;
      preempt(step, this.#context, entry.slot);
      entry.isResident = false;
      this.#residents--;
      return true;
    }
    return false;
  }

  #admit(step: ScheduledStep, entry: Entry, tokens: number): void {
    const { kvCache, requests } = this.#context;
    const cached = kvCache.lookup(entry.slot, requests.knownTokens[entry.slot]!);
    kvCache.admit(entry.slot, cached + tokens);
    entry.isResident = true;
    this.#residents++;
    scheduleTokens(step, requests, entry.slot, tokens, cached);
  }
}
