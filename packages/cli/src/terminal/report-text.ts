// A report as people read it: what was replayed, throughput, a table of latencies, and where the time went.

import type { Metrics, Report, Summary } from "@isochron/simulator";
import { count, fixed, integer, percent } from "./numbers.ts";
import type { Painter } from "./style.ts";
import { table } from "./table.ts";

const LATENCIES: readonly (readonly [string, keyof Metrics & `${string}Ms`])[] = [
  ["TTFT ms", "ttftMs"],
  ["TPOT ms", "tpotMs"],
  ["ITL ms", "itlMs"],
  ["E2E ms", "e2eMs"],
  ["queue ms", "queueMs"],
];

/** Ends with a line break. `width` is that of the terminal, if any. */
export function reportText(report: Report, paint: Painter, width?: number): string {
  const { metrics } = report;
  return [
    header(report, paint),
    facts([
      ["completed", `${count(metrics.completed, "request")}${others(metrics)}`],
      [
        "simulated time",
        metrics.durationS < 1 ? `${fixed(metrics.durationS * 1e3, 1)} ms` : `${fixed(metrics.durationS, 1)} s`,
      ],
      ["tokens", `${integer(metrics.inputTokens)} in, ${integer(metrics.outputTokens)} out`],
      ["requests / s", fixed(metrics.requestThroughput, 2)],
      ["output tokens / s", fixed(metrics.outputTokenThroughput, 1)],
      ["total tokens / s", fixed(metrics.totalTokenThroughput, 1)],
      ...(metrics.goodput === null ? [] : ([["goodput / s", goodput(metrics, metrics.goodput)]] as const)),
    ]),
    latencyTable(metrics, paint, width),
    facts([
      ["concurrency", `${fixed(metrics.meanConcurrency, 1)} mean, ${integer(metrics.peakConcurrency)} peak`],
      ["steps", `${integer(metrics.steps)}, ${fixed(metrics.tokensPerStep.mean, 1)} tokens each`],
      ["KV cache used", `${percent(metrics.kvUsage.mean)} mean while busy, ${percent(metrics.kvUsage.max)} peak`],
      ["prefix hits", percent(metrics.prefixHitRatio)],
      ["preemptions", `${integer(metrics.preemptions)} (${integer(metrics.recomputedTokens)} tokens computed again)`],
      ...(metrics.speculation === undefined
        ? []
        : ([["drafts", drafts(metrics.speculation, metrics.outputTokens)]] as const)),
      ...(metrics.kvTransfers === undefined ? [] : ([["KV transfers", transfers(metrics.kvTransfers)]] as const)),
      ...attentionFacts(metrics),
      ["MFU, MBU", `${percent(metrics.mfu)}, ${percent(metrics.mbu)}`],
      ...(metrics.stageIdle === undefined
        ? []
        : ([["idle by stage", metrics.stageIdle.map(percent).join(", ")]] as const)),
      ["step time", shares(metrics)],
    ]),
    ...warnings(report.warnings, paint),
  ].join("\n");
}

/** One block of lines, or none. */
function warnings(all: readonly string[], paint: Painter): string[] {
  return all.length === 0 ? [] : [all.map((warning) => `${paint("yellow", "warning:")} ${warning}\n`).join("")];
}

function header({ trace, deployment, partial }: Report, paint: Painter): string {
  const { replicas, tensorParallel, model, gpu, batching, router, attention, stepTimer, rate, concurrency } =
    deployment;
  const { pipelineParallel = 1 } = deployment;
  const group = tensorParallel === 1 ? gpu : `${tensorParallel} × ${gpu}`;
  const stages = pipelineParallel === 1 ? group : `${pipelineParallel} stages of ${group}`;
  const { expertParallel } = deployment;
  const gpus = expertParallel === undefined ? stages : `${stages}, experts over ${expertParallel} GPUs`;
  const prefill = deployment.disaggregation?.prefillReplicas;
  const kinds = prefill === undefined ? `${replicas}` : `${prefill} prefill + ${replicas - prefill} decode`;
  const { routerStalenessMs } = deployment;
  const stale = routerStalenessMs === undefined ? "" : ` (signals every ${routerStalenessMs} ms)`;
  const loop = concurrency === undefined ? "" : `, closed loop of ${integer(concurrency)}`;
  const speed = rate === 1 ? "" : `, ${rate} × the trace's rate`;
  // The closed form knows no attention policies.
  const planning = stepTimer === "analytic" ? "" : `${attention} attention, `;
  const lines = [
    `${trace.name} (${count(trace.requestsUsed, "request")}${speed}${loop})`,
    `${kinds} × ${model}${precision(deployment)} on ${gpus}, ${deployment.asyncScheduling === true ? "asynchronous " : ""}${batching} batching, ${router} routing${stale}, ${planning}${stepTimer} step times`,
    ...(partial ? [paint("yellow", "partial: stopped before the end of the trace")] : []),
  ];
  return `${paint("bold", lines[0]!)}\n${lines.slice(1).join("\n")}\n`;
}

