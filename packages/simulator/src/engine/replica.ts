// One engine: requests come in, steps go by, requests come out. Between two arrivals replicas have nothing to do with one
// another, so each runs on its own up to the next arrival.
//
// As in vLLM, steps in flight are a queue with room for as many as the pipeline has stages (one without, two with
// asynchronous scheduling). The engine acts when it is free: it takes in the tokens of the oldest step if they are there, and
// decides on another step while there is room. Where there is none, or nobody to schedule, it waits for the oldest; who
// arrives meanwhile waits with it.
//
// Scheduling asynchronously, it counts on the token of every request in flight. One that ended with it, which nobody could
// know (an end of sequence), has been given a place in the next step by then, whose result is thrown away.

import type { BatchingPolicy, ScheduledStep } from "../batching/batching-policy.ts";
import { clearScheduledStep } from "../batching/batching-policy.ts";
import type { KvCache } from "../kv-cache/kv-cache.ts";
import type { StepObserver } from "../metrics/step-observer.ts";
import type { ReplicaSignals } from "../routing/router.ts";
import type { StepGroup, StepTimer, StepTiming } from "../step.ts";
import { DeploymentError } from "./deployment.ts";
import type { HandedOver } from "./kv-transfers.ts";
import { Pipeline, type StepPassage } from "./pipeline.ts";
import { RepeatedSteps } from "./repeated-steps.ts";
import type { RequestTable } from "./request-table.ts";
import type { Acceptance } from "./speculation.ts";
import { checkDuration, measureBatch, type StepInFlight, StepsInFlight } from "./steps-in-flight.ts";

export interface ReplicaParts {
  readonly index: number;
  readonly requests: RequestTable;
  readonly kvCache: KvCache;
  readonly policy: BatchingPolicy;
  readonly maxRunningRequests: number;
  readonly maxContextTokens: number;
  /** Of the pipeline that the step timer times. */
  readonly stages: number;
  readonly asyncScheduling: boolean;
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
  readonly #inFlight: StepsInFlight;
  /** Where steps follow one another: the one that is in flight or comes next. */
  readonly #only: StepInFlight;
  /** Undefined where steps follow one another. */
  readonly #pipeline: Pipeline | undefined;
  /** Undefined where they do not. */
  readonly #repeated: RepeatedSteps | undefined;
  /** What the observer is told of a step in a pipeline, or of one among other replicas' steps. */
  readonly #shownTiming = {} as StepTiming;
  readonly #isAsync: boolean;
  readonly #maxContextTokens: number;
  readonly #draftTokens: number;
  readonly #acceptance: Acceptance | undefined;
  /** Where requests go once they have their first token; undefined where they stay. */
  handOver: HandOver | undefined;
  #stepNumber = 0;
  /** Requests whose KV is on its way to another replica. */
  #sending = 0;
  /** When the engine acts next. */
  #actsUs = IDLE;
  /** End of the last step that came back. */
  #previousEndUs = -1;

  constructor(parts: ReplicaParts) {
    this.index = parts.index;
    this.requests = parts.requests;
    this.kvCache = parts.kvCache;
    this.policy = parts.policy;
    this.#stepTimer = parts.stepTimer;
    this.#observer = parts.observer;
    this.#isAsync = parts.asyncScheduling;
    this.#maxContextTokens = parts.maxContextTokens;
    this.#inFlight = new StepsInFlight(this.#isAsync ? 2 : parts.stages, parts.maxRunningRequests);
    this.#only = this.#inFlight.oldest;
    this.#pipeline = this.#inFlight.depth === 1 ? undefined : new Pipeline(parts.stages);
    this.#draftTokens = parts.speculation?.tokens ?? 0;
    this.#acceptance = parts.speculation?.acceptance;
    const { index: replica, requests, kvCache, policy, stepTimer, observer } = parts;
    if (this.#pipeline === undefined && parts.speculation === undefined) {
      this.#repeated = new RepeatedSteps({ replica, requests, kvCache, policy, stepTimer, observer });
    }
  }

  get outstanding(): number {
    return this.requests.count;
  }

  get kvUsage(): number {
    return this.kvCache.usedBlocks / this.kvCache.blocks;
  }

  /** When the engine acts next without being woken; Infinity where it has no step in flight. */
  get actsUs(): number {
    return this.#actsUs;
  }

  /** Whether the engine acts without being woken: it has a step in flight. */
  get isBusy(): boolean {
    return this.#actsUs !== IDLE;
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
    // Who gives requests away asks for one token.
    const mostTokens = this.handOver === undefined ? this.#maxContextTokens : inputTokens + 1;
    const slot = this.requests.add(id, arrivalUs, inputTokens, outputTokens, mostTokens);
    this.kvCache.attach(slot, content, inputTokens);
    this.policy.enqueue(slot);
  }

