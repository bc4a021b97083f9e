// Simulates plans one after another on one GPU profile and keeps the numbers of the last one. For step timers: once
// warm it allocates nothing and builds no timeline. simulateKernel is the readable form of the same thing.

import type { Plan } from "@isochron/planner";
import { Header, Request } from "@isochron/planner";
import type { GpuProfile } from "../gpu/profile.ts";
import { FluidEngine } from "./fluid-engine.ts";
import type { KernelCosts } from "./kernel-costs.ts";
import { kernelCosts } from "./kernel-costs.ts";
import type { LaneTimes } from "./lanes.ts";
import { runMerges } from "./merge-phase.ts";
import type { PieceRecorder } from "./piece-recorder.ts";
import { PipelinedEngine } from "./pipelined-engine.ts";
import { runUnshared } from "./unshared-engine.ts";
import { WorkTotals } from "./work-totals.ts";

/** fluid: lanes share bandwidth and tensor cores. none: every piece takes what the planner's cost model charges. */
export type Sharing = "fluid" | "none";

/** Header fields that the costs of a launch depend on. */
const COST_FIELDS: readonly number[] = [
  Header.policy,
  Header.smCount,
  Header.ctasPerSm,
  Header.ctasPerWorker,
  Header.kvHeads,
  Header.headDim,
  Header.valueHeadDim,
  Header.dtype,
  Header.kvDtype,
  Header.kvTileTokens,
];

export class KernelSimulator {
  readonly profile: GpuProfile;
  readonly kernel: string | undefined;
  /** From launch to the last write. */
  durationUs = 0;
  /** When the last piece ends; merges may follow. */
  piecesEndUs = 0;
  lowerBoundUs = 0;
  /** Bytes from and to HBM. */
  hbmBytes = 0;
  /** Mean share of the duration in which a lane (a resident CTA) runs a piece or a merge. */
  busyFraction = 0;
  readonly totals: WorkTotals = new WorkTotals();
  /** Launch from an L2 that holds all of the KV cache, where it fits: as in measurements that repeat one batch. */
  startsWarm = false;
  private readonly fluid = new FluidEngine();
  private readonly pipelined = new PipelinedEngine();
  private costs: KernelCosts | undefined;
  private readonly costKey = new Int32Array(COST_FIELDS.length);

  /**
   * Plans run on the profile's kernel for their policy, or all on the one with this name. A profile without a kernel of
   * that name: on its general one.
   */
  constructor(profile: GpuProfile, kernel?: string) {
    this.profile = profile;
    this.kernel = kernel;
  }

  /**
   * Runs one plan and sets the fields above. The lanes that are returned are overwritten by the next call.
   * @throws PlanProfileMismatchError when the plan needs more SMs than the profile has
   */
  run(plan: Plan, sharing: Sharing = "fluid", recorder: PieceRecorder | null = null): LaneTimes {
    const costs = this.costsOf(plan);
    const kvIsWarm = this.startsWarm && sharing === "fluid" && kvBytes(plan, costs) <= costs.l2Bytes;
    this.totals.measure(plan, costs, kvIsWarm);
    let lanes: LaneTimes;
    if (sharing === "fluid") {
      const engine = costs.fillTokens > 0 ? this.pipelined : this.fluid;
      engine.kvIsWarm = kvIsWarm;
      lanes = engine.run(plan, costs, this.totals, recorder);
    } else {
      lanes = runUnshared(plan, costs, this.totals.bytes, recorder);
    }
    this.piecesEndUs = lanes.endUs;
    this.durationUs = runMerges(plan, costs, lanes, recorder);
    this.lowerBoundUs = this.totals.lowerBoundUs;
    this.hbmBytes = lanes.hbmBytes;
    let busyUs = 0;
    for (let lane = 0; lane < costs.laneCount; lane++) busyUs += lanes.laneBusyUs[lane]!;
    this.busyFraction = busyUs / (costs.laneCount * this.durationUs);
    return lanes;
  }

  costsOf(plan: Plan): KernelCosts {
    const { costKey } = this;
    let costs = this.costs;
    for (let i = 0; i < COST_FIELDS.length; i++) {
      const value = plan.header[COST_FIELDS[i]!]!;
      if (costKey[i] === value) continue;
      costKey[i] = value;
      costs = undefined;
    }
    if (costs === undefined) costs = kernelCosts(plan, this.profile, this.kernel);
    this.costs = costs;
    return costs;
  }
}

/** KV of all requests of a plan. */
function kvBytes(plan: Plan, costs: KernelCosts): number {
  let tokens = 0;
  for (let i = 0; i < plan.requestCount; i++) tokens += plan.requests[i * Request.stride + Request.kvLen]!;
  return tokens * plan.header[Header.kvHeads]! * costs.kvBytesPerToken;
}
