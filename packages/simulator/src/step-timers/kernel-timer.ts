// The `kernel` step timer: plans the attention of a step and simulates the plan on every SM; the rest as StepCosts has
// it. One plan per step serves all layers, since their attention is the same work, and all ranks.

import type { AttentionShape, Planner, PolicyName } from "@isochron/planner";
import { createPlanner } from "@isochron/planner";
import { plannerDevice } from "../gpu/planner-device.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import { KernelSimulator } from "../kernel/kernel-simulator.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { type StepCostOptions, StepCosts } from "./step-costs.ts";
import { addUp, emptyTiming } from "./timing.ts";

export class KernelTimer implements StepTimer {
  readonly name = "kernel";
  readonly policy: PolicyName;
  private readonly layers: number;
  private readonly costs: StepCosts;
  private readonly planner: Planner;
  private readonly simulator: KernelSimulator;
  private readonly timing: StepTiming = emptyTiming();

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    attention: AttentionShape,
    policy: PolicyName,
    options: StepCostOptions,
  ) {
    this.policy = policy;
    this.layers = model.layers;
    this.costs = new StepCosts(model, profile, tensorParallel, options);
    this.planner = createPlanner({ attention, device: plannerDevice(profile), policy });
    this.simulator = new KernelSimulator(profile);
  }

  time(step: Step): StepTiming {
    const { timing, simulator } = this;
    const batch = { qoLens: step.qoLens.subarray(0, step.count), kvLens: step.kvLens.subarray(0, step.count) };
    simulator.run(this.planner.plan(batch));
    timing.attentionUs = this.layers * simulator.durationUs;
    timing.attentionImbalance = simulator.durationUs / simulator.lowerBoundUs;
    timing.smBusyFraction = simulator.busyFraction;
    return addUp(timing, this.costs, step);
  }
}
