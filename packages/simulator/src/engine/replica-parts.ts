// What a replica is made of.

import type { BatchingPolicy } from "../batching/batching-policy.ts";
import type { KvCache } from "../kv-cache/kv-cache.ts";
import type { StepObserver } from "../metrics/step-observer.ts";
import type { StepTimer } from "../step.ts";
import type { RequestTable } from "./request-table.ts";
import type { Acceptance } from "./speculation.ts";

export interface ReplicaParts {
  readonly index: number;
  readonly requests: RequestTable;
  readonly kvCache: KvCache;
  readonly policy: BatchingPolicy;
  readonly maxRunningRequests: number;
  readonly maxContextTokens: number;
  /** Of the pipeline that the step timer times. */
  readonly stages: number;
  readonly asyncScheduling: boolean;
  readonly stepTimer: StepTimer;
  readonly observer: StepObserver;
  /** Undefined without speculative decoding. */
  readonly speculation?: { readonly tokens: number; readonly acceptance: Acceptance } | undefined;
}
