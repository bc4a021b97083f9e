// The port through which a plan is run.

import type { Plan } from "./plan.ts";
import type { Timeline } from "./timeline.ts";

/** What an executor runs on. */
export interface DeviceInfo {
  readonly name: string;
  readonly kind: "reference" | "cuda";
  /** 0 where the notion does not apply. */
  readonly smCount: number;
  readonly memoryBytes: number;
}

/**
 * Inputs of one launch. Elements as float64 or float32 for the reference; executors on hardware convert to the plan's
 * dtypes (bf16 and fp16 as Uint16Array bits are taken as they are).
 */
export interface AttentionTensors {
  /** [query tokens of all requests, queryHeads, headDim] */
  readonly query: TensorData;
  /** [pages, pageSize, kvHeads, headDim] */
  readonly key: TensorData;
  /** [pages, pageSize, kvHeads, valueHeadDim] */
  readonly value: TensorData;
  /** Page table in CSR form, [requests + 1] and [pageIndptr[requests]]. */
  readonly pageIndptr: ArrayLike<number>;
  readonly pageIndices: ArrayLike<number>;
  /** Factor on query·key; 1 / √headDim unless given. */
  readonly softmaxScale?: number;
  /** [queryHeads], natural-log units; needed when the attention shape has sinks. */
  readonly sinks?: TensorData;
}

export type TensorData = Float64Array | Float32Array | Uint16Array;

/** Result of one launch. */
export interface Execution {
  /** [query tokens, queryHeads, valueHeadDim]; rows without visible KV tokens are 0. */
  readonly output: Float64Array | Float32Array | Uint16Array;
  /** [query tokens, queryHeads], natural log of the sum of exponentials; −∞ for rows without visible KV tokens. */
  readonly lse: Float64Array | Float32Array;
  readonly durationUs: number;
  readonly timeline?: Timeline;
}

/** Runs plans. Implementations: ReferenceExecutor here, CudaExecutor in @isochron/cuda-executor. */
export interface Executor {
  readonly device: DeviceInfo;
  execute(plan: Plan, tensors: AttentionTensors): Promise<Execution>;
  /** Waits for what runs, frees everything. Later calls are errors. */
  close(): Promise<void>;
}
