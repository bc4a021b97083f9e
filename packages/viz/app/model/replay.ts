// What a replay's views derive from its report: latencies of each request, totals over replicas, the worst requests, and
// which steps can be opened.

import type { ViewerDocument } from "../documents/read.ts";
import type { ReportDocument, StepBatch } from "../documents/report.ts";
import type { TimelineDocument } from "../documents/timeline.ts";
import { idleTimes, type StepFunction, totalOf } from "./replica-totals.ts";

export const LATENCIES = ["ttft", "tpot", "e2e"] as const;
export type Latency = (typeof LATENCIES)[number];
export const LATENCY_LABELS: Readonly<Record<Latency, string>> = { ttft: "TTFT", tpot: "TPOT", e2e: "E2E" };

/** Milliseconds per request by its row in the report; NaN where it has none. */
export interface RequestLatencies {
  readonly ttft: Float64Array;
  readonly tpot: Float64Array;
  readonly e2e: Float64Array;
  readonly queue: Float64Array;
}

export interface OpenableStep extends StepBatch {
  /** Row in the report's step series; −1 where the series leaves it out. */
  readonly row: number;
  /** Row of the last step of its replica at or before it that the series has: where to mark it; −1 for none. */
  readonly nearRow: number;
  /** Index of its timeline among the open documents; −1 where none is open. */
  readonly doc: number;
}

/** Reasons for which steps are kept, the most telling first; steps that are kept as a sample come last. The fourth is of older reports. */
const REASONS = [
  "asked for",
  "longest step",
  "attention above bound",
  "highest imbalance",
  "p99 TTFT",
  "p50 TTFT",
] as const;

export class Replay {
  readonly report: ReportDocument;
  readonly latencies: RequestLatencies | null;
  readonly running: StepFunction;
  readonly waiting: StepFunction;
  readonly kvShare: StepFunction;
  /** Row of each request by its position in the trace. */
  readonly rowOfRequest: ReadonlyMap<number, number>;
  readonly endUs: number;

  constructor(report: ReportDocument) {
    this.report = report;
    this.latencies = report.requests === undefined ? null : latenciesOf(report.requests);
    this.rowOfRequest = new Map(Array.from(report.requests?.id ?? [], (id, row) => [id, row]));
    const idleFrom = idleTimes(report);
    this.running = totalOf(report, report.steps.running, idleFrom, 1);
    this.waiting = totalOf(report, report.steps.waiting, idleFrom, 1);
    const { kvBlocks, replicas } = report.deployment;
    this.kvShare = totalOf(report, report.steps.kvBlocksUsed, idleFrom, kvBlocks * replicas || 1);
    const { startUs, durationUs } = report.steps;
    let endUs = report.metrics.durationS * 1e6;
    for (let i = 0; i < startUs.length; i++) endUs = Math.max(endUs, startUs[i]! + durationUs[i]!);
    this.endUs = Math.max(endUs, 1);
  }

  /** Rows of the requests with the largest values of a latency, largest first. */
  worst(latency: Latency, count: number): number[] {
    const values = this.latencies?.[latency];
    if (values === undefined) return [];
    const rows = Array.from(values.keys()).filter((row) => !Number.isNaN(values[row]!));
    return rows.sort((a, b) => values[b]! - values[a]!).slice(0, count);
  }

  /** Steps whose batch is in the report, by their most telling reason; those of one reason by what it speaks of. */
  openable(documents: readonly ViewerDocument[]): OpenableStep[] {
    const byTitle = new Map<string, number>();
    documents.forEach((document, i) => {
      if (document.type === "timeline" && document.title !== "") byTitle.set(document.title, i);
    });
    const { step, replica } = this.report.steps;
    const rowOf = new Map<string, number>();
    for (let row = 0; row < step.length; row++) rowOf.set(stepTitle(replica[row]!, step[row]!), row);
    return this.report.stepBatches
      .map((batch) => {
        const title = stepTitle(batch.replica, batch.step);
        const row = rowOf.get(title) ?? -1;
        const nearRow = row >= 0 ? row : lastRowBefore(this.report, batch.replica, batch.step);
        return { ...batch, row, nearRow, doc: byTitle.get(title) ?? -1 };
      })
      .sort((a, b) => rank(a) - rank(b) || weight(b) - weight(a) || a.step - b.step);
  }
}

function rank({ reason }: StepBatch): number {
  const found = REASONS.findIndex((one) => reason.includes(one));
  return found < 0 ? REASONS.length : found;
}

function weight(step: StepBatch): number {
  const reason = REASONS[rank(step)];
  if (reason === "longest step") return step.durationUs;
  return reason === REASONS[2] || reason === REASONS[3] ? aboveBoundUs(step) : 0;
}

/** Attention time that a perfect plan would save; 0 where the timer does not know. */
export function aboveBoundUs({ attentionUs, attentionImbalance }: StepBatch): number {
  return attentionImbalance === null || attentionImbalance <= 0 ? 0 : attentionUs * (1 - 1 / attentionImbalance);
}

/** A long replay keeps every n-th step. */
function lastRowBefore({ steps }: ReportDocument, replica: number, step: number): number {
  let found = -1;
  for (let row = 0; row < steps.step.length; row++) {
    if (steps.replica[row] === replica && steps.step[row]! <= step) found = row;
  }
  return found;
}

/** Title of the timeline of a replayed step: as stepTitle of the simulator. */
export function stepTitle(replica: number, step: number): string {
  return `replica ${replica} · step ${step}`;
}

/** The report that a timeline belongs to, by its place among the open documents; −1 where none is open. */
export function reportOf(documents: readonly ViewerDocument[], timeline: TimelineDocument): number {
  return documents.findIndex((document) => document.type === "report" && batchOf(document, timeline) !== undefined);
}

/** The replayed step that a timeline is a launch of, if its report is open. */
export function stepOf(documents: readonly ViewerDocument[], timeline: TimelineDocument): StepBatch | undefined {
  const report = documents[reportOf(documents, timeline)];
  return report?.type === "report" ? batchOf(report, timeline) : undefined;
}

function batchOf(report: ReportDocument, timeline: TimelineDocument): StepBatch | undefined {
  return report.stepBatches.find((batch) => stepTitle(batch.replica, batch.step) === timeline.title);
}

function latenciesOf(requests: NonNullable<ReportDocument["requests"]>): RequestLatencies {
  const count = requests.id.length;
  const latencies = {
    ttft: new Float64Array(count).fill(Number.NaN),
    tpot: new Float64Array(count).fill(Number.NaN),
    e2e: new Float64Array(count).fill(Number.NaN),
    queue: new Float64Array(count).fill(Number.NaN),
  };
  for (let row = 0; row < count; row++) {
    const arrival = requests.arrivalUs[row]!;
    const scheduled = requests.scheduledUs[row]!;
    const first = requests.firstTokenUs[row]!;
    const end = requests.endUs[row]!;
    if (scheduled >= 0) latencies.queue[row] = (scheduled - arrival) / 1e3;
    if (first >= 0) latencies.ttft[row] = (first - arrival) / 1e3;
    if (requests.status[row] !== 0 || end < 0) continue;
    latencies.e2e[row] = (end - arrival) / 1e3;
    const tokens = requests.outputTokens[row]!;
    if (first >= 0 && tokens > 1) latencies.tpot[row] = (end - first) / (tokens - 1) / 1e3;
  }
  return latencies;
}