function precision({ weights, kvDtype }: Report["deployment"]): string {
  const parts = [
    ...(weights === undefined ? [] : [`${weights} weights`]),
    ...(kvDtype === undefined ? [] : [`${kvDtype} KV cache`]),
  ];
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

function others({ rejected, unfinished }: Metrics): string {
  const parts = [
    ...(rejected > 0 ? [`${integer(rejected)} rejected`] : []),
    ...(unfinished > 0 ? [`${integer(unfinished)} unfinished`] : []),
  ];
  return parts.length === 0 ? "" : `, ${parts.join(", ")}`;
}

function latencyTable(metrics: Metrics, paint: Painter, width: number | undefined): string {
  const column = (title: string, key: keyof Summary, isExtra?: true) => ({
    title,
    ...(isExtra === true ? { isExtra } : {}),
    align: "right" as const,
    value: ([, latency]: (typeof LATENCIES)[number]) => fixed(metrics[latency][key], 2),
  });
  return table(
    LATENCIES,
    [
      { title: "", value: ([name]) => name },
      column("mean", "mean"),
      column("median", "median"),
      column("p75", "p75", true),
      column("p90", "p90", true),
      column("p95", "p95", true),
      column("p99", "p99"),
      column("max", "max", true),
    ],
    paint,
    width,
  );
}

/** Of the requests that ended or were rejected: both had limits to meet. */
function goodput({ completed, rejected, requestThroughput }: Metrics, perSecond: number): string {
  const share = (completed * perSecond) / (requestThroughput * (completed + rejected));
  return `${fixed(perSecond, 2)}${completed === 0 ? "" : ` (${percent(share)} of requests)`}`;
}

function transfers({ meanMs, maxMs, linkUse }: NonNullable<Metrics["kvTransfers"]>): string {
  return `${fixed(meanMs, 2)} ms mean, ${fixed(maxMs, 2)} ms worst, links ${percent(linkUse)} busy`;
}

function drafts({ draftTokens, acceptedTokens }: NonNullable<Metrics["speculation"]>, outputTokens: number): string {
  const wasted = draftTokens - acceptedTokens;
  return `${percent(acceptedTokens / outputTokens)} of output tokens were drafted, ${integer(wasted)} drafts wasted`;
}

/** Nothing where the step timer looked at no SM. */
function attentionFacts({ smBusyFraction, attentionImbalance }: Metrics): (readonly [string, string])[] {
  const lines: (readonly [string, string])[] = [];
  if (smBusyFraction !== null) lines.push(["SMs busy", `${percent(smBusyFraction)} of attention time`]);
  if (attentionImbalance !== null) {
    const { mean, max } = attentionImbalance;
    lines.push(["imbalance", `${fixed(mean, 3)} mean, ${fixed(max, 3)} worst (attention makespan / lower bound)`]);
  }
  return lines;
}

/** Parts that took no time are left out. */
function shares({ stepTimeShare }: Metrics): string {
  const { attention, gemm, collective, other, host, wait = 0 } = stepTimeShare;
  const parts: readonly (readonly [string, number])[] = [
    ["attention", attention],
    ["GEMM", gemm],
    ["collectives", collective],
    ["other kernels", other],
    ["host", host],
    ["waiting", wait],
  ];
  const named = parts.filter(([, share]) => share > 0).map(([name, share]) => `${name} ${percent(share)}`);
  return named.length === 0 ? "–" : named.join(", ");
}

function facts(lines: readonly (readonly [string, string])[]): string {
  return lines.map(([name, value]) => `${name.padEnd(18)} ${value}\n`).join("");
}
