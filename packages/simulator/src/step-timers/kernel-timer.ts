// The `kernel` step timer: plans the attention of a step and simulates the plan on every SM; the rest as StageCosts has
// it. One plan per step serves all layers, since their attention is the same work, and all ranks; and all steps whose
// decodes are of nearly the same lengths (launch-memo.ts).

import type { AttentionShape, Planner, PolicyName } from "@isochron/planner";
import { createPlanner } from "@isochron/planner";
import { plannerDevice } from "../gpu/planner-device.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import { KernelSimulator } from "../kernel/kernel-simulator.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { LaunchMemo, type LaunchTimes } from "./launch-memo.ts";
import { StageCosts } from "./stage-costs.ts";
import type { StepCostOptions } from "./step-costs.ts";

export class KernelTimer implements StepTimer {
  readonly name = "kernel";
  readonly tensorParallel: number;
  readonly policy: PolicyName;
  private readonly costs: StageCosts;
  private readonly planner: Planner;
  private readonly simulator: KernelSimulator;
  private readonly memo: LaunchMemo;
  private readonly launch: LaunchTimes = { durationUs: 0, imbalance: 0, busyFraction: 0 };

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    attention: AttentionShape,
    policy: PolicyName,
    options: StepCostOptions,
    exactLengths = false,
  ) {
    this.policy = policy;
    this.memo = new LaunchMemo(exactLengths);
    this.tensorParallel = tensorParallel;
    this.costs = new StageCosts(model, profile, tensorParallel, options);
    this.planner = createPlanner({ attention, device: plannerDevice(profile, attention), policy });
    this.simulator = new KernelSimulator(profile);
  }

  time(step: Step): StepTiming {
    const { costs, launch, memo } = this;
    if (!memo.find(step.count, step.qoLens, step.kvLens, launch)) {
      this.simulate(step.count);
      memo.remember(launch);
    }
    costs.timing.attentionImbalance = launch.imbalance;
    costs.timing.smBusyFraction = launch.busyFraction;
    return costs.addUp(launch, step);
  }

  /** Plans and simulates the batch that the memo does not know. */
  private simulate(count: number): void {
    const { launch, memo, simulator } = this;
    simulator.run(
      this.planner.plan({ qoLens: memo.qoLens.subarray(0, count), kvLens: memo.kvLens.subarray(0, count) }),
    );
    launch.durationUs = simulator.durationUs;
    launch.imbalance = simulator.durationUs / simulator.lowerBoundUs;
    launch.busyFraction = simulator.busyFraction;
  }
}
