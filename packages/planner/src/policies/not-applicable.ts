// A comparison policy stands for another system's kernel; what that kernel cannot run, the policy does not plan.

import type { PolicyName } from "../policy-names.ts";

/** The system behind the policy has no kernel for this attention shape, or refuses this batch. */
export class PolicyNotApplicableError extends Error {
  override readonly name = "PolicyNotApplicableError";
  readonly policy: PolicyName;
  /** Which property of the shape or the batch the other system has no kernel for. */
  readonly reason: string;

  constructor(policy: PolicyName, reason: string) {
    super(`policy ${policy} does not apply: ${reason}`);
    this.policy = policy;
    this.reason = reason;
  }
}
