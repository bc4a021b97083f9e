// The port through which a plan is run.

import type { Plan } from "./plan.ts";
import type { Timeline } from "./timeline.ts";

/** What an executor runs on. */
export interface DeviceInfo {
  readonly name: string;
  /** `reference` computes on the host; `cuda` on a GPU. */
  readonly kind: "reference" | "cuda";
  /** 0 where the notion does not apply. */
  readonly smCount: number;
  /** 0 where the notion does not apply. */
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
  /** [requests + 1] Page table in CSR form; request i's tokens lie in pageIndices[pageIndptr[i] … pageIndptr[i + 1]). */
  readonly pageIndptr: ArrayLike<number>;
  /** [pageIndptr[requests]] Indices into the pages of key and value. */
  readonly pageIndices: ArrayLike<number>;
  /** Factor on query·key; 1 / √headDim unless given. */
  readonly softmaxScale?: number;
  /** [queryHeads], natural-log units; needed when the attention shape has sinks. */
  readonly sinks?: TensorData;
}

/** Elements in row-major order. Uint16Array holds the bits of bf16 or fp16, whichever the attention shape says. */
export type TensorData = Float64Array | Float32Array | Uint16Array;

/** Result of one launch. */
export interface Execution {
  /** [query tokens, queryHeads, valueHeadDim]; rows without visible KV tokens are 0. */
  readonly output: Float64Array | Float32Array | Uint16Array;
  /** [query tokens, queryHeads], natural log of the sum of exponentials; −∞ for rows without visible KV tokens. */
  readonly lse: Float64Array | Float32Array;
  /** Time of the launch on the device, or of the computation on the host. */
  readonly durationUs: number;
  /** What ran where and when, from executors that measure it. */
  readonly timeline?: Timeline;
}

/** Runs plans. Implementations: ReferenceExecutor here, CudaExecutor in @isochron/cuda-executor. */
export interface Executor {
  readonly device: DeviceInfo;
  /** Runs one launch. Rejects with InvalidTensorError, PlanViolation or ExecutorClosedError, or an error of the device. */
  execute(plan: Plan, tensors: AttentionTensors): Promise<Execution>;
  /** Waits for what runs, frees everything. Later calls are errors. */
  close(): Promise<void>;
}
