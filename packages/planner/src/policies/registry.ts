// All policies by name. A new one is a file beside this and a row here.

import type { PolicyName } from "../policy-names.ts";
import { auto } from "./auto.ts";
import { balanced } from "./balanced.ts";
import { faUniform } from "./fa-uniform.ts";
import { fa2Paged, fa2PagedGraph } from "./fa2-paged.ts";
import { fa3Varlen } from "./fa3-varlen.ts";
import { fixedSplit } from "./fixed-split.ts";
import { flashInferDecode, flashInferDecodeGraph } from "./flashinfer/decode.ts";
import { flashInferFa2, flashInferFa2Graph } from "./flashinfer/fa2.ts";
import { flashInferFa3 } from "./flashinfer/fa3.ts";
import { flashInferHolistic } from "./flashinfer/holistic.ts";
import { flashInferMla } from "./flashinfer/mla.ts";
import { flashMla } from "./flashmla.ts";
import { invariant } from "./invariant.ts";
import { none } from "./none.ts";
import type { Policy } from "./policy.ts";
import { streamK } from "./stream-k.ts";
import { tight } from "./tight.ts";
import { UnknownPolicyError } from "./unknown-policy.ts";

/** Rules by name. A name without a rule is one that plans from elsewhere may carry. */
export const POLICIES: Partial<Record<PolicyName, Policy>> = {
  balanced,
  none,
  tight,
  invariant,
  auto,
  "flashinfer-decode": flashInferDecode,
  "flashinfer-decode-graph": flashInferDecodeGraph,
  "flashinfer-fa2": flashInferFa2,
  "flashinfer-fa2-graph": flashInferFa2Graph,
  "flashinfer-holistic": flashInferHolistic,
  "flashinfer-fa3": flashInferFa3,
  "flashinfer-mla": flashInferMla,
  "fa-uniform": faUniform,
  "fa3-varlen": fa3Varlen,
  flashmla: flashMla,
  "stream-k": streamK,
  "fixed-split": fixedSplit,
  "fa2-paged": fa2Paged,
  "fa2-paged-graph": fa2PagedGraph,
};

/** The policy of that name, or UnknownPolicyError; a policy object is its own answer. */
export function findPolicy(name: string | Policy): Policy {
  if (typeof name !== "string") return name;
  const policy = Object.hasOwn(POLICIES, name) ? POLICIES[name as PolicyName] : undefined;
  if (policy === undefined) throw new UnknownPolicyError(name, Object.keys(POLICIES));
  return policy;
}
