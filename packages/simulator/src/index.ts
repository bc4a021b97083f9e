export type {
  BatchingContext,
  BatchingPolicy,
  BatchLimits,
  CreateBatchingPolicy,
  ScheduledStep,
  SchedulerRequests,
} from "./batching/batching-policy.ts";
export type { BatchingName } from "./batching/policies.ts";
export { BATCHING_POLICIES } from "./batching/policies.ts";
export { preempt, scheduleTokens } from "./batching/step-building.ts";
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
} from "./documents/report.ts";
export { REQUEST_STATUS, reportSchema, requestSeriesSchema, stepTitle } from "./documents/report.ts";
export type {
  AxisValue,
  FieldMatch,
  FieldTree,
  FieldValue,
  LatencyMetric,
  Objective,
  Statistic,
  SweepCost,
  SweepDocument,
  SweepSlo,
} from "./documents/sweep.ts";
export { LATENCY_METRICS, STATISTICS, sweepSchema } from "./documents/sweep.ts";
export type {
  SweepCounts,
  SweepGroup,
  SweepPoint,
  SweepResults,
  SweepRow,
  SweepRunError,
  SweepStatus,
} from "./documents/sweep-results.ts";
export { SWEEP_STATUS, sweepResultsSchema, sweepRowSchema } from "./documents/sweep-results.ts";
export { timelineSchema } from "./documents/timeline.ts";
export type { ViewerBundle } from "./documents/viewer-bundle.ts";
export { Draft } from "./draft.ts";
export type { DeploymentOptions, DisaggregationOptions, SpeculationOptions } from "./engine/deployment.ts";
export { DeploymentError, DoesNotFitError, resolveDeployment } from "./engine/deployment.ts";
export type { GpuFacts, ProfiledGpu } from "./engine/gpu-facts.ts";
export { gpuFacts } from "./engine/gpu-facts.ts";
export { EventQueue } from "./events/event-queue.ts";
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
export { KvCache } from "./kv-cache/kv-cache.ts";
export type { AttentionTime, LayerTimes } from "./layer-times/layer-times.ts";
export { LayerTimesError, readLayerTimes } from "./layer-times/layer-times.ts";
export type { StepName } from "./metrics/batch-keeper.ts";
export { Distribution } from "./metrics/distribution.ts";
export type { ReplayedStep, ServiceLevel } from "./metrics/step-observer.ts";
export { findModel, MODEL_NAMES } from "./model/find-model.ts";
export { ModelError, parseModelConfig } from "./model/hugging-face.ts";
export type { LatentAttention, MixtureOfExperts, ModelConfig, WeightDtype } from "./model/model-config.ts";
export { rankAttention, rankKvHeads, withPrecision } from "./model/model-config.ts";
export {
  attentionFlopsPerPair,
  DTYPE_BYTES,
  flopsPerToken,
  headFlops,
  parameterCount,
  rankKvBytesPerToken,
  rankWeightBytes,
  WEIGHT_BYTES,
} from "./model/model-cost.ts";
export { RandomStream } from "./random.ts";
export { replay } from "./replay/replay.ts";
export type { ReplayOptions, ReplayProgress } from "./replay/replay-options.ts";
export { ReplayOptionsError } from "./replay/require-parts.ts";
export { ReplayTraceEvents } from "./replay-trace-events.ts";
export type { CreateRouter, ReplicaSignals, Router } from "./routing/router.ts";
export type { RouterName } from "./routing/routers.ts";
export { ROUTERS } from "./routing/routers.ts";
export type { Step, StepGroup, StepTimer, StepTiming } from "./step.ts";
export type { StepTimerKind, StepTimerOptions } from "./step-timers/create-step-timer.ts";
export { createStepTimer, STEP_TIMER_KINDS, StepTimerError } from "./step-timers/create-step-timer.ts";
export { type AttentionRunner, ExecutorTimer } from "./step-timers/executor-timer.ts";
export type { ExpertLoad } from "./step-timers/expert-routing.ts";
export { EXPERT_SHARE_CV, ExpertRouting } from "./step-timers/expert-routing.ts";
export type { MeasuredTimerOptions } from "./step-timers/measured-timer.ts";
export { MeasuredTimer } from "./step-timers/measured-timer.ts";
export type { ExpertOptions, HostTime, StepCostOptions } from "./step-timers/step-costs.ts";
export type { Configuration } from "./sweep/expand-sweep.ts";
export { expandSweep } from "./sweep/expand-sweep.ts";
export type { Fields } from "./sweep/fields.ts";
export { leavesOf } from "./sweep/fields.ts";
export { paretoFront } from "./sweep/pareto-front.ts";
export type { Miss } from "./sweep/service-objectives.ts";
export { latencyOf, limitsOf, missesOf } from "./sweep/service-objectives.ts";
export { sweepCsv } from "./sweep/sweep-csv.ts";
export { SweepError } from "./sweep/sweep-error.ts";
export { sweepResults } from "./sweep/sweep-results.ts";
export type { Outcome, RowOptions } from "./sweep/sweep-row.ts";
export { gpusOf, outcomeOfError, outcomeOfReport, requirePrices, sweepRow } from "./sweep/sweep-row.ts";
export type { BundledTrace, BundledTraceName } from "./trace/bundled-traces.ts";
export { BUNDLED_TRACES, findTrace, tracesDirectory } from "./trace/bundled-traces.ts";
export type { TokenSummary, TraceInspection } from "./trace/inspect-trace.ts";
export { inspectTrace } from "./trace/inspect-trace.ts";
export { KeptTraces } from "./trace/kept-traces.ts";
export type { TraceOptions } from "./trace/open-trace.ts";
export { openTrace } from "./trace/open-trace.ts";
export type { ArrivalColumn, TraceColumns } from "./trace/own-columns.ts";
export { ARRIVAL_COLUMNS } from "./trace/own-columns.ts";
export type { Arrivals, Lengths, SyntheticTrace } from "./trace/synthetic-trace.ts";
export { syntheticTrace } from "./trace/synthetic-trace.ts";
export type { Trace, TraceRequest } from "./trace/trace.ts";
export { traceOf } from "./trace/trace.ts";
export { TraceError } from "./trace/trace-error.ts";
export type { TraceFormatName } from "./trace/trace-formats.ts";
export { TRACE_FORMAT_NAMES, TRACE_FORMATS } from "./trace/trace-formats.ts";
export { writeTrace } from "./trace/write-trace.ts";
export { requestLines, writeReport, writeWhole } from "./write-report.ts";
