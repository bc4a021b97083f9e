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

import type { ScheduledStep } from "../batching/batching-policy.ts";
import type { KvCache } from "../kv-cache/kv-cache.ts";
import type { ReplicaSignals } from "../routing/router.ts";
import type { StepGroup } from "../step.ts";
import { Pipeline } from "./pipeline.ts";
import { RepeatedSteps } from "./repeated-steps.ts";
import type { ReplicaParts } from "./replica-parts.ts";
import { RequestDesk } from "./request-desk.ts";
import type { RequestTable } from "./request-table.ts";
import { StepDecision } from "./step-decision.ts";
import { StepEntry } from "./step-entry.ts";
import { type StepInFlight, StepsInFlight } from "./steps-in-flight.ts";
import { TokenIntake } from "./token-intake.ts";

const IDLE: number = Number.POSITIVE_INFINITY;

export class Replica implements ReplicaSignals {
  readonly index: number;
  readonly requests: RequestTable;
  readonly kvCache: KvCache;
  /** Where requests come in and leave. */
  readonly desk: RequestDesk;
  readonly #decision: StepDecision;
  readonly #entry: StepEntry;
  readonly #intake: TokenIntake;
  readonly #inFlight: StepsInFlight;
  /** Where steps follow one another: the one that is in flight or comes next. */
  readonly #only: StepInFlight;
  /** Undefined where steps follow one another. */
  readonly #pipeline: Pipeline | undefined;
  /** Undefined where they do not. */
  readonly #repeated: RepeatedSteps | undefined;
  /** When the engine acts next. */
  #actsUs = IDLE;

  constructor(parts: ReplicaParts) {
    const { index, requests, kvCache, asyncScheduling, stages, maxRunningRequests, speculation } = parts;
    this.index = index;
    this.requests = requests;
    this.kvCache = kvCache;
    this.#inFlight = new StepsInFlight(asyncScheduling ? 2 : stages, maxRunningRequests);
    this.#only = this.#inFlight.oldest;
    this.#pipeline = this.#inFlight.depth === 1 ? undefined : new Pipeline(stages);
    this.desk = new RequestDesk(parts);
    this.#decision = new StepDecision(parts, this.desk, this.#inFlight);
    this.#entry = new StepEntry(parts, this.#inFlight, this.#pipeline);
    this.#intake = new TokenIntake(parts, this.desk, this.#inFlight);
    if (this.#pipeline === undefined && speculation === undefined) this.#repeated = new RepeatedSteps(parts);
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
    this.#inFlight.lastEndUs = flight.previousEndUs;
    this.#inFlight.nextNumber += taken;
    return taken;
  }

  /** Takes in the tokens of the oldest step, if they are there. The engine then stands between two steps. */
  end(nowUs: number): void {
    if (this.#pipeline === undefined) {
      if (this.#actsUs !== IDLE) this.#intake.takeIn(this.#only);
    } else {
      const { count, oldest } = this.#inFlight;
      if (count > 0 && oldest.endUs <= nowUs) {
        this.#intake.takeIn(oldest);
        this.#inFlight.remove();
      }
    }
    this.#actsUs = IDLE;
  }

  /** Decides on a step if there is room and something to do. Returns when the engine acts next, else Infinity. */
  begin(nowUs: number): number {
    const pipeline = this.#pipeline;
    this.#actsUs = pipeline === undefined ? this.#startAlone(nowUs) : this.#fill(pipeline, nowUs);
    return this.#actsUs;
  }

  /** Decides on a step that goes along with those of other replicas. Undefined where there is nothing to do. */
  scheduleShared(nowUs: number): ScheduledStep | undefined {
    const { batch } = this.#only;
    return this.#decision.decide(batch, nowUs) ? batch : undefined;
  }

  /** What the step that was decided on takes by itself, among the others. */
  timeShared(group: StepGroup): number {
    return this.#entry.timeShared(this.#only.batch, group);
  }

  /** Begins it. It lasts as long as the longest of all. */
  beginShared(nowUs: number, durationUs: number): void {
    this.#entry.enterShared(this.#only, nowUs, durationUs);
    this.#actsUs = this.#only.endUs;
  }

  #startAlone(nowUs: number): number {
    const flight = this.#only;
    if (!this.#decision.decide(flight.batch, nowUs)) return IDLE;
    this.#entry.enterAlone(flight, nowUs, this.#entry.time(flight.batch));
    return flight.endUs;
  }

  #fill(pipeline: Pipeline, nowUs: number): number {
    const inFlight = this.#inFlight;
    const hasStarted = !inFlight.isFull && this.#startBehind(pipeline, inFlight.next, nowUs);
    if (hasStarted) inFlight.add();
    const freeUs = hasStarted ? pipeline.hostEndUs : nowUs;
    if (hasStarted && !inFlight.isFull) return freeUs;
    return inFlight.count > 0 ? Math.max(freeUs, inFlight.oldest.endUs) : IDLE;
  }

  #startBehind(pipeline: Pipeline, flight: StepInFlight, nowUs: number): boolean {
    if (!this.#decision.decide(flight.batch, nowUs)) return false;
    this.#entry.enterPipeline(pipeline, flight, nowUs, this.#entry.time(flight.batch));
    return true;
  }
}
