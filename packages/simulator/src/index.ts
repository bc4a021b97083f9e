export type { BatchDocument } from "./documents/batch.ts";
export { attentionSchema, batchSchema } from "./documents/batch.ts";
export { generatorSchema } from "./documents/generator.ts";
export type {
  Deployment,
  Metrics,
  Report,
  RequestSeries,
  StepBatch,
  StepSeries,
  Summary,
  TraceIdentity,
  ViewerBundle,
} from "./documents/report.ts";
export { REQUEST_STATUS, reportSchema, requestSeriesSchema, stepTitle } from "./documents/report.ts";
export { timelineSchema } from "./documents/timeline.ts";
export {
  findProfile,
  InvalidProfileError,
  listProfiles,
  parseProfile,
  UnknownProfileError,
} from "./gpu/find-profile.ts";
export { plannerDevice } from "./gpu/planner-device.ts";
export type { AttentionKernelProfile, CurveTable, GpuProfile, ProfileSource, Quantity } from "./gpu/profile.ts";
export { gpuProfileSchema, SOURCE_BASES } from "./gpu/profile.ts";
export { PlanProfileMismatchError } from "./kernel/kernel-costs.ts";
export type { Sharing } from "./kernel/kernel-simulator.ts";
export { KernelSimulator } from "./kernel/kernel-simulator.ts";
export type { KernelSimulation, SimulateKernelOptions, SmUse } from "./kernel/simulate-kernel.ts";
export { simulateKernel } from "./kernel/simulate-kernel.ts";
export { findModel, MODEL_NAMES } from "./model/find-model.ts";
export { ModelError, parseModelConfig } from "./model/hugging-face.ts";
export type { LatentAttention, MixtureOfExperts, ModelConfig } from "./model/model-config.ts";
export { rankAttention, rankKvHeads } from "./model/model-config.ts";
export {
  attentionFlopsPerPair,
  DTYPE_BYTES,
  flopsPerToken,
  headFlops,
  parameterCount,
  rankKvBytesPerToken,
  rankWeightBytes,
} from "./model/model-cost.ts";
export { RandomStream } from "./random.ts";
export type { Step, StepTimer, StepTiming } from "./step.ts";
