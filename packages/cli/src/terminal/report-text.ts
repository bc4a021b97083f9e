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

/** Ends with a line break. */
export function reportText(report: Report, paint: Painter): string {
  const { metrics } = report;
  return [
    header(report, paint),
    facts([
      ["completed", `${count(metrics.completed, "request")}${others(metrics)}`],
      ["simulated time", `${fixed(metrics.durationS, 1)} s`],
      ["tokens", `${integer(metrics.inputTokens)} in, ${integer(metrics.outputTokens)} out`],
      ["requests / s", fixed(metrics.requestThroughput, 2)],
      ["output tokens / s", fixed(metrics.outputTokenThroughput, 1)],
      ["total tokens / s", fixed(metrics.totalTokenThroughput, 1)],
      ...(metrics.goodput === null ? [] : ([["goodput / s", fixed(metrics.goodput, 2)]] as const)),
    ]),
    latencyTable(metrics, paint),
    facts([
      ["concurrency", `${fixed(metrics.meanConcurrency, 1)} mean, ${integer(metrics.peakConcurrency)} peak`],
      ["steps", `${integer(metrics.steps)}, ${fixed(metrics.tokensPerStep.mean, 1)} tokens each`],
      ["KV cache used", `${percent(metrics.kvUsage.mean)} mean, ${percent(metrics.kvUsage.max)} peak`],
      ["prefix hits", percent(metrics.prefixHitRatio)],
      ["preemptions", `${integer(metrics.preemptions)} (${integer(metrics.recomputedTokens)} tokens computed again)`],
      ...(metrics.speculation === undefined
        ? []
        : ([["drafts", drafts(metrics.speculation, metrics.outputTokens)]] as const)),
      ...attentionFacts(metrics),
      ["MFU, MBU", `${percent(metrics.mfu)}, ${percent(metrics.mbu)}`],
      ...(metrics.stageIdle === undefined
        ? []
        : ([["idle by stage", metrics.stageIdle.map(percent).join(", ")]] as const)),
      ["step time", shares(metrics)],
    ]),
    ...report.warnings.map((warning) => `${paint("yellow", "warning:")} ${warning}\n`),
  ].join("\n");
}

function header({ trace, deployment, partial }: Report, paint: Painter): string {
  const { replicas, tensorParallel, model, gpu, batching, router, attention, stepTimer, rate } = deployment;
  const { pipelineParallel = 1 } = deployment;
  const group = tensorParallel === 1 ? gpu : `${tensorParallel} × ${gpu}`;
  const stages = pipelineParallel === 1 ? group : `${pipelineParallel} stages of ${group}`;
  const { expertParallel } = deployment;
  const gpus = expertParallel === undefined ? stages : `${stages}, experts over ${expertParallel} GPUs`;
  const prefill = deployment.disaggregation?.prefillReplicas;
  const kinds = prefill === undefined ? `${replicas}` : `${prefill} prefill + ${replicas - prefill} decode`;
  const { routerStalenessMs } = deployment;
  const stale = routerStalenessMs === undefined ? "" : ` (signals every ${routerStalenessMs} ms)`;
  const speed = rate === 1 ? "" : `, ${rate} × the trace's rate`;
  // The closed form knows no attention policies.
  const planning = stepTimer === "analytic" ? "" : `${attention} attention, `;
  const lines = [
    `${trace.name} (${count(trace.requestsUsed, "request")}${speed})`,
    `${kinds} × ${model}${precision(deployment)} on ${gpus}, ${batching} batching, ${router} routing${stale}, ${planning}${stepTimer} step times`,
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

function latencyTable(metrics: Metrics, paint: Painter): string {
  const column = (title: string, key: keyof Summary) => ({
    title,
    align: "right" as const,
    value: ([, latency]: (typeof LATENCIES)[number]) => fixed(metrics[latency][key], 2),
  });
  return table(
    LATENCIES,
    [
      { title: "", value: ([name]) => name },
      column("mean", "mean"),
      column("median", "median"),
      column("p75", "p75"),
      column("p90", "p90"),
      column("p95", "p95"),
      column("p99", "p99"),
      column("max", "max"),
    ],
    paint,
  );
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
