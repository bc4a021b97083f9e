// Batch → the input of FlashInfer's planners, as the Python wrappers of FlashInfer would fill it in.

import type { PolicyName } from "../../policy-names.ts";
import { PolicyNotApplicableError } from "../not-applicable.ts";
import type { PolicyInput } from "../policy.ts";
import { type FlashInferInput, FlashInferLimitError } from "./native.ts";

/** The input for an eager plan of the batch; spread it to change fields. */
export function nativeInput(input: PolicyInput): FlashInferInput {
  const { attention, device, requestCount, qoLens, kvLens } = input;
  const { mask, pageSize } = attention;
  const qoIndptr = new Int32Array(requestCount + 1);
  const kvIndptr = new Int32Array(requestCount + 1);
  for (let i = 0; i < requestCount; i++) {
    qoIndptr[i + 1] = qoIndptr[i]! + qoLens[i]!;
    kvIndptr[i + 1] = kvIndptr[i]! + Math.ceil(kvLens[i]! / pageSize);
  }
  return {
    num_sm: device.smCount,
    num_qo_heads: attention.queryHeads,
    num_kv_heads: attention.kvHeads,
    head_dim_qk: attention.headDim,
    head_dim_vo: attention.valueHeadDim ?? attention.headDim,
    page_size: pageSize,
    causal: mask.kind !== "full",
    enable_cuda_graph: false,
    // Ours counts the query's own token, FlashInfer's does not.
    window_left: mask.kind === "sliding-window" ? mask.window - 1 : -1,
    fixed_split_size: -1,
    disable_split_kv: false,
    num_colocated_ctas: 0,
    uniform_q_len: 0,
    total_num_rows: qoIndptr[requestCount]!,
    batch_size: requestCount,
    qo_indptr: qoIndptr,
    kv_indptr: kvIndptr,
    kv_len: kvLens,
  };
}

/** Runs a native planner; what FlashInfer refuses becomes a PolicyNotApplicableError. */
export function runNative<T>(policy: PolicyName, plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    if (error instanceof FlashInferLimitError) throw new PolicyNotApplicableError(policy, error.message);
    throw error;
  }
}

/** Throws PolicyNotApplicableError for a sliding window. */
export function refuseWindow(policy: PolicyName, input: PolicyInput): void {
  if (input.attention.mask.kind === "sliding-window") {
    throw new PolicyNotApplicableError(policy, "its kernel has no sliding window");
  }
}

/** Request of each query start: native works name a request by its first query token. */
export function requestOfQueryStart(input: PolicyInput): Map<number, number> {
  const requests = new Map<number, number>();
  let start = 0;
  for (let i = 0; i < input.requestCount; i++) {
    // A request without query tokens has no works, and the next one has the same start.
    if (input.qoLens[i]! > 0) requests.set(start, i);
    start += input.qoLens[i]!;
  }
  return requests;
}
