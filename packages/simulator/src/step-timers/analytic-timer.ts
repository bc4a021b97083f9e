// The `analytic` step timer: attention from sums over the batch, as if its work were spread evenly over all workers
// (even-launch.ts). What it cannot see is imbalance: on even batches it agrees with the `kernel` timer, on others it is
// the optimist.
//
// Where a step of decodes repeats, every request a token further, its sums are those of the step before and one token for
// each; tiles are one more for everybody who begins one, which a wheel knows. All of them are integers, so that they are
// the same numbers as if they were summed up anew, and so is what follows from them.

import type { AttentionShape, CostModel } from "@isochron/planner";
import { groupSize, queryTileFor } from "@isochron/planner";
import { BoundaryWheel } from "../boundary-wheel.ts";
import { plannerDevice } from "../gpu/planner-device.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import { type KernelCosts, resolveCosts } from "../kernel/kernel-costs.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { EvenLaunch } from "./even-launch.ts";
import { StageCosts } from "./stage-costs.ts";
import type { StepCostOptions } from "./step-costs.ts";

export class AnalyticTimer implements StepTimer {
  readonly name = "analytic";
  readonly tensorParallel: number;
  private readonly costs: StageCosts;
  private readonly costModel: CostModel;
  private readonly kvHeads: number;
  private readonly launchCosts: KernelCosts;
  private readonly launch: EvenLaunch;
  private readonly group: number;
  /** Rows of the query tile of a decode. */
  private readonly decodeRows: number;
  /** Bits of a whole number of KV tokens below its tiles; −1 where a tile is no power of two tokens. */
  private readonly tileShift: number;
  /** Of the step that repeats: who begins another tile when, all tiles, KV tokens of all, and those of the longest. */
  private readonly tileWheel: BoundaryWheel;
  private isRepeating = false;
  private tiles = 0;
  private kvTokens = 0;
  private longestKv = 0;

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    attention: AttentionShape,
    options: StepCostOptions,
  ) {
    this.tensorParallel = tensorParallel;
    this.costs = new StageCosts(model, profile, tensorParallel, options);
    const { costModel, smCount, ctasPerSm } = plannerDevice(profile, attention);
    this.costModel = costModel;
    this.kvHeads = attention.kvHeads;
    this.launchCosts = resolveCosts(
      {
        smCount,
        ctasPerSm,
        ctasPerWorker: 1,
        policy: "",
        headDim: attention.headDim,
        valueHeadDim: attention.valueHeadDim ?? attention.headDim,
        kvHeads: attention.kvHeads,
        dtype: attention.dtype,
        kvDtype: attention.kvDtype,
        kvTileTokens: costModel.kvTileTokens,
      },
      profile,
    );
    this.launch = new EvenLaunch(this.launchCosts);
    this.group = groupSize(attention);
    this.decodeRows = queryTileFor(costModel, this.group).rows;
    const tileBits = Math.log2(costModel.kvTileTokens);
    this.tileShift = Number.isInteger(tileBits) ? tileBits : -1;
    this.tileWheel = new BoundaryWheel(costModel.kvTileTokens);
  }

  time(step: Step): StepTiming {
    this.isRepeating = false;
    this.launchStep(step);
    return this.costs.addUp(this.launch, step);
  }

  timeRepeated(step: Step): StepTiming {
    if (this.group > this.decodeRows) return this.time(step);
    this.launchRepeated(step);
    return this.costs.addUp(this.launch, step);
  }

  /** One layer's attention launch. */
  private launchStep(step: Step): void {
    const { costModel, decodeRows, group, launchCosts, tileShift } = this;
    const { kvTileTokens } = costModel;
    const isDecodePlain = group <= decodeRows;
    const { count, qoLens, kvLens } = step;
    let decodes = 0;
    let decodeKv = 0;
    let jobs = 0;
    let tiles = 0;
    let longestTiles = 0;
    let streamBytes = 0;
    let tensorSmUs = 0;
    let mergeRounds = 1;
    for (let i = 0; i < count; i++) {
      const qoLen = qoLens[i]!;
      const kvLen = kvLens[i]!;
      if (qoLen === 1 && isDecodePlain) {
        // Most requests of most steps: a shift takes a third of the time of a division.
        const jobTiles = tileShift < 0 ? Math.ceil(kvLen / kvTileTokens) : (kvLen + kvTileTokens - 1) >> tileShift;
        decodes++;
        decodeKv += kvLen;
        tiles += jobTiles;
        if (jobTiles > longestTiles) longestTiles = jobTiles;
        continue;
      }
      if (qoLen === 0) continue;
      const tileRows = queryTileFor(costModel, qoLen * group).rows;
      const queryTiles = Math.ceil((qoLen * group) / tileRows);
      // A query tile sees the history and, of the new tokens, those up to its own last one.
      const tileTokens = tileRows / group;
      const seen =
        queryTiles * (kvLen - qoLen) +
        (tileTokens * queryTiles * (queryTiles + 1)) / 2 -
        (queryTiles * tileTokens - qoLen);
      jobs += queryTiles;
      const jobTiles = Math.ceil(kvLen / kvTileTokens);
      tiles += Math.ceil(seen / kvTileTokens);
      if (jobTiles > longestTiles) longestTiles = jobTiles;
      const rows = Math.min(tileRows, qoLen * group);
      mergeRounds = Math.max(mergeRounds, Math.ceil(rows / launchCosts.mergeRowsAtOnce));
      streamBytes +=
        (kvLen + (seen - kvLen) * launchCosts.l2ByteCost) * launchCosts.kvBytesPerToken +
        qoLen * group * (launchCosts.queryRowBytes + launchCosts.outputRowBytes);
      tensorSmUs += (seen * tileRows * launchCosts.flopsPerRowToken) / launchCosts.unitFlopsPerUs[tileRows]!;
    }
    if (decodes > 0) {
      jobs += decodes;
      mergeRounds = Math.max(mergeRounds, this.decodeMergeRounds());
      streamBytes += this.decodeBytes(decodes, decodeKv);
      tensorSmUs += this.decodeSmUs(decodeKv);
    }
    const { kvHeads, launch } = this;
    if (jobs === 0) {
      launch.runEmpty();
      return;
    }
    launch.arrange(kvHeads * jobs, kvHeads * tiles, longestTiles, mergeRounds);
    launch.run(kvHeads * streamBytes, kvHeads * tensorSmUs);
  }

  /** The same for a step that repeats the one of the last call. */
  private launchRepeated(step: Step): void {
    const { count } = step;
    const { kvHeads, launch, tileWheel } = this;
    if (!this.isRepeating) {
      this.beginRepeating(step);
      this.arrangeDecodes(count);
    } else {
      const begun = tileWheel.next;
      tileWheel.turn();
      this.kvTokens += count;
      this.longestKv++;
      this.tiles += begun;
      if (begun > 0) this.arrangeDecodes(count);
    }
    launch.run(kvHeads * this.decodeBytes(count, this.kvTokens), kvHeads * this.decodeSmUs(this.kvTokens));
  }

  private beginRepeating({ count, kvLens }: Step): void {
    const { tileWheel } = this;
    const { kvTileTokens } = this.costModel;
    this.isRepeating = true;
    this.tiles = this.kvTokens = this.longestKv = 0;
    tileWheel.clear();
    for (let i = 0; i < count; i++) {
      const kvLen = kvLens[i]!;
      const tiles = Math.ceil(kvLen / kvTileTokens);
      this.tiles += tiles;
      this.kvTokens += kvLen;
      this.longestKv = Math.max(this.longestKv, kvLen);
      tileWheel.add(tiles * kvTileTokens - kvLen + 1);
    }
  }

  private arrangeDecodes(count: number): void {
    const { kvHeads, launch, tiles } = this;
    const longestTiles = Math.ceil(this.longestKv / this.costModel.kvTileTokens);
    launch.arrange(kvHeads * count, kvHeads * tiles, longestTiles, this.decodeMergeRounds());
  }

  private decodeMergeRounds(): number {
    return Math.ceil(Math.min(this.decodeRows, this.group) / this.launchCosts.mergeRowsAtOnce);
  }

  /** Of one KV head, as everything of a decode here. */
  private decodeBytes(decodes: number, kvTokens: number): number {
    const { kvBytesPerToken, queryRowBytes, outputRowBytes } = this.launchCosts;
    return kvTokens * kvBytesPerToken + decodes * this.group * (queryRowBytes + outputRowBytes);
  }

  private decodeSmUs(kvTokens: number): number {
    const { decodeRows, launchCosts } = this;
    return (kvTokens * decodeRows * launchCosts.flopsPerRowToken) / launchCosts.unitFlopsPerUs[decodeRows]!;
  }
}
