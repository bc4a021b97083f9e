// Hardware in the loop: the attention of each step is planned and run by an executor, and timed there; the rest as
// StageCosts has it. The executor is given from outside, so that the simulator knows no GPU.

import type { GpuProfile } from "../gpu/profile.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { LaunchMemo, type LaunchTimes } from "./launch-memo.ts";
import { StageCosts } from "./stage-costs.ts";
import type { StepCostOptions } from "./step-costs.ts";

/** Runs the attention of one layer and says how long it took. */
export interface AttentionRunner {
  /** µs of one launch over requests of these lengths. Waits for it. */
  timeUs(qoLens: Int32Array, kvLens: Int32Array): number;
}

export class ExecutorTimer implements StepTimer {
  readonly name = "cuda";
  readonly tensorParallel: number;
  private readonly runner: AttentionRunner;
  private readonly costs: StageCosts;
  private readonly memo: LaunchMemo;
  private readonly launch: LaunchTimes = { durationUs: 0, imbalance: Number.NaN, busyFraction: Number.NaN };

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    runner: AttentionRunner,
    options: StepCostOptions,
    exactLengths = false,
  ) {
    this.runner = runner;
    this.tensorParallel = tensorParallel;
    this.costs = new StageCosts(model, profile, tensorParallel, options);
    this.memo = new LaunchMemo(exactLengths);
  }

  time(step: Step): StepTiming {
    const { launch, memo, runner } = this;
    const { count } = step;
    if (!memo.find(count, step.qoLens, step.kvLens, launch)) {
      launch.durationUs = runner.timeUs(memo.qoLens.subarray(0, count), memo.kvLens.subarray(0, count));
      launch.imbalance = launch.busyFraction = Number.NaN;
      memo.remember(launch);
    }
    return this.costs.addUp(launch, step);
  }
}
