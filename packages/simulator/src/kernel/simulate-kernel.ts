// How long one plan takes on one GPU, and what every SM does meanwhile.

import type { Generator, Plan, Timeline } from "@isochron/planner";
import { Header, PlanViolation, Request } from "@isochron/planner";
import { requireProfile } from "../gpu/find-profile.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import type { Sharing } from "./kernel-simulator.ts";
import { KernelSimulator } from "./kernel-simulator.ts";
import { PieceRecorder } from "./piece-recorder.ts";

export interface SimulateKernelOptions {
  /** Default fluid. */
  readonly sharing?: Sharing;
  readonly title?: string;
  readonly generator?: Generator;
}

/** One SM over the whole launch; the three times add up to durationUs. Means over its resident CTAs. */
export interface SmUse {
  readonly sm: number;
  /** Moving bytes, computing or merging. */
  readonly busyUs: number;
  /** Waiting in the start-up and write-out latency of a piece. */
  readonly stalledUs: number;
  /** Before the launch, after the last piece, or waiting for another worker's partial state. */
  readonly idleUs: number;
}

export interface KernelSimulation {
  /** From launch to the last write, in µs. makespanUs is the same number under the planner's name. */
  readonly durationUs: number;
  readonly makespanUs: number;
  /** No schedule of the same work is shorter in this model. */
  readonly lowerBoundUs: number;
  /** Mean share of the duration in which a resident CTA runs a piece (latencies included) or a merge. */
  readonly busyFraction: number;
  /** HBM bytes / duration. */
  readonly bandwidthGBps: number;
  /** Padded flops / duration. */
  readonly tensorTflops: number;
  readonly hbmBytes: number;
  /** Bytes that a second reader found in L2. */
  readonly l2ServedBytes: number;
  readonly perSm: readonly SmUse[];
  readonly timeline: Timeline;
}

/**
 * Simulates one launch of a plan, from cold L2.
 * @throws PlanProfileMismatchError when the plan needs more SMs than the profile has; PlanViolation or InvalidProfileError for what is
 * no plan or no profile
 */
export function simulateKernel(plan: Plan, profile: GpuProfile, options: SimulateKernelOptions = {}): KernelSimulation {
  if (!(plan?.header instanceof Int32Array)) throw new PlanViolation("header", "the plan", "is none");
  requireProfile(profile);
  const smCount = plan.header[Header.smCount]!;
  const ctasPerSm = plan.header[Header.ctasPerSm]!;
  const simulator = new KernelSimulator(profile);
  const costs = simulator.costsOf(plan);
  const recorder = new PieceRecorder(plan, costs);
  const lanes = simulator.run(plan, options.sharing ?? "fluid", recorder);
  const { durationUs, lowerBoundUs, hbmBytes, busyFraction } = simulator;

  const lanesPerUnit = costs.laneCount / costs.unitCount;
  const perSm = Array.from({ length: smCount }, (_, sm): SmUse => {
    let busyUs = 0;
    let stalledUs = 0;
    for (let lane = Math.floor(sm / costs.smsPerWorker); lane < costs.laneCount; lane += costs.unitCount) {
      stalledUs += lanes.laneLatencyUs[lane]! / lanesPerUnit;
      busyUs += (lanes.laneBusyUs[lane]! - lanes.laneLatencyUs[lane]!) / lanesPerUnit;
    }
    return { sm, busyUs, stalledUs, idleUs: Math.max(0, durationUs - busyUs - stalledUs) };
  });
  const timeline: Timeline = {
    isochron: "timeline/1",
    source: "simulated",
    generator: options.generator ?? { version: "0.1.0", command: "simulateKernel" },
    device: { name: profile.name, smCount, ctasPerSm, workers: costs.laneCount },
    profile: profile.name,
    attention: plan.attention,
    policy: plan.policy,
    ...(options.title === undefined ? {} : { title: options.title }),
    batch: {
      qoLens: requestField(plan, Request.qoLen),
      kvLens: requestField(plan, Request.kvLen),
    },
    stats: plan.stats,
    durationUs,
    lowerBoundUs,
    slices: recorder.columns(),
    bandwidth: recorder.bandwidth(durationUs),
  };
  return {
    durationUs,
    makespanUs: durationUs,
    lowerBoundUs,
    busyFraction,
    bandwidthGBps: hbmBytes / durationUs / 1000,
    tensorTflops: simulator.totals.flops / durationUs / 1e6,
    hbmBytes,
    l2ServedBytes: lanes.l2ServedBytes,
    perSm,
    timeline,
  };
}

function requestField(plan: Plan, field: number): number[] {
  return Array.from({ length: plan.requestCount }, (_, i) => plan.requests[i * Request.stride + field]!);
}
