// The CUDA package, which may be absent: it is optional, and loaded only by commands that need it.

import type {
  AttentionShape,
  AttentionTensors,
  Device,
  Execution,
  Executor,
  Plan,
  PolicyName,
} from "@isochron/planner";
import type { AttentionRunner, GpuProfile } from "@isochron/simulator";
import { InputError } from "./errors.ts";

/** What commands use of the package. */
export interface CudaPackage {
  cudaStatus(): readonly CudaStatusItem[];
  readonly CudaExecutor: { open(): CudaExecutor };
  readonly CudaAttentionRunner: {
    open(
      executor: CudaExecutor,
      attention: AttentionShape,
      options: { readonly policy: PolicyName; readonly seed: number },
    ): Promise<AttentionRunner>;
  };
  /** Measures the executor's device; what it does not measure comes from `base`. */
  calibrate(executor: CudaExecutor, base: GpuProfile): Promise<Calibration>;
}

interface Calibration {
  readonly profile: object;
  readonly measurements: readonly {
    readonly name: string;
    readonly median: number;
    readonly p10: number;
    readonly p90: number;
  }[];
  readonly notes: readonly string[];
  readonly durationS: number;
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
    return (await import("@isochron/cuda-executor")) as unknown as CudaPackage;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new InputError(
      "the package @isochron/cuda-executor is not installed: run `npm install @isochron/cuda-executor`",
    );
  }
}
