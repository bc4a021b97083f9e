export { type AttentionRunnerOptions, CudaAttentionRunner } from "./attention-runner.ts";
export { type BaseProfile, type Calibration, calibrate, type Measurement } from "./calibrate.ts";
export {
  CudaError,
  CudaOutOfMemoryError,
  CudaUnavailableError,
  MissingLibraryError,
  PlanRejectedError,
  UnsupportedPlanError,
} from "./errors.ts";
export { CudaExecutor, type CudaExecutorOptions, checkPageIndices, type ExecuteOptions } from "./executor.ts";
export { CapturedGraph, type CaptureOptions, GraphClosedError, type LayerTensors } from "./graph.ts";
export { type CudaStatusItem, cudaStatus } from "./status.ts";
export { DeviceTensor, TensorClosedError } from "./tensors.ts";
