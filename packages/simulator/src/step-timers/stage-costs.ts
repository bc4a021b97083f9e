// A step over the stages of a pipeline, one after the other; without a pipeline there is one stage. Attention of one layer
// is given, the rest is what StepCosts says of each stage, and transfers lie between them.

import type { GpuProfile } from "../gpu/profile.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { DTYPE_BYTES } from "../model/model-cost.ts";
import { type ModelStage, modelStages } from "../model/model-stages.ts";
import type { Step, StepTiming } from "../step.ts";
import { LinkTimes } from "./link-times.ts";
import { type StepCostOptions, StepCosts } from "./step-costs.ts";
import { emptyTiming } from "./timing.ts";

export class StageCosts {
  readonly timing: StepTiming;
  private readonly stages: readonly StepCosts[];
  private readonly transfers: StageTransfers;
  /** Of each stage, in the step that was added up last: everything but attention and host. */
  private readonly gemmUs: Float64Array;
  private readonly collectiveUs: Float64Array;
  private readonly otherUs: Float64Array;
  /** What that depends on; −1 before the first step, and after one whose experts were those of a group. */
  private tokens = -1;
  private sampled = -1;

  constructor(model: ModelConfig, profile: GpuProfile, tensorParallel: number, options: StepCostOptions) {
    const known = new Map<string, StepCosts>();
    // Stages that are alike share what they remember.
    const costsOf = (stage: ModelStage): StepCosts => {
      const key = JSON.stringify(stage);
      const costs = known.get(key) ?? new StepCosts(model, profile, tensorParallel, stage, options);
      known.set(key, costs);
      return costs;
    };
    this.stages = modelStages(model, options.pipelineParallel ?? 1).map(costsOf);
    this.transfers = new StageTransfers(model, profile, tensorParallel);
    this.timing = emptyTiming(this.stages.length);
    this.gemmUs = new Float64Array(this.stages.length);
    this.collectiveUs = new Float64Array(this.stages.length);
    this.otherUs = new Float64Array(this.stages.length);
  }

  /** Fills in everything but what is known of the SMs. `attention`: one layer's launch. */
  addUp(attention: { readonly durationUs: number }, step: Step): StepTiming {
    const { stages, timing } = this;
    const { count, tokens, sampled } = step;
    // Most steps have as many tokens as the one before.
    if (tokens !== this.tokens || sampled !== this.sampled || step.group !== undefined) this.findRest(step);
    const layerAttentionUs = attention.durationUs;
    let attentionUs = 0;
    let gpuUs = 0;
    for (let s = 0; s < stages.length; s++) {
      const stageAttentionUs = stages[s]!.stage.layers * layerAttentionUs;
      const stageUs = stageAttentionUs + this.gemmUs[s]! + this.collectiveUs[s]! + this.otherUs[s]!;
      attentionUs += stageAttentionUs;
      gpuUs += stageUs;
      if (timing.stageUs !== undefined) timing.stageUs[s] = stageUs;
    }
    if (timing.transferUs !== undefined) gpuUs += (stages.length - 1) * timing.transferUs;
    timing.attentionUs = attentionUs;
    timing.hostUs = stages[0]!.hostUs(count, tokens, gpuUs);
    timing.durationUs = gpuUs + timing.hostUs;
    return timing;
  }

  private findRest({ tokens, sampled, group }: Step): void {
    const { stages, timing } = this;
    const groupTokens = group?.tokens ?? tokens;
    const mostTokens = group?.mostTokens ?? tokens;
    this.tokens = group === undefined ? tokens : -1;
    this.sampled = sampled;
    timing.gemmUs = timing.collectiveUs = timing.otherUs = 0;
    for (let s = 0; s < stages.length; s++) {
      const costs = stages[s]!;
      timing.gemmUs += this.gemmUs[s] = costs.gemmUs(tokens, sampled, groupTokens);
      timing.collectiveUs += this.collectiveUs[s] = costs.collectiveUs(tokens, groupTokens, mostTokens);
      timing.otherUs += this.otherUs[s] = costs.otherUs(tokens, sampled);
    }
    if (timing.transferUs === undefined) return;
    timing.transferUs = this.transfers.us(tokens);
    timing.collectiveUs += (stages.length - 1) * timing.transferUs;
  }
}

/** From one stage to the next. */
export class StageTransfers {
  private readonly links: LinkTimes;
  private readonly tensorParallel: number;
  private readonly tokenBytes: number;

  constructor(model: ModelConfig, profile: GpuProfile, tensorParallel: number) {
    this.links = new LinkTimes(profile);
    this.tensorParallel = tensorParallel;
    // As in vLLM: the hidden state, and the residual that has not been added to it.
    this.tokenBytes = 2 * model.hiddenSize * DTYPE_BYTES[model.dtype];
  }

  /** Each rank of a tensor-parallel group sends its share to its like in the next, where they gather what others got. */
  us(tokens: number): number {
    const { links, tensorParallel } = this;
    const bytes = tokens * this.tokenBytes;
    const sentUs = links.transferUs(bytes / tensorParallel);
    if (tensorParallel === 1) return sentUs;
    return sentUs + links.gatherUs(tensorParallel, (bytes * (tensorParallel - 1)) / tensorParallel);
  }
}
