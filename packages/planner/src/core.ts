// The planner without other systems' rules: policies are objects, and what is not imported is not bundled. The main entry
// (index.ts) is this with every policy by name, and more.

export type { AttentionBatch, AttentionShape, Dtype, KvDtype, Mask, MaskKind, SharedPrefix } from "./batch.ts";
export { groupSize, InvalidBatchError, MAX_TOKENS, validateAttentionShape, validateBatch } from "./batch.ts";
export { type LowerBound, lowerBound } from "./bounds.ts";
export {
  type BatchLimits,
  type Budget,
  BudgetExceededError,
  type BudgetOptions,
  budgetFor,
  MissingLimitError,
  UnboundedPolicyError,
  workspaceBytes,
} from "./budget.ts";
export { partialStates } from "./check-fields.ts";
export { decodePlan, encodePlan, PlanFormatError } from "./codec.ts";
export type { CostModel, Device, QueryTileCost } from "./device.ts";
export { H100_SXM, InvalidDeviceError, queryTileFor, validateDevice, workerCount } from "./device.ts";
export type { AttentionTensors, DeviceInfo, Execution, Executor, TensorData } from "./execution.ts";
export { InvalidOptionsError } from "./invalid-options.ts";
export { collectJobs, Jobs } from "./jobs.ts";
export type { PlanCapacities, PlanLayout } from "./layout.ts";
export {
  DTYPES,
  GroupRange,
  HEADER_BYTES,
  Header,
  Launch,
  MASK_KINDS,
  Merge,
  MergeLaunch,
  MergeOrder,
  MergeSource,
  Piece,
  PLAN_MAGIC,
  PLAN_VERSION,
  planLayout,
  Request,
} from "./layout.ts";
export { mergeCostNs } from "./merge.ts";
export { PARTIAL, type PieceWriter, WRITE_THROUGH } from "./pieces.ts";
export { Plan } from "./plan.ts";
export { clonePlan } from "./plan-buffer.ts";
export { jobsOfPlan } from "./plan-jobs.ts";
export { type PlanRule, PlanViolation } from "./plan-violation.ts";
export { createPlanner, type PlannedStep, type Planner, type PlannerOptions, type SharedPrefixes } from "./planner.ts";
export { auto } from "./policies/auto.ts";
export { balanced } from "./policies/balanced.ts";
export { invariant } from "./policies/invariant.ts";
export { none } from "./policies/none.ts";
export type { BatchBound, LaunchShape, PieceBound, Policy, PolicyInput } from "./policies/policy.ts";
export { tight } from "./policies/tight.ts";
export { UnknownPolicyError } from "./policies/unknown-policy.ts";
export type { PolicyName } from "./policy-names.ts";
export { POLICY_NAMES } from "./policy-names.ts";
export type { PrefixGroups } from "./prefix.ts";
export type { StepAction } from "./stepping.ts";
export { tileLowerBoundNs } from "./tile-bound.ts";
export type { Generator, PlanStats, SliceKind, Timeline, TimelineSlices } from "./timeline.ts";
export { SLICE_KINDS } from "./timeline.ts";
export { checkPlan, verifyPlan } from "./verify.ts";
