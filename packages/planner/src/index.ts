export type { AttentionBatch, AttentionShape, Dtype, KvDtype, Mask, MaskKind, SharedPrefix } from "./batch.ts";
export { groupSize, InvalidBatchError, MAX_TOKENS, validateAttentionShape, validateBatch } from "./batch.ts";
export type { CostModel, Device, QueryTileCost } from "./device.ts";
export { H100_SXM, InvalidDeviceError, validateDevice, workerCount } from "./device.ts";
export type { AttentionTensors, DeviceInfo, Execution, Executor, TensorData } from "./execution.ts";
export type { PlanCapacities, PlanLayout } from "./layout.ts";
export {
  DTYPES,
  HEADER_BYTES,
  Header,
  Launch,
  MASK_KINDS,
  Merge,
  MergeLaunch,
  MergeOrder,
  MergeSource,
  Piece,
  PLAN_MAGIC,
  PLAN_VERSION,
  planLayout,
  Request,
} from "./layout.ts";
export { Plan } from "./plan.ts";
export type { PolicyName } from "./policy-names.ts";
export { POLICY_NAMES } from "./policy-names.ts";
export type { Generator, PlanStats, SliceKind, Timeline, TimelineSlices } from "./timeline.ts";
export { SLICE_KINDS } from "./timeline.ts";
