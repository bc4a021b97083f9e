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
export type { Step, StepTimer, StepTiming } from "./step.ts";
