// One engine: requests come in, steps go by, requests come out. Between two arrivals replicas have nothing to do with one
// another, so each runs on its own up to the next arrival.

import type { BatchingPolicy, ScheduledStep } from "../batching/batching-policy.ts";
import { clearScheduledStep, createScheduledStep } from "../batching/batching-policy.ts";
import type { KvCache } from "../kv-cache/kv-cache.ts";
import type { StepObserver } from "../metrics/step-observer.ts";
import type { ReplicaSignals } from "../routing/router.ts";
import type { StepTimer, StepTiming } from "../step.ts";
import type { HandedOver } from "./kv-transfers.ts";
import type { RequestTable } from "./request-table.ts";
import type { Acceptance } from "./speculation.ts";

export interface ReplicaParts {
  readonly index: number;
  readonly requests: RequestTable;
  readonly kvCache: KvCache;
  readonly policy: BatchingPolicy;
  readonly maxRunningRequests: number;
  readonly stepTimer: StepTimer;
  readonly observer: StepObserver;
  /** Undefined without speculative decoding. */
  readonly speculation?: { readonly tokens: number; readonly acceptance: Acceptance } | undefined;
}

/** Takes over a request that has its first token. */
export type HandOver = (request: HandedOver) => void;

const IDLE: number = Number.POSITIVE_INFINITY;

export class Replica implements ReplicaSignals {
  readonly index: number;
  readonly requests: RequestTable;
  readonly kvCache: KvCache;
  readonly policy: BatchingPolicy;
  readonly #stepTimer: StepTimer;
  readonly #observer: StepObserver;
  readonly #step: ScheduledStep;
  readonly #draftTokens: number;
  readonly #acceptance: Acceptance | undefined;
  /** Where requests go once they have their first token; undefined where they stay. */
  handOver: HandOver | undefined;
  #stepNumber = 0;
  /** Requests whose KV is on its way to another replica. */
  #sending = 0;
  #stepEndUs = IDLE;
  /** End of the last step: tokens of requests that were in it and are in the next come one step apart. */
  #previousEndUs = -1;

  constructor(parts: ReplicaParts) {
    this.index = parts.index;
    this.requests = parts.requests;
    this.kvCache = parts.kvCache;
    this.policy = parts.policy;
    this.#stepTimer = parts.stepTimer;
    this.#observer = parts.observer;
    this.#step = createScheduledStep(parts.maxRunningRequests);
    this.#draftTokens = parts.speculation?.tokens ?? 0;
    this.#acceptance = parts.speculation?.acceptance;
  }

  get outstanding(): number {
    return this.requests.count;
  }

  get kvUsage(): number {
    return this.kvCache.usedBlocks / this.kvCache.blocks;
  }

  /** Between the start and the end of a step. */
  get isBusy(): boolean {
    return this.#stepEndUs !== IDLE;
  }

  matchTokens(content: Int32Array | undefined, inputTokens: number): number {
    return this.kvCache.matchTokens(content, inputTokens);
  }

  /** Hands over a request that has just arrived. The caller sees to it that `run` is called at that time or later. */
  accept(
    id: number,
    arrivalUs: number,
    inputTokens: number,
    outputTokens: number,
    content: Int32Array | undefined,
  ): void {
    const slot = this.requests.add(id, arrivalUs, inputTokens, outputTokens);
    this.kvCache.attach(slot, content, inputTokens);
    this.policy.enqueue(slot);
  }

  /** Takes a request whose prompt another replica has computed and whose KV has come over. */
  acceptTransferred(request: HandedOver): void {
    const { requests } = this;
    const { id, arrivalUs, inputTokens, outputTokens, content } = request;
    const slot = requests.add(id, arrivalUs, inputTokens, outputTokens);
    requests.visible.knownTokens[slot] = inputTokens + 1;
    requests.visible.transferredTokens[slot] = inputTokens;
    requests.generatedTokens[slot] = 1;
    requests.scheduledUs[slot] = request.scheduledUs;
    requests.firstTokenUs[slot] = request.firstTokenUs;
    requests.lastTokenUs[slot] = request.firstTokenUs;
    requests.cachedTokens[slot] = request.cachedTokens;
    requests.preemptions[slot] = request.preemptions;
    this.kvCache.attach(slot, content, inputTokens);
    this.policy.enqueue(slot);
  }

