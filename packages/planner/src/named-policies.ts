// The planner and its budget with every policy by its name, the comparison policies among them. What this adds to the core
// is one look-up; what it costs is that all rules come along (see "Size" in README.md).

import { type Budget, type BudgetOptions, budgetFor } from "./budget.ts";
import { requireOptions } from "./invalid-options.ts";
import { createPlanner, type Planner, type PlannerOptions } from "./planner.ts";
import type { Policy } from "./policies/policy.ts";
import { findPolicy } from "./policies/registry.ts";
import type { PolicyName } from "./policy-names.ts";

/** What a planner is made for. */
export interface NamedPlannerOptions extends Omit<PlannerOptions, "policy"> {
  /** `balanced` unless given. */
  readonly policy?: PolicyName | Policy;
}

/** The limits, and what they hold for. */
export interface NamedBudgetOptions extends Omit<BudgetOptions, "policy"> {
  /** `balanced` unless given. */
  readonly policy?: PolicyName | Policy;
}

/** createPlanner of the core; a policy may be a name. Throws UnknownPolicyError, and what the core throws. */
export function createNamedPlanner(options: NamedPlannerOptions): Planner {
  requireOptions(options);
  return createPlanner({ ...options, policy: findPolicy(options.policy ?? "balanced") });
}

/** budgetFor of the core; a policy may be a name. Throws UnknownPolicyError, and what the core throws. */
export function budgetForNamed(options: NamedBudgetOptions): Budget {
  requireOptions(options);
  return budgetFor({ ...options, policy: findPolicy(options.policy ?? "balanced") });
}
