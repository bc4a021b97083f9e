// report/1 as the page holds it. The columns keep the names of the document; only what the views use is checked.

import type { Report, RequestSeries, StepSeries, Summary } from "@isochron/simulator";
import { Field, type Numbers } from "./check.ts";
import { readGenerator } from "./timeline.ts";

export type Columns<T> = { readonly [K in keyof T]: Numbers };
export type Metrics = Report["metrics"];

export interface ReportDocument {
  readonly type: "report";
  readonly file: string;
  readonly title: string;
  readonly generator: Report["generator"];
  readonly partial: boolean;
  readonly trace: Report["trace"];
  readonly deployment: Report["deployment"];
  readonly metrics: Metrics;
  readonly steps: Columns<Omit<StepSeries, "attentionImbalance">> & {
    readonly attentionImbalance: ArrayLike<number | null>;
  };
  /** Time between tokens; absent in reports that keep percentiles alone. */
  readonly itlCurveMs: { readonly shares: Numbers; readonly values: Numbers } | undefined;
  readonly stepStride: number;
  readonly stepBatches: readonly StepBatch[];
  readonly requests: Columns<RequestSeries> | undefined;
  readonly warnings: readonly string[];
}

export type StepBatch = Report["stepBatches"][number];

/** What `status` of a request says, as in the simulator's documents. */
export const REQUEST_STATUS = ["completed", "rejected", "unfinished"] as const;

/** Whether a request was turned away when it arrived: it has no replica, no step and no end. */
export function isRejected({ status }: Columns<RequestSeries>, row: number): boolean {
  return REQUEST_STATUS[status[row]!] === "rejected";
}

const SUMMARY_FIELDS = ["mean", "median", "std", "min", "max", "p75", "p90", "p95", "p99"] as const;

/** Checks a parsed document. Throws DocumentProblem at the first field that is not as it should be. */
export function readReport(value: unknown, file: string): ReportDocument {
  const root = new Field(file, "", value);
  const trace = root.get("trace");
  const deployment = readDeployment(root.get("deployment"));
  const requests = root.get("requests");
  const name = trace.get("name").string();
  return {
    type: "report",
    file,
    title: `${name} on ${deployment.replicas} × ${deployment.gpu}`,
    generator: readGenerator(root.get("generator")),
    partial: root.get("partial").boolean(),
    trace: {
      name,
      format: trace.get("format").string(),
      sha256: trace.get("sha256").string(),
      requestsUsed: trace.get("requestsUsed").integer(0),
      linesSkipped: trace.get("linesSkipped").integer(0),
    },
    deployment,
    metrics: readMetrics(root.get("metrics")),
    steps: readSteps(root.get("steps")),
    itlCurveMs: readCurve(root.get("itlCurveMs")),
    stepStride: root.get("stepStride").integer(1),
    stepBatches: root
      .get("stepBatches")
      .items()
      .map((item) => ({
        replica: item.get("replica").integer(0),
        step: item.get("step").integer(0),
        reason: item.get("reason").string(),
        durationUs: item.get("durationUs").number(0),
        attentionUs: item.get("attentionUs").number(0),
        attentionImbalance: item.get("attentionImbalance").nullable(),
        requests: Array.from(item.get("requests").numbers({ integers: true })),
        qoLens: Array.from(item.get("qoLens").numbers({ low: 0, integers: true })),
        kvLens: Array.from(item.get("kvLens").numbers({ low: 0, integers: true })),
      })),
    requests: requests.missing ? undefined : readRequests(requests),
    warnings: root
      .get("warnings")
      .items()
      .map((item) => item.string()),
  };
}

function readCurve(field: Field): ReportDocument["itlCurveMs"] {
  if (field.missing) return undefined;
  const shares = ascending(field.get("shares"), field.get("shares").numbers({ low: 0, high: 1 }));
  const values = field.get("values").numbers({ low: 0, length: shares.length });
  return { shares, values: ascending(field.get("values"), values) };
}

function ascending(field: Field, values: Numbers): Numbers {
  for (let i = 1; i < values.length; i++) {
    if (values[i]! < values[i - 1]!) field.fail("ascending numbers", `not ascending at [${i}] (${values[i]})`);
  }
  return values;
}

