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
  }

  /** Fills in everything but what is known of the SMs. `layerAttentionUs`: one layer's launch. */
  addUp(layerAttentionUs: number, step: Step): StepTiming {
    const { stages, timing } = this;
    const { tokens, sampled, group } = step;
    const groupTokens = group?.tokens ?? tokens;
    const mostTokens = group?.mostTokens ?? tokens;
    let attentionUs = 0;
    let gemmUs = 0;
    let collectiveUs = 0;
    let otherUs = 0;
    let gpuUs = 0;
    for (let s = 0; s < stages.length; s++) {
      const costs = stages[s]!;
      const attention = costs.stage.layers * layerAttentionUs;
      const gemm = costs.gemmUs(tokens, sampled, groupTokens);
      const collective = costs.collectiveUs(tokens, groupTokens, mostTokens);
      const other = costs.otherUs(tokens, sampled);
      const stageUs = attention + gemm + collective + other;
      attentionUs += attention;
      gemmUs += gemm;
      collectiveUs += collective;
      otherUs += other;
      gpuUs += stageUs;
      if (timing.stageUs !== undefined) timing.stageUs[s] = stageUs;
    }
    if (timing.stageUs !== undefined) {
      timing.transferUs = this.transfers.us(tokens);
      const transfersUs = (stages.length - 1) * timing.transferUs;
      collectiveUs += transfersUs;
      gpuUs += transfersUs;
    }
    timing.attentionUs = attentionUs;
    timing.gemmUs = gemmUs;
    timing.collectiveUs = collectiveUs;
    timing.otherUs = otherUs;
    timing.hostUs = stages[0]!.hostUs(step.count, tokens, gpuUs);
    timing.durationUs = gpuUs + timing.hostUs;
    return timing;
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