  /** The KV of a request that was handed over has arrived elsewhere. */
  releaseHandedOver(slot: number): void {
    this.#sending--;
    this.#release(slot);
  }

  /**
   * Runs steps until the one in flight ends at the horizon or later, or `maxSteps` have gone by. `nowUs` is when an idle
   * replica begins. Returns the end of the step in flight, Infinity when there is nothing to do.
   */
  run(nowUs: number, horizonUs: number, maxSteps: number): number {
    let now = nowUs;
    for (let left = maxSteps; ; left--) {
      if (this.#stepEndUs !== IDLE) {
        if (this.#stepEndUs >= horizonUs || left < 0) return this.#stepEndUs;
        now = this.#stepEndUs;
        this.#finishStep(now);
      }
      if (this.begin(now) === IDLE) return IDLE;
    }
  }

  /** Ends the step in flight, if there is one, and leaves the replica between two steps. */
  end(): void {
    if (this.#stepEndUs !== IDLE) this.#finishStep(this.#stepEndUs);
    this.#stepEndUs = IDLE;
  }

  /** Starts a step, with none in flight, if there is something to do. Returns when it ends, else Infinity. */
  begin(nowUs: number): number {
    const isIdle = this.policy.runningCount === 0 && this.policy.waitingCount === 0;
    this.#stepEndUs = isIdle ? IDLE : nowUs + this.#startStep(nowUs);
    return this.#stepEndUs;
  }

  /** Returns the duration of the step, Infinity when nothing can be scheduled yet. */
  #startStep(nowUs: number): number {
    const step = this.#step;
    clearScheduledStep(step);
    this.policy.schedule(step);
    // Blocks of requests that are being sent elsewhere come free later.
    if (step.count === 0 && this.#sending > 0) return IDLE;
    if (step.count === 0) {
      throw new Error(`replica ${this.index} has ${this.policy.waitingCount} waiting requests and scheduled none`);
    }
    if (step.preemptedCount > 0) this.#notePreemptions(step);
    if (step.admittedCount > 0) this.#noteAdmissions(step, nowUs);
    const timing = this.#stepTimer.time(step);
    if (!(timing.durationUs > 0)) {
      throw new Error(`step timer ${this.#stepTimer.name} gave ${timing.durationUs} µs, expected more than 0`);
    }
    this.#observeStart(step, nowUs, timing);
    return timing.durationUs;
  }

  #observeStart(step: ScheduledStep, nowUs: number, timing: StepTiming): void {
    this.#observer.stepStarted(
      this.index,
      this.#stepNumber,
      nowUs,
      step,
      timing,
      this.policy.waitingCount,
      this.kvCache.usedBlocks,
      this.requests,
    );
  }

