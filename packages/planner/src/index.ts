// The core with every policy by name, the reference interpreter, plans as JSON, and what FlashInfer's kernels take.

export { type AttentionState, emptyState, logSumExp, mergeState } from "./attention-state.ts";
export * from "./core.ts";
export {
  type FlashInferDecodeArrays,
  type FlashInferInterop,
  type FlashInferPrefillArrays,
  type InexpressibleField,
  toFlashInfer,
} from "./interop.ts";
export {
  budgetForNamed as budgetFor,
  createNamedPlanner as createPlanner,
  type NamedBudgetOptions as BudgetOptions,
  type NamedPlannerOptions as PlannerOptions,
} from "./named-policies.ts";
export { type PlanDocument, planFromJson, planToJson } from "./plan-json.ts";
export { PolicyNotApplicableError } from "./policies/not-applicable.ts";
export { POLICIES } from "./policies/registry.ts";
export { ExecutorClosedError, lengthsOf, ReferenceExecutor, runPlan } from "./reference.ts";
export {
  InvalidTensorError,
  type ReferencePrecision,
  type ReferenceResult,
  unsplitAttention,
} from "./row-attention.ts";
