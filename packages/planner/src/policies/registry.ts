// All policies by name. A new one is a file beside this and a row here.

import type { PolicyName } from "../policy-names.ts";
import { POLICY_NAMES } from "../policy-names.ts";
import { balanced } from "./balanced.ts";
import { none } from "./none.ts";
import type { Policy } from "./policy.ts";

export const POLICIES: Partial<Record<PolicyName, Policy>> = {
  balanced,
  none,
};

/** A policy name that does not exist. `known` lists those that do. */
export class UnknownPolicyError extends Error {
  override readonly name = "UnknownPolicyError";
  readonly policy: string;
  readonly known: readonly string[];

  constructor(policy: string) {
    const known = POLICY_NAMES.filter((name) => POLICIES[name] !== undefined);
    super(`unknown policy ${JSON.stringify(policy)}, expected one of ${known.join(", ")}`);
    this.policy = policy;
    this.known = known;
  }
}

/** The policy of that name, or UnknownPolicyError. */
export function findPolicy(name: string): Policy {
  const policy = Object.hasOwn(POLICIES, name) ? POLICIES[name as PolicyName] : undefined;
  if (policy === undefined) throw new UnknownPolicyError(name);
  return policy;
}
