// What a batching policy is: it is told of requests that arrive and end, and decides what each step computes.
//
// It sees what an engine sees: prompt, tokens so far, KV blocks. How long an answer will be is not among it. Requests are
// named by slot, a small integer that is reused once a request is gone.

import type { KvCache } from "../kv-cache/kv-cache.ts";
import type { Step } from "../step.ts";

/** Requests as a scheduler may see them, by slot. The arrays are replaced when they grow: read them anew in each call. */
export interface SchedulerRequests {
  readonly inputTokens: Int32Array;
  /**
   * Prompt and the tokens generated so far; with asynchronous scheduling also the one that a step in flight will give, whose
   * KV the next step computes before anybody but the GPU knows it.
   */
  readonly knownTokens: Int32Array;
  /** Known tokens whose KV is in the cache. The policy advances it for what it schedules, and resets it on preemption. */
  readonly computedTokens: Int32Array;
  /**
   * Drafts behind the known tokens that the next step may verify, as many of them as it has room for; 0 without
   * speculative decoding. The engine sets it, and takes back from computedTokens what was drafted wrong.
   */
  readonly draftTokens: Int32Array;
  /** Prompt tokens whose KV came from another replica and goes into blocks at admission; 0 after a preemption. */
  readonly transferredTokens: Int32Array;
  /**
   * Steps that the request is in and that have not come back; 0 for all requests without pipeline and asynchronous
   * scheduling. The engine counts them.
   */
  readonly stepsInFlight: Int32Array;
}

/** Limits of one replica, under the names that vLLM has for them. */
export interface BatchLimits {
  /** max_num_seqs */
  readonly maxRunningRequests: number;
  /** max_num_batched_tokens */
  readonly maxBatchedTokens: number;
  /** max_model_len */
  readonly maxContextTokens: number;
  /** long_prefill_token_threshold; 0 for none. */
  readonly longPrefillTokenThreshold: number;
  /** enable_chunked_prefill */
  readonly chunkedPrefill: boolean;
  /** scheduler_reserve_full_isl: admit only what fits with its whole prompt. */
  readonly reserveFullInput: boolean;
  /** Share of the KV blocks that an admission must leave free while others run. */
  readonly watermark: number;
}

/** What one step computes. The engine owns it; a policy fills it from empty. */
export interface ScheduledStep extends Step {
  /** Slot of each entry. */
  readonly slots: Int32Array;
  /** Tokens of requests that are still computing their prompt, or computing again what a preemption lost. */
  prefillTokens: number;
  /** Requests that left the queue, and how many of their tokens the prefix cache had. */
  admittedCount: number;
  readonly admitted: Int32Array;
  readonly admittedCachedTokens: Int32Array;
  /** Requests that lost their blocks and went back to the queue, and how many computed tokens each lost. */
  preemptedCount: number;
  readonly preempted: Int32Array;
  readonly preemptedTokens: Int32Array;
}

export interface BatchingPolicy {
  readonly waitingCount: number;
  readonly runningCount: number;
  /** A request has arrived. The KV cache knows it. */
  enqueue(slot: number): void;
  /**
   * Decides the next step; fills `step`, which comes in empty. In a pipeline, or with asynchronous scheduling, other steps are
   * in flight: a request whose known tokens are all computed waits, and a step that stays empty means to wait for the oldest.
   */
  schedule(step: ScheduledStep): void;
  /**
   * Whether it would decide the same again after `step`, which it has just decided and in which everybody decodes, with each
   * request a token further: as long as nobody arrives or ends, and all get the KV blocks that they need for that, no more
   * than one for every blockSizeTokens tokens. Such steps are then taken without asking, and faster. Absent: never.
   */
  repeats?(step: ScheduledStep): boolean;
  /** A request has its last token: it is running, or was sent back while its last step was in flight. Its blocks are freed by the engine. */
  finish(slot: number): void;
}

export interface BatchingContext {
  readonly requests: SchedulerRequests;
  readonly kvCache: KvCache;
  readonly limits: BatchLimits;
}

export type CreateBatchingPolicy = (context: BatchingContext) => BatchingPolicy;

/** An empty step with room for as many requests as may run, and preemptions of all of them. */
export function createScheduledStep(maxRunningRequests: number): ScheduledStep {
  const room = () => new Int32Array(maxRunningRequests);
  return {
    count: 0,
    qoLens: room(),
    kvLens: room(),
    tokens: 0,
    sampled: 0,
    group: undefined,
    slots: room(),
    prefillTokens: 0,
    admittedCount: 0,
    admitted: room(),
    admittedCachedTokens: room(),
    preemptedCount: 0,
    preempted: room(),
    preemptedTokens: room(),
  };
}

export function clearScheduledStep(step: ScheduledStep): void {
  step.count = 0;
  step.tokens = 0;
  step.sampled = 0;
  step.prefillTokens = 0;
  step.admittedCount = 0;
  step.preemptedCount = 0;
}
