// One batch under one policy: the plan, and the numbers that every plan is reported with.

import { performance } from "node:perf_hooks";
import {
  type AttentionBatch,
  type AttentionShape,
  createPlanner,
  type Device,
  Header,
  jobsOfPlan,
  type Plan,
  type Planner,
  type PlanStats,
  type PolicyName,
  tileLowerBoundNs,
  verifyPlan,
  workerCount,
  workspaceBytes,
} from "@isochron/planner";

export interface PlannedBatch {
  readonly policy: PolicyName;
  readonly stats: PlanStats;
  /** A bound at least as sharp as `stats.lowerBoundUs`: with whole KV tiles on whole workers. */
  readonly tileLowerBoundUs: number;
  /** Device memory for partial states. */
  readonly workspaceBytes: number;
  /** Bytes that are copied to the device for this plan. */
  readonly planBytes: number;
  /** Median of a warm planner on this machine. */
  readonly planTimeUs: number;
}

/** Measured: the median of 30 ms windows stops falling after the second one, when the JIT has settled. */
const WARM_UP_MS = 70;
const MEASURE_MS = 30;

/** Plans and verifies. Throws what the planner throws, and PlanViolation for a plan that breaks an invariant. */
export function planBatch(
  batch: AttentionBatch & { readonly attention: AttentionShape },
  device: Device,
  policy: PolicyName,
): { plan: Plan; planned: PlannedBatch } {
  const { attention } = batch;
  const planner = createPlanner({ attention, device, policy });
  const plan = planner.plan(batch);
  verifyPlan(plan, batch);
  return {
    plan,
    planned: {
      policy,
      stats: plan.stats,
      tileLowerBoundUs: tileLowerBoundNs(jobsOfPlan(plan, device.costModel), workerCount(device)) / 1000,
      workspaceBytes: workspaceBytes(attention, plan.partialSlotCount, plan.header[Header.slotRows]!),
      planBytes: plan.usedBytes,
      planTimeUs: medianPlanTimeUs(planner, batch),
    },
  };
}

function medianPlanTimeUs(planner: Planner, batch: AttentionBatch): number {
  const timesMs: number[] = [];
  const warmMs = performance.now() + WARM_UP_MS;
  while (performance.now() < warmMs) planner.plan(batch);
  const endMs = performance.now() + MEASURE_MS;
  do {
    const startMs = performance.now();
    planner.plan(batch);
    timesMs.push(performance.now() - startMs);
  } while (performance.now() < endMs || timesMs.length < 3);
  timesMs.sort((a, b) => a - b);
  return timesMs[timesMs.length >> 1]! * 1000;
}
