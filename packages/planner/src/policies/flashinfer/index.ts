// @isochron/planner/flashinfer: FlashInfer's five host planners as functions, input and output under FlashInfer's names.
// The policies `flashinfer-*` are these plans turned into pieces.

export { decodeOccupancy } from "./decode.ts";
export { DECODE_GROUP_SIZES, type DecodePlan, planDecode } from "./decode-plan.ts";
export { type Fa2Plan, fa2TileRows, planFa2 } from "./fa2-plan.ts";
export { type Fa3Plan, fa3TileRows, planFa3 } from "./fa3-plan.ts";
export type { KeyedIds } from "./heap.ts";
export { type HolisticPlan, type HolisticTask, planHolistic } from "./holistic-plan.ts";
export { introsortDescending } from "./introsort.ts";
export { type MlaPlan, planMla } from "./mla-plan.ts";
export { type FlashInferInput, FlashInferLimitError } from "./native.ts";
export { NATIVE_PLANNERS, type NativePlanner } from "./native-planners.ts";
export { WorkerHeap } from "./worker-heap.ts";