function readDeployment(field: Field): Report["deployment"] {
  const slo = field.get("slo");
  const gpus = (name: string): number | undefined => (field.get(name).missing ? undefined : field.get(name).integer(1));
  const limit = (name: string): number | undefined => (slo.get(name).missing ? undefined : slo.get(name).number(0));
  return {
    model: field.get("model").string(),
    gpu: field.get("gpu").string(),
    tensorParallel: field.get("tensorParallel").integer(1),
    pipelineParallel: gpus("pipelineParallel"),
    expertParallel: gpus("expertParallel"),
    asyncScheduling: field.get("asyncScheduling").missing ? undefined : field.get("asyncScheduling").boolean(),
    replicas: field.get("replicas").integer(1),
    router: field.get("router").string(),
    batching: field.get("batching").string(),
    attention: field.get("attention").string(),
    stepTimer: field.get("stepTimer").string(),
    blockSizeTokens: field.get("blockSizeTokens").integer(1),
    kvBlocks: field.get("kvBlocks").integer(0),
    maxRunningRequests: field.get("maxRunningRequests").integer(0),
    maxBatchedTokens: field.get("maxBatchedTokens").integer(0),
    prefixCaching: field.get("prefixCaching").boolean(),
    rate: field.get("rate").number(0),
    slo: { ttftMs: limit("ttftMs"), tpotMs: limit("tpotMs"), e2eMs: limit("e2eMs") },
  };
}

function readSummary(field: Field): Summary {
  return Object.fromEntries(SUMMARY_FIELDS.map((name) => [name, field.get(name).nullable()])) as unknown as Summary;
}

export function readMetrics(field: Field): Metrics {
  const number = (name: string): number => field.get(name).number();
  const spread = (name: string): { mean: number; max: number } => ({
    mean: field.get(name).get("mean").number(),
    max: field.get(name).get("max").number(),
  });
  const share = field.get("stepTimeShare");
  return {
    completed: number("completed"),
    rejected: number("rejected"),
    unfinished: number("unfinished"),
    durationS: number("durationS"),
    inputTokens: number("inputTokens"),
    outputTokens: number("outputTokens"),
    requestThroughput: number("requestThroughput"),
    outputTokenThroughput: number("outputTokenThroughput"),
    totalTokenThroughput: number("totalTokenThroughput"),
    goodput: field.get("goodput").nullable(),
    ttftMs: readSummary(field.get("ttftMs")),
    tpotMs: readSummary(field.get("tpotMs")),
    itlMs: readSummary(field.get("itlMs")),
    e2eMs: readSummary(field.get("e2eMs")),
    queueMs: readSummary(field.get("queueMs")),
    preemptions: number("preemptions"),
    recomputedTokens: number("recomputedTokens"),
    prefixHitRatio: number("prefixHitRatio"),
    kvUsage: spread("kvUsage"),
    meanConcurrency: number("meanConcurrency"),
    peakConcurrency: number("peakConcurrency"),
    steps: number("steps"),
    tokensPerStep: spread("tokensPerStep"),
    batchSize: spread("batchSize"),
    smBusyFraction: field.get("smBusyFraction").nullable(),
    attentionImbalance: field.get("attentionImbalance").value === null ? null : spread("attentionImbalance"),
    mfu: number("mfu"),
    mbu: number("mbu"),
    stepTimeShare: {
      attention: share.get("attention").number(0),
      gemm: share.get("gemm").number(0),
      collective: share.get("collective").number(0),
      other: share.get("other").number(0),
      host: share.get("host").number(0),
      ...(share.get("wait").missing ? {} : { wait: share.get("wait").number(0) }),
    },
  };
}

function readSteps(field: Field): ReportDocument["steps"] {
  const step = field.get("step").numbers({ low: 0, integers: true });
  const length = step.length;
  const column = (name: string): Numbers => field.get(name).numbers({ low: 0, length });
  return {
    step,
    replica: field.get("replica").numbers({ low: 0, integers: true, length }),
    startUs: column("startUs"),
    durationUs: column("durationUs"),
    running: column("running"),
    waiting: column("waiting"),
    tokens: column("tokens"),
    prefillTokens: column("prefillTokens"),
    kvBlocksUsed: column("kvBlocksUsed"),
    attentionUs: column("attentionUs"),
    attentionImbalance: field.get("attentionImbalance").numbers({ low: 0, length, nulls: true }),
    preemptions: column("preemptions"),
  };
}

function readRequests(field: Field): Columns<RequestSeries> {
  const id = field.get("id").numbers({ low: 0, integers: true });
  const length = id.length;
  const column = (name: string): Numbers => field.get(name).numbers({ low: -1, length });
  return {
    id,
    replica: column("replica"),
    status: field.get("status").numbers({ low: 0, high: 2, integers: true, length }),
    arrivalUs: column("arrivalUs"),
    scheduledUs: column("scheduledUs"),
    firstTokenUs: column("firstTokenUs"),
    endUs: column("endUs"),
    inputTokens: column("inputTokens"),
    outputTokens: column("outputTokens"),
    cachedTokens: column("cachedTokens"),
    preemptions: column("preemptions"),
    firstStep: column("firstStep"),
    lastStep: column("lastStep"),
  };
}
