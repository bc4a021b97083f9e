// The five native planners by the names that recordings of FlashInfer give them, with the policy that runs each.

import type { PolicyName } from "../../policy-names.ts";
import { planDecode } from "./decode-plan.ts";
import { planFa2 } from "./fa2-plan.ts";
import { planFa3 } from "./fa3-plan.ts";
import { planHolistic } from "./holistic-plan.ts";
import { planMla } from "./mla-plan.ts";
import type { FlashInferInput } from "./native.ts";

/** A native planner: the same input gives the same arrays as FlashInfer's. */
export interface NativePlanner {
  readonly policy: PolicyName;
  readonly plan: (input: FlashInferInput) => object;
}

export const NATIVE_PLANNERS: Readonly<Record<"decode" | "prefill" | "holistic" | "sm90" | "mla", NativePlanner>> = {
  decode: { policy: "flashinfer-decode", plan: planDecode },
  prefill: { policy: "flashinfer-fa2", plan: planFa2 },
  holistic: { policy: "flashinfer-holistic", plan: planHolistic },
  sm90: { policy: "flashinfer-fa3", plan: planFa3 },
  mla: { policy: "flashinfer-mla", plan: planMla },
};
