// The verdict on a replay: whether it kept its limits, and where the time went.

import type { ReportDocument } from "../documents/report.ts";
import { duration, integer, milliseconds, percent, roundMs, times } from "../format.ts";
import type { Severity } from "./diagnose.ts";
import type { Replay } from "./replay.ts";

export interface ReplayVerdict {
  readonly severity: Severity;
  readonly headline: string;
  readonly sentences: readonly string[];
}

const PART_NAMES: Readonly<Record<string, string>> = {
  gemm: "GEMM",
  collective: "collectives",
  other: "other kernels",
  wait: "waiting for others",
};

export function diagnoseReplay(replay: Replay): ReplayVerdict {
  const { report } = replay;
  const { metrics } = report;
  const sentences: string[] = [];
  const { stepTimeShare } = metrics;
  const missed = missedLimits(replay);
  if (missed !== null) sentences.push(missed);
  const shares = Object.entries(stepTimeShare)
    .map(([name, share = 0]) => [PART_NAMES[name] ?? name, share] as const)
    .sort((a, b) => b[1] - a[1]);
  const [most] = shares;
  if (most !== undefined && most[1] > 0) {
    const named = shares.filter(([, share]) => share >= 0.02).map(([name, share]) => `${name} ${percent(share)}`);
    sentences.push(`Step time: ${named.join(", ")}.`);
  }
  if (metrics.attentionImbalance !== null && metrics.attentionImbalance.mean > 1.15) {
    const { mean, max } = metrics.attentionImbalance;
    const gain = stepTimeShare.attention * (1 - 1 / mean);
    sentences.push(
      `Attention takes ${times(mean)} its lower bound on average (worst step ${times(max)}): a better plan could save up to ${percent(gain)} of step time.`,
    );
  }
  const { queueMs, ttftMs } = metrics;
  if (queueMs.p99 !== null && ttftMs.p99 !== null && queueMs.p99 > 0.5 * ttftMs.p99) {
    sentences.push(
      `Waiting dominates the slow first tokens: p99 queue ${milliseconds(queueMs.p99)} of p99 TTFT ${milliseconds(ttftMs.p99)}.`,
    );
  }
  if (metrics.kvUsage.max > 0.95) {
    sentences.push(
      `The KV cache was full (${percent(metrics.kvUsage.max)})${metrics.preemptions > 0 ? `; ${integer(metrics.preemptions)} preemptions recomputed ${integer(metrics.recomputedTokens)} tokens` : ""}.`,
    );
  }
  return { ...headline(report), sentences };
}

/** How many requests kept each limit, where some did not. */
function missedLimits(replay: Replay): string | null {
  const { latencies, report } = replay;
  const { slo } = report.deployment;
  if (latencies === null) return null;
  const parts: string[] = [];
  for (const [name, values, limit] of [
    ["time to first token", latencies.ttft, slo.ttftMs],
    ["time per output token", latencies.tpot, slo.tpotMs],
    ["end to end", latencies.e2e, slo.e2eMs],
  ] as const) {
    if (limit === undefined) continue;
    let kept = 0;
    let count = 0;
    for (const value of values) {
      if (Number.isNaN(value)) continue;
      count++;
      if (value <= limit) kept++;
    }
    if (kept < count) parts.push(`${name} ${percent(kept / count)} within ${roundMs(limit)}`);
  }
  return parts.length === 0 ? null : `Limits: ${parts.join("; ")}.`;
}

function headline(report: ReportDocument): { severity: Severity; headline: string } {
  const { metrics, deployment } = report;
  const count = `${integer(metrics.completed)} requests in ${duration(metrics.durationS * 1e6)}`;
  const { slo } = deployment;
  const limits = [slo.ttftMs, slo.tpotMs, slo.e2eMs].some((limit) => limit !== undefined);
  if (!limits || metrics.goodput === null || metrics.requestThroughput <= 0) {
    return {
      severity: metrics.rejected > 0 ? "fair" : "good",
      headline: `${count}, ${integer(metrics.outputTokenThroughput)} output tokens/s.`,
    };
  }
  const met = metrics.goodput / metrics.requestThroughput;
  // Chosen: 99 % is what operators promise; below 90 % users notice.
  const severity: Severity = met >= 0.99 ? "good" : met >= 0.9 ? "fair" : "bad";
  return { severity, headline: `${count}: ${percent(met)} met every limit.` };
}
