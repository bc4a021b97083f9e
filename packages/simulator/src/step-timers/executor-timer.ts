// Hardware in the loop: the attention of each step is planned and run by an executor, and timed there; the rest as
// StepCosts has it. The executor is given from outside, so that the simulator knows no GPU.

import type { GpuProfile } from "../gpu/profile.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { LaunchMemo, type LaunchTimes } from "./launch-memo.ts";
import { type StepCostOptions, StepCosts } from "./step-costs.ts";
import { addUp, emptyTiming } from "./timing.ts";

/** Runs the attention of one layer and says how long it took. */
export interface AttentionRunner {
  /** µs of one launch over requests of these lengths. Waits for it. */
  timeUs(qoLens: Int32Array, kvLens: Int32Array): number;
}

export class ExecutorTimer implements StepTimer {
  readonly name = "cuda";
  private readonly runner: AttentionRunner;
  private readonly layers: number;
  private readonly costs: StepCosts;
  private readonly memo: LaunchMemo;
  private readonly launch: LaunchTimes = { durationUs: 0, imbalance: Number.NaN, busyFraction: Number.NaN };
  private readonly timing: StepTiming = emptyTiming();

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    runner: AttentionRunner,
    options: StepCostOptions,
    exactLengths = false,
  ) {
    this.runner = runner;
    this.layers = model.layers;
    this.costs = new StepCosts(model, profile, tensorParallel, options);
    this.memo = new LaunchMemo(exactLengths);
  }

  time(step: Step): StepTiming {
    const { timing, launch, memo, runner } = this;
    const { count } = step;
    if (!memo.find(count, step.qoLens, step.kvLens, launch)) {
      launch.durationUs = runner.timeUs(memo.qoLens.subarray(0, count), memo.kvLens.subarray(0, count));
      launch.imbalance = launch.busyFraction = Number.NaN;
      memo.remember(launch);
    }
    timing.attentionUs = this.layers * launch.durationUs;
    return addUp(timing, this.costs, step);
  }
}