  /** Takes a request whose prompt another replica has computed and whose KV has come over. */
  acceptTransferred(request: HandedOver): void {
    const { requests } = this;
    const { id, arrivalUs, inputTokens, outputTokens, content } = request;
    const slot = requests.add(id, arrivalUs, inputTokens, outputTokens, this.#maxContextTokens);
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
   * Runs until the engine acts at the horizon or later, or `maxSteps` have gone by. `nowUs` is when an idle replica begins.
   * Returns when it acts next, Infinity when there is nothing to do.
   */
  run(nowUs: number, horizonUs: number, maxSteps: number): number {
    let now = nowUs;
    for (let left = maxSteps; ; left--) {
      if (this.#actsUs !== IDLE) {
        left -= this.repeat(horizonUs, left + 1);
        if (this.#actsUs >= horizonUs || left < 0) return this.#actsUs;
        now = this.#actsUs;
        this.end(now);
      }
      if (this.begin(now) === IDLE) return IDLE;
    }
  }

  /**
   * Goes on from the step in flight through steps that repeat it, `most` at most, as long as they end before the horizon and
   * nothing else happens. Returns how many.
   */
  repeat(horizonUs: number, most: number): number {
    const flight = this.#only;
    if (this.#repeated === undefined || flight.endUs >= horizonUs) return 0;
    const taken = this.#repeated.run(flight, horizonUs, most);
    this.#actsUs = flight.endUs;
    this.#previousEndUs = flight.previousEndUs;
    this.#stepNumber += taken;
    return taken;
  }

  /** Takes in the tokens of the oldest step, if they are there. The engine then stands between two steps. */
  end(nowUs: number): void {
    if (this.#pipeline === undefined) {
      if (this.#actsUs !== IDLE) this.#finishStep(this.#only);
    } else {
      const { count, oldest } = this.#inFlight;
      if (count > 0 && oldest.endUs <= nowUs) {
        this.#finishStep(oldest);
        this.#inFlight.remove();
      }
    }
    this.#actsUs = IDLE;
  }

  /** Decides on a step if there is room and something to do. Returns when the engine acts next, else Infinity. */
  begin(nowUs: number): number {
    const hasWork = this.policy.runningCount > 0 || this.policy.waitingCount > 0;
    if (this.#pipeline === undefined) {
      this.#actsUs = hasWork && this.#startStep(this.#only, nowUs) ? this.#only.endUs : IDLE;
    } else {
      this.#actsUs = this.#fill(this.#pipeline, hasWork, nowUs);
    }
    return this.#actsUs;
  }

  /** Decides on a step that goes along with those of other replicas. Undefined where there is nothing to do. */
  scheduleShared(nowUs: number): ScheduledStep | undefined {
    const hasWork = this.policy.runningCount > 0 || this.policy.waitingCount > 0;
    return hasWork && this.#schedule(this.#only.batch, nowUs) ? this.#only.batch : undefined;
  }

  /** What the step that was decided on takes by itself, among the others. */
  timeShared(group: StepGroup): number {
    const { batch } = this.#only;
    batch.group = group;
    // A timer may be everybody's, and forgets.
    return Object.assign(this.#shownTiming, this.#time(batch)).durationUs;
  }

  /** Begins it. It lasts as long as the longest of all. */
  beginShared(nowUs: number, durationUs: number): void {
    this.#shownTiming.durationUs = durationUs;
    this.#enterAlone(this.#only, nowUs, this.#shownTiming);
    this.#actsUs = this.#only.endUs;
  }

  #fill(pipeline: Pipeline, hasWork: boolean, nowUs: number): number {
    const inFlight = this.#inFlight;
    const hasStarted = hasWork && !inFlight.isFull && this.#startStep(inFlight.next, nowUs);
    if (hasStarted) inFlight.add();
    const freeUs = hasStarted ? pipeline.hostEndUs : nowUs;
    if (hasStarted && !inFlight.isFull) return freeUs;
    return inFlight.count > 0 ? Math.max(freeUs, inFlight.oldest.endUs) : IDLE;
  }

  /** False when nothing can be scheduled yet. */
  #startStep(flight: StepInFlight, nowUs: number): boolean {
    if (!this.#schedule(flight.batch, nowUs)) return false;
    const timing = this.#time(flight.batch);
    if (this.#pipeline === undefined) this.#enterAlone(flight, nowUs, timing);
    else this.#enter(this.#pipeline, flight, nowUs, timing);
    return true;
  }

  #schedule(step: ScheduledStep, nowUs: number): boolean {
    clearScheduledStep(step);
    this.policy.schedule(step);
    if (step.preemptedCount > 0) this.#notePreemptions(step);
    if (step.count === 0) {
      // Somebody comes back from a step in flight, or blocks come free that are being sent elsewhere.
      if (this.#inFlight.count > 0 || this.#sending > 0) return false;
      throw new Error(`replica ${this.index} has ${this.policy.waitingCount} waiting requests and scheduled none`);
    }
    if (step.admittedCount > 0) this.#noteAdmissions(step, nowUs);
    return true;
  }

  #time(step: ScheduledStep): StepTiming {
    const timing = this.#stepTimer.time(step);
    checkDuration(this.#stepTimer, timing);
    const stages = this.#pipeline?.stages ?? 1;
    const timed = timing.stageUs?.length ?? 1;
    if (timed !== stages) {
      const expected = `${timed}, what the step timer "${this.#stepTimer.name}" times`;
      throw new DeploymentError("pipelineParallel", stages, expected);
    }
    return timing;
  }

  #number(flight: StepInFlight, timing: StepTiming): void {
    flight.number = this.#stepNumber++;
    flight.attentionUs = timing.attentionUs;
    flight.attentionImbalance = timing.attentionImbalance;
    flight.previousEndUs = this.#previousEndUs;
  }

  #enterAlone(flight: StepInFlight, nowUs: number, timing: StepTiming): void {
    this.#number(flight, timing);
    flight.startUs = nowUs;
    flight.endUs = nowUs + timing.durationUs;
    flight.durationUs = flight.occupiedUs = timing.durationUs;
    this.#observeStart(flight, timing, undefined);
  }

  #enter(pipeline: Pipeline, flight: StepInFlight, nowUs: number, timing: StepTiming): void {
    this.#number(flight, timing);
    const { batch } = flight;
    const { stepsInFlight } = this.requests.visible;
    for (let i = 0; i < batch.count; i++) stepsInFlight[batch.slots[i]!]!++;
    if (this.#isAsync) this.#countOnTokens(batch);
    pipeline.enter(nowUs, timing);
    flight.startUs = pipeline.startUs;
    flight.endUs = pipeline.endUs;
    flight.durationUs = pipeline.endUs - pipeline.startUs;
    flight.occupiedUs = pipeline.occupiedUs;
    this.#observer.stepEntered(pipeline, flight.durationUs - flight.occupiedUs);
    const shown = Object.assign(this.#shownTiming, timing);
    shown.durationUs = flight.durationUs;
    shown.hostUs = pipeline.exposedHostUs;
    this.#observeStart(flight, shown, pipeline);
  }

  /** Of requests whose known tokens are all in the step, unless they end with the next one in any case. */
  #countOnTokens({ count, slots, kvLens }: ScheduledStep): void {
    const { mostTokens, visible } = this.requests;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const known = visible.knownTokens[slot]!;
      if (kvLens[i] === known && known + 1 < mostTokens[slot]!) visible.knownTokens[slot] = known + 1;
    }
  }

  #observeStart(flight: StepInFlight, timing: StepTiming, passage: StepPassage | undefined): void {
    const { policy, kvCache, requests } = this;
    measureBatch(flight);
    this.#observer.stepStarted(this.index, flight, timing, passage, policy.waitingCount, kvCache.usedBlocks, requests);
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

  #finishStep(flight: StepInFlight): void {
    const { requests } = this;
    const { inputTokens, knownTokens, draftTokens } = requests.visible;
    const { generatedTokens, outputTokens, lastTokenUs } = requests;
    const { batch, endUs: nowUs, previousEndUs } = flight;
    const { slots, kvLens } = batch;
    const areOthersInFlight = this.#pipeline !== undefined;
    const isAsync = this.#isAsync;
    let regular = 0;
    for (let i = 0; i < batch.count; i++) {
      const slot = slots[i]!;
      if (areOthersInFlight && requests.land(slot)) continue;
      const before = generatedTokens[slot]!;
      // Scheduling ahead, more is taken for known than is there.
      const known = isAsync ? inputTokens[slot]! + before : knownTokens[slot]!;
      const drafts = kvLens[i]! - known;
      if (drafts < 0) continue;
      const gained = drafts === 0 ? 1 : this.#verify(slot, drafts);
      const generated = before + gained;
      if (!isAsync) knownTokens[slot] = known + gained;
      generatedTokens[slot] = generated;
      draftTokens[slot] = this.#draftTokens;
      const last = lastTokenUs[slot]!;
      lastTokenUs[slot] = nowUs;
      // Most requests of a step got their last tokens together.
      if (last === previousEndUs && before > 0) regular++;
      else if (before === 0) this.#firstToken(slot, flight);
      else this.#observer.tokenGap(nowUs - last);
      if (generated === outputTokens[slot]!) this.#finishRequest(slot, flight.number);
      else if (this.handOver !== undefined) this.#giveAway(slot, this.handOver);
    }
    if (regular > 0) this.#observer.tokenGaps(flight, regular);
    this.#previousEndUs = nowUs;
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

  #firstToken(slot: number, flight: StepInFlight): void {
    this.requests.firstTokenUs[slot] = flight.endUs;
    this.#observer.firstToken(this.index, flight, this.requests, slot);
  }

  #finishRequest(slot: number, stepNumber: number): void {
    this.#observer.requestFinished(this.index, stepNumber, this.requests, slot);
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
