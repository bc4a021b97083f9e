// A step that was decided on goes on its way: the step timer says how long it takes, and when it begins and ends follows, by
// itself or in a pipeline behind others.

import type { ScheduledStep } from "../batching/batching-policy.ts";
import type { StepGroup, StepTiming } from "../step.ts";
import { DeploymentError } from "./deployment.ts";
import type { Pipeline, StepPassage } from "./pipeline.ts";
import type { ReplicaParts } from "./replica-parts.ts";
import { checkDuration, measureBatch, type StepInFlight, type StepsInFlight } from "./steps-in-flight.ts";

export class StepEntry {
  readonly #parts: ReplicaParts;
  readonly #inFlight: StepsInFlight;
  readonly #stages: number;
  /** What the observer is told of a step in a pipeline, or of one among other replicas' steps. */
  readonly #shownTiming = {} as StepTiming;

  /** `pipeline`: undefined where steps follow one another. */
  constructor(parts: ReplicaParts, inFlight: StepsInFlight, pipeline: Pipeline | undefined) {
    this.#parts = parts;
    this.#inFlight = inFlight;
    this.#stages = pipeline?.stages ?? 1;
  }

  /** @throws DeploymentError where the timer times another pipeline than there is */
  time(step: ScheduledStep): StepTiming {
    const { stepTimer } = this.#parts;
    const timing = stepTimer.time(step);
    checkDuration(stepTimer, timing);
    const timed = timing.stageUs?.length ?? 1;
    if (timed !== this.#stages) {
      const expected = `${timed}, what the step timer "${stepTimer.name}" times`;
      throw new DeploymentError("pipelineParallel", this.#stages, expected);
    }
    return timing;
  }

  /** What a step takes by itself, among those of other replicas. */
  timeShared(step: ScheduledStep, group: StepGroup): number {
    step.group = group;
    // A timer may be everybody's, and forgets.
    return Object.assign(this.#shownTiming, this.time(step)).durationUs;
  }

  /** Begins the step that `timeShared` timed last. It lasts as long as the longest of all. */
  enterShared(flight: StepInFlight, nowUs: number, durationUs: number): void {
    this.#shownTiming.durationUs = durationUs;
    this.enterAlone(flight, nowUs, this.#shownTiming);
  }

  /** Begins a step where nothing else is in flight. */
  enterAlone(flight: StepInFlight, nowUs: number, timing: StepTiming): void {
    this.#number(flight, timing);
    flight.startUs = nowUs;
    flight.endUs = nowUs + timing.durationUs;
    flight.durationUs = flight.occupiedUs = timing.durationUs;
    this.#observe(flight, timing, undefined);
  }

  /** Begins a step behind those that are in the pipeline already. */
  enterPipeline(pipeline: Pipeline, flight: StepInFlight, nowUs: number, timing: StepTiming): void {
    const { requests, asyncScheduling, observer } = this.#parts;
    this.#number(flight, timing);
    const { batch } = flight;
    const { stepsInFlight } = requests.visible;
    for (let i = 0; i < batch.count; i++) stepsInFlight[batch.slots[i]!]!++;
    if (asyncScheduling) this.#countOnTokens(batch);
    pipeline.enter(nowUs, timing);
    flight.startUs = pipeline.startUs;
    flight.endUs = pipeline.endUs;
    flight.durationUs = pipeline.endUs - pipeline.startUs;
    flight.occupiedUs = pipeline.occupiedUs;
    observer.stepEntered(pipeline, flight.durationUs - flight.occupiedUs);
    const shown = Object.assign(this.#shownTiming, timing);
    shown.durationUs = flight.durationUs;
    shown.hostUs = pipeline.exposedHostUs;
    this.#observe(flight, shown, pipeline);
  }

  #number(flight: StepInFlight, timing: StepTiming): void {
    flight.number = this.#inFlight.nextNumber++;
    flight.attentionUs = timing.attentionUs;
    flight.attentionImbalance = timing.attentionImbalance;
    flight.previousEndUs = this.#inFlight.lastEndUs;
  }

  /** Of requests whose known tokens are all in the step, unless they end with the next one in any case. */
  #countOnTokens({ count, slots, kvLens }: ScheduledStep): void {
    const { mostTokens, visible } = this.#parts.requests;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const known = visible.knownTokens[slot]!;
      if (kvLens[i] === known && known + 1 < mostTokens[slot]!) visible.knownTokens[slot] = known + 1;
    }
  }

  #observe(flight: StepInFlight, timing: StepTiming, passage: StepPassage | undefined): void {
    const { index, policy, kvCache, requests, observer } = this.#parts;
    measureBatch(flight);
    observer.stepStarted(index, flight, timing, passage, policy.waitingCount, kvCache.usedBlocks, requests);
  }
}
