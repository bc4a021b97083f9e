// verifyPlan(): the proof obligations of a plan, each checked from scratch, the first violation named.
//
// A plan carries its own request table, so everything but agreement with the batch follows from the plan alone:
// decodePlan() runs the same checks on bytes from anywhere.

import { type AttentionBatch, validateBatch } from "./batch.ts";
import { lowerBound } from "./bounds.ts";
import { checkCover } from "./check-cover.ts";
import { checkFields } from "./check-fields.ts";
import { type Device, validateDevice, workerCount } from "./device.ts";
import { Header, Request } from "./layout.ts";
import { launchSlots, makespanNs } from "./makespan.ts";
import type { Plan } from "./plan.ts";
import { groupsOfPlan, jobsOfPlan } from "./plan-jobs.ts";
import { PlanViolation } from "./plan-violation.ts";
import { isStillShared } from "./prefix.ts";

/**
 * Throws PlanViolation unless the plan is a correct plan of this batch: exact cover of every visible KV tile of every
 * job, no piece outside its job, no group whose members do not share its tokens in the batch, slots unique and merged once in KV order, counts within capacities, monotone worker
 * ranges, sections where the layout puts them, counts in the stats equal to a recount. With `device`, makespan and
 * lower bound are recomputed too. Throws InvalidBatchError or InvalidDeviceError for what is no batch or no device.
 */
export function verifyPlan(plan: Plan, batch: AttentionBatch, device?: Device): void {
  checkPlan(plan);
  checkBatch(plan, batch);
  if (device !== undefined) checkTimes(plan, device);
}

/** Everything that can be checked without the batch. */
export function checkPlan(plan: Plan): void {
  checkFields(plan);
  checkCover(plan);
}

function checkBatch(plan: Plan, batch: AttentionBatch): void {
  validateBatch(batch, plan.attention.pageSize);
  if (plan.requestCount !== batch.qoLens.length) {
    throw new PlanViolation("batch", "requestCount", `is ${plan.requestCount}, the batch has ${batch.qoLens.length}`);
  }
  for (let i = 0; i < plan.requestCount; i++) {
    const at = i * Request.stride;
    const { requests } = plan;
    if (requests[at + Request.qoLen] !== batch.qoLens[i] || requests[at + Request.kvLen] !== batch.kvLens[i]) {
      const planned = `${requests[at + Request.qoLen]} × ${requests[at + Request.kvLen]}`;
      throw new PlanViolation(
        "batch",
        `request ${i}`,
        `is ${planned}, in the batch ${batch.qoLens[i]} × ${batch.kvLens[i]}`,
      );
    }
    if (batch.pageIndptr !== undefined && requests[at + Request.pageStart] !== batch.pageIndptr[i]) {
      throw new PlanViolation("batch", `request ${i}`, "pageStart differs from the batch's pageIndptr");
    }
  }
  checkSharing(plan, batch);
}

/** Members of a group read the same KV: in prefixes that the batch names, if any, and on the same pages, if it has some. */
function checkSharing(plan: Plan, batch: AttentionBatch): void {
  const groups = groupsOfPlan(plan);
  const { qoLens, kvLens, prefixes, pageIndptr, pageIndices } = batch;
  const { pageSize } = plan.attention;
  for (let g = 0; g < plan.groupCount; g++) {
    const [kvStart, kvEnd, members] = [[groups!.kvStart[g]!], [groups!.kvEnd[g]!], [groups!.members[g]!]];
    const group = { kvStart, kvEnd, members, pathOf: [] };
    const hasBoth = prefixes !== undefined && pageIndptr !== undefined && pageIndices !== undefined;
    const isShared =
      isStillShared(group, batch, pageSize) &&
      (!hasBoth || isStillShared(group, { qoLens, kvLens, pageIndptr, pageIndices }, pageSize));
    if (!isShared)
      throw new PlanViolation("batch", `group ${g}`, "its members do not share its KV tokens in the batch");
  }
}

function checkTimes(plan: Plan, device: Device): void {
  validateDevice(device);
  const { header, headerFloat64 } = plan;
  const slots = launchSlots(device, header[Header.ctasPerSm]!, header[Header.ctasPerWorker]!);
  const { pieces, workerPieceIndptr, workers, isPersistent } = plan;
  const makespan = makespanNs(pieces, workerPieceIndptr, workers, isPersistent, slots, device);
  if (makespan !== headerFloat64[Header.makespanNs / 2]) {
    throw new PlanViolation("stats", "makespanNs", `is ${headerFloat64[Header.makespanNs / 2]}, recounted ${makespan}`);
  }
  const jobs = jobsOfPlan(plan, device.costModel);
  const bound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
  lowerBound(jobs, workerCount(device), 0, bound);
  if (bound.lowerBoundNs !== headerFloat64[Header.lowerBoundNs / 2]) {
    const claimed = headerFloat64[Header.lowerBoundNs / 2];
    throw new PlanViolation("stats", "lowerBoundNs", `is ${claimed}, recounted ${bound.lowerBoundNs}`);
  }
}
