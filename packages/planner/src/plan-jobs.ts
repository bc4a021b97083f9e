// The jobs that a plan was made for, collected again from its own request table and groups: what its bounds are about.

import type { CostModel } from "./device.ts";
import { collectJobs, Jobs } from "./jobs.ts";
import { GroupRange, Request } from "./layout.ts";
import type { Plan } from "./plan.ts";
import type { PrefixGroups } from "./prefix.ts";

/** Jobs with group heads packed and a query tile per request, priced by `costModel`. For a plan that checkPlan accepts. */
export function jobsOfPlan(plan: Plan, costModel: CostModel): Jobs {
  const { requests, requestCount } = plan;
  const jobs = new Jobs();
  const qoLens = Array.from({ length: requestCount }, (_, i) => requests[i * Request.stride + Request.qoLen]!);
  const kvLens = Array.from({ length: requestCount }, (_, i) => requests[i * Request.stride + Request.kvLen]!);
  collectJobs(jobs, plan.attention, costModel, qoLens, kvLens, requestCount, groupsOfPlan(plan));
  return jobs;
}

/** The groups that a plan shares, as the jobs were collected from; undefined when there are none. */
export function groupsOfPlan(plan: Plan): PrefixGroups | undefined {
  if (plan.groupCount === 0) return undefined;
  const groups = Array.from({ length: plan.groupCount }, (_, g) => g);
  const members = groups.map((g) =>
    Array.from(plan.groupMembers.subarray(plan.groupIndptr[g]!, plan.groupIndptr[g + 1]!)),
  );
  const pathOf: number[][] = Array.from({ length: plan.requestCount }, () => []);
  for (const g of groups) for (const request of members[g]!) pathOf[request]!.push(g);
  return {
    kvStart: groups.map((g) => plan.groupRanges[g * GroupRange.stride + GroupRange.kvStart]!),
    kvEnd: groups.map((g) => plan.groupRanges[g * GroupRange.stride + GroupRange.kvEnd]!),
    members,
    pathOf,
  };
}
