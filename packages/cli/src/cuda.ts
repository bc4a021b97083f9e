// The CUDA package, which may be absent: it is optional, and loaded only by commands that need it.

import type { AttentionShape, AttentionTensors, Device, Execution, Executor, Plan } from "@isochron/planner";
import { InputError } from "./errors.ts";

/** What commands use of the package. */
export interface CudaPackage {
  cudaStatus(): readonly CudaStatusItem[];
  readonly CudaExecutor: { open(): CudaExecutor };
}

interface CudaStatusItem {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  readonly advice?: string;
}

export interface CudaExecutor extends Executor {
  /** The device as the planner needs it for a shape. */
  plannerDevice(attention: AttentionShape): Device;
  execute(plan: Plan, tensors: AttentionTensors, options?: { readonly timeline?: boolean }): Promise<Execution>;
}

/** Throws InputError where the package is not installed. */
export async function loadCuda(): Promise<CudaPackage> {
  try {
    return await import("@isochron/cuda-executor");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new InputError(
      "the package @isochron/cuda-executor is not installed: run `npm install @isochron/cuda-executor`",
    );
  }
}
