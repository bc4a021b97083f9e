// When steps in flight end: a step passes the host, then every stage of the pipeline and the links between them, each of
// which serves one step at a time, in order. Without a pipeline there is one stage, the GPU.

import type { StepTiming } from "../step.ts";

/** Where a step is when. */
export interface StepPassage {
  /** The host decides on it and prepares it. */
  readonly hostStartUs: number;
  readonly hostEndUs: number;
  /** Of each stage. */
  readonly stageStartUs: Float64Array;
  readonly stageEndUs: Float64Array;
}

export class Pipeline implements StepPassage {
  readonly stages: number;
  /** Of the step that entered last, which is also when the stages are free again. */
  readonly stageStartUs: Float64Array;
  readonly stageEndUs: Float64Array;
  hostStartUs = 0;
  hostEndUs = 0;
  /** When each link behind a stage is free again. */
  readonly #linkFreeUs: Float64Array;
  /** What a timer without stages says of the one there is. */
  readonly #stageUs = new Float64Array(1);

  /** Of the step that entered last: when it had the first stage to itself, and ended on the last one. */
  startUs = 0;
  endUs = 0;
  /** What of its host work the first stage waited for. */
  exposedHostUs = 0;
  /** What it added to the time in which the pipeline had something in it. */
  occupiedUs = 0;

  constructor(stages: number) {
    this.stages = stages;
    this.stageStartUs = new Float64Array(stages);
    this.stageEndUs = new Float64Array(stages);
    this.#linkFreeUs = new Float64Array(stages);
  }

  /** A step that is decided on now, when the host is free. */
  enter(nowUs: number, timing: StepTiming): void {
    const { stageStartUs, stageEndUs } = this;
    const { hostUs } = timing;
    let stageUs = timing.stageUs;
    if (stageUs === undefined) {
      stageUs = this.#stageUs;
      stageUs[0] = timing.durationUs - hostUs;
    }
    const transferUs = timing.transferUs ?? 0;
    const previousEndUs = this.endUs;
    this.hostStartUs = nowUs;
    this.hostEndUs = nowUs + hostUs;
    this.startUs = Math.max(nowUs, stageEndUs[0]!);
    this.exposedHostUs = Math.max(0, this.hostEndUs - this.startUs);
    let atUs = this.hostEndUs;
    const last = this.stages - 1;
    for (let s = 0; s <= last; s++) {
      atUs = Math.max(atUs, stageEndUs[s]!);
      stageStartUs[s] = atUs;
      atUs += stageUs[s]!;
      stageEndUs[s] = atUs;
      if (s === last) break;
      atUs = Math.max(atUs, this.#linkFreeUs[s]!) + transferUs;
      this.#linkFreeUs[s] = atUs;
    }
    this.endUs = atUs;
    this.occupiedUs = atUs - Math.max(this.startUs, previousEndUs);
  }
}