  #noteAdmissions(step: ScheduledStep, nowUs: number): void {
    const { requests } = this;
    for (let i = 0; i < step.admittedCount; i++) {
      const slot = step.admitted[i]!;
      const cached = step.admittedCachedTokens[i]!;
      if (requests.firstStep[slot]! < 0) requests.firstStep[slot] = this.#stepNumber;
      if (requests.scheduledUs[slot]! < 0) {
        requests.scheduledUs[slot] = nowUs;
        requests.cachedTokens[slot] = cached;
        this.#observer.prefixLookedUp(cached, requests.visible.inputTokens[slot]!);
      } else {
        this.#observer.recomputed(Math.max(0, requests.lostTokens[slot]! - cached));
      }
    }
  }

  #notePreemptions(step: ScheduledStep): void {
    const { requests } = this;
    for (let i = 0; i < step.preemptedCount; i++) {
      const slot = step.preempted[i]!;
      const computed = step.preemptedTokens[i]!;
      requests.preemptions[slot]!++;
      // What an earlier preemption lost and has not been computed again by now was counted too early.
      const lost = requests.lostTokens[slot]!;
      if (lost > computed) this.#observer.recomputed(computed - lost);
      else requests.lostTokens[slot] = computed;
    }
    this.#observer.preempted(step.preemptedCount);
  }

  #finishStep(nowUs: number): void {
    const step = this.#step;
    const { requests } = this;
    const { knownTokens, computedTokens, draftTokens } = requests.visible;
    const { generatedTokens, outputTokens, lastTokenUs } = requests;
    const slots = step.slots;
    const previousEndUs = this.#previousEndUs;
    let regular = 0;
    for (let i = 0; i < step.count; i++) {
      const slot = slots[i]!;
      const known = knownTokens[slot]!;
      const drafts = computedTokens[slot]! - known;
      if (drafts < 0) continue;
      const before = generatedTokens[slot]!;
      const gained = drafts === 0 ? 1 : this.#verify(slot, drafts);
      const generated = before + gained;
      knownTokens[slot] = known + gained;
      generatedTokens[slot] = generated;
      draftTokens[slot] = this.#draftTokens;
      const last = lastTokenUs[slot]!;
      lastTokenUs[slot] = nowUs;
      if (last === previousEndUs && before > 0) regular++;
      else if (before === 0) this.#firstToken(slot, nowUs);
      else this.#observer.tokenGap(nowUs - last, 1);
      if (generated === outputTokens[slot]!) this.#finishRequest(slot);
      else if (this.handOver !== undefined) this.#giveAway(slot, this.handOver);
    }
    if (regular > 0) this.#observer.tokenGap(nowUs - previousEndUs, regular);
    this.#previousEndUs = nowUs;
    this.#stepNumber++;
  }

  /** Keeps the right ones of a request's drafts, gives the others' KV up, and returns how many tokens it has got. */
  #verify(slot: number, drafts: number): number {
    const { id, generatedTokens, outputTokens, visible } = this.requests;
    const generated = generatedTokens[slot]!;
    const right = this.#acceptance!.accepted(id[slot]!, generated, drafts);
    const gained = Math.min(1 + right, outputTokens[slot]! - generated);
    visible.computedTokens[slot]! -= drafts - (gained - 1);
    this.#observer.verified(drafts, gained - 1);
    return gained;
  }

  #firstToken(slot: number, nowUs: number): void {
    this.requests.firstTokenUs[slot] = nowUs;
    this.#observer.firstToken(this.index, this.#stepNumber, this.#step, this.requests, slot);
  }

  #finishRequest(slot: number): void {
    this.#observer.requestFinished(this.index, this.#stepNumber, this.requests, slot);
    this.policy.finish(slot);
    this.#release(slot);
  }

  #giveAway(slot: number, handOver: HandOver): void {
    const { requests } = this;
    this.policy.finish(slot);
    this.#sending++;
    handOver({
      from: this.index,
      slot,
      id: requests.id[slot]!,
      arrivalUs: requests.arrivalUs[slot]!,
      scheduledUs: requests.scheduledUs[slot]!,
      firstTokenUs: requests.firstTokenUs[slot]!,
      inputTokens: requests.visible.inputTokens[slot]!,
      outputTokens: requests.outputTokens[slot]!,
      content: this.kvCache.contentOf(slot),
      cachedTokens: requests.cachedTokens[slot]!,
      preemptions: requests.preemptions[slot]!,
    });
  }

  #release(slot: number): void {
    this.kvCache.release(slot, this.requests.visible.computedTokens[slot]!);
    this.kvCache.detach(slot);
    this.requests.remove(slot);
  }
}
