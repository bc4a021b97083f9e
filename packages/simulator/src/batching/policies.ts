// All batching policies. Adding one: a file like its neighbours and a row here.

import type { CreateBatchingPolicy } from "./batching-policy.ts";
import { createMlfq } from "./mlfq.ts";
import { createPrefillFirst } from "./prefill-first.ts";
import { createOrca, createStatic } from "./reserving.ts";
import { createVllmV1 } from "./vllm-v1.ts";

export type BatchingName = "vllm-v1" | "prefill-first" | "orca" | "static" | "mlfq";

export interface BatchingRow {
  readonly summary: string;
  readonly create: CreateBatchingPolicy;
  /** Whether a request starts only where its longest possible context has room; a report says how few run then. */
  readonly reservesContext?: true;
}

export const BATCHING_POLICIES: Readonly<Record<BatchingName, BatchingRow>> = {
  "vllm-v1": {
    summary: "vLLM v1: running first under a token budget, chunked prefill, preemption by recompute from the tail",
    create: createVllmV1,
  },
  "prefill-first": {
    summary: "SGLang-like: steps of prompts before steps of single tokens, the shortest answer is sent back",
    create: createPrefillFirst,
  },
  orca: {
    summary: "Orca: room for a whole context is reserved, requests join and leave between steps",
    create: createOrca,
    reservesContext: true,
  },
  static: {
    summary: "static batches: nobody joins until everybody has left",
    create: createStatic,
    reservesContext: true,
  },
  mlfq: {
    summary: "FastServe: multi-level feedback queue with skip-join, short answers overtake long ones",
    create: createMlfq,
  },
};
