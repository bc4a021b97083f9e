// Merges, once all pieces have their times. A lane merges after its pieces, its merges in order, each as soon as all
// the partial states it folds are written.
//
// Fused merges follow their own sources, or a grid barrier in kernels that have one; merges of a separate launch start
// when everything has ended. A merge folds its partial states one after the other, `mergeRowsAtOnce` rows at a time:
// that is how the measured kernel does it. Its reads come from L2 and its traffic is small, so it takes no bandwidth
// from pieces that still run.

import type { Plan, PolicyName } from "@isochron/planner";
import { Header, Merge, MergeLaunch, MergeSource } from "@isochron/planner";
import type { KernelCosts } from "./kernel-costs.ts";
import type { LaneTimes } from "./lanes.ts";
import type { PieceRecorder } from "./piece-recorder.ts";

/** Kernels that put a barrier over the whole grid between attention and merging. */
const BARRIER_POLICIES: readonly PolicyName[] = ["flashinfer-holistic", "flashinfer-mla"];

/** Runs the merges on lanes whose times it moves on; returns when the last one ends. */
export function runMerges(plan: Plan, costs: KernelCosts, lanes: LaneTimes, recorder: PieceRecorder | null): number {
  const { header, merges, mergeSources, workerMergeIndptr } = plan;
  const { laneEndUs, laneBusyUs, slotEndUs } = lanes;
  let endUs = lanes.endUs;
  if (plan.mergeCount === 0) return endUs;
  const { laneCount, mergeFixedUs, mergeRoundUs, mergePartialUs, mergeRowsAtOnce } = costs;
  fillUnnamedSlots(slotEndUs, plan.partialSlotCount);

  if (costs.mergePlaces > 0 && header[Header.mergeLaunch] === MergeLaunch.separate) {
    return runMergeGrid(plan, costs, lanes, recorder);
  }
  let notBeforeUs = 0;
  if (header[Header.mergeLaunch] === MergeLaunch.separate) notBeforeUs = endUs + costs.separateLaunchUs;
  else if (BARRIER_POLICIES.includes(plan.policy)) notBeforeUs = endUs + costs.barrierUs;

  for (let worker = 0; worker < plan.workers; worker++) {
    const lane = worker % laneCount;
    for (let merge = workerMergeIndptr[worker]!; merge < workerMergeIndptr[worker + 1]!; merge++) {
      const at = merge * Merge.stride;
      const sourceStart = merges[at + Merge.sourceStart]!;
      const sourceEnd = merges[at + Merge.sourceEnd]!;
      let startUs = Math.max(laneEndUs[lane]!, notBeforeUs);
      for (let source = sourceStart; source < sourceEnd; source++) {
        const writtenUs = slotEndUs[mergeSources[source * MergeSource.stride + MergeSource.slot]!]!;
        if (writtenUs > startUs) startUs = writtenUs;
      }
      const rounds = Math.ceil(merges[at + Merge.rowCount]! / mergeRowsAtOnce);
      const foldUs = rounds * (mergeRoundUs + (sourceEnd - sourceStart) * mergePartialUs);
      // A merge that had to be waited for costs the look again.
      const looksUs = merge === workerMergeIndptr[worker] || startUs > laneEndUs[lane]! ? mergeFixedUs : 0;
      const mergeEndUs = startUs + looksUs + foldUs;
      if (recorder !== null) recorder.merge(lane, merge, startUs, mergeEndUs);
      laneBusyUs[lane]! += mergeEndUs - startUs;
      laneEndUs[lane] = mergeEndUs;
      if (mergeEndUs > endUs) endUs = mergeEndUs;
    }
  }
  return endUs;
}

/** A merge kernel with a CTA for each few rows: they take their places in turn, several on each lane. */
function runMergeGrid(plan: Plan, costs: KernelCosts, lanes: LaneTimes, recorder: PieceRecorder | null): number {
  const { merges, mergeCount } = plan;
  const { laneCount, mergePlaces } = costs;
  const startUs = lanes.endUs + costs.separateLaunchUs;
  const ctasPerLane = mergePlaces / laneCount;
  let ctas = 0;
  let endUs = startUs;
  for (let merge = 0; merge < mergeCount; merge++) {
    const at = merge * Merge.stride;
    const sources = merges[at + Merge.sourceEnd]! - merges[at + Merge.sourceStart]!;
    const ctaUs = costs.mergeFixedUs + costs.mergeRoundUs + sources * costs.mergePartialUs;
    // Those of one launch take much the same time, so that places come free in rounds.
    const fromUs = startUs + Math.floor(ctas / mergePlaces) * ctaUs;
    const lane = ctas % laneCount;
    ctas += Math.ceil(merges[at + Merge.rowCount]! / costs.mergeRowsAtOnce);
    const toUs = startUs + Math.ceil(ctas / mergePlaces) * ctaUs;
    if (recorder !== null) recorder.merge(lane, merge, fromUs, toUs);
    lanes.laneBusyUs[lane]! += (toUs - fromUs) / ctasPerLane;
    lanes.laneEndUs[lane] = toUs;
    if (toUs > endUs) endUs = toUs;
  }
  return endUs;
}

/** A piece that leaves several partial states names the first of its slots; the others are written with it. */
function fillUnnamedSlots(slotEndUs: Float64Array, slots: number): void {
  for (let slot = 1; slot < slots; slot++) if (slotEndUs[slot] === 0) slotEndUs[slot] = slotEndUs[slot - 1]!;
}
