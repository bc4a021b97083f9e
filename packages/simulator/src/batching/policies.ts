// All batching policies. Adding one: a file like its neighbours and a row here.

import type { CreateBatchingPolicy } from "./batching-policy.ts";
import { createVllmV1 } from "./vllm-v1.ts";

export type BatchingName = "vllm-v1";

export interface BatchingRow {
  readonly summary: string;
  readonly create: CreateBatchingPolicy;
}

export const BATCHING_POLICIES: Readonly<Record<BatchingName, BatchingRow>> = {
  "vllm-v1": {
    summary: "vLLM v1: running first under a token budget, chunked prefill, preemption by recompute from the tail",
    create: createVllmV1,
  },
};
