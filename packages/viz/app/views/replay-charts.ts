// The charts of a replay over simulated time, each one row of a table.

import type { ReportDocument } from "../documents/report.ts";
import type { Palette } from "../draw/palette.ts";
import { duration, integer, percent, roundMs, short } from "../format.ts";
import type { OpenableStep, Replay } from "../model/replay.ts";
import { ROUNDING_US, type StepFunction } from "../model/replica-totals.ts";
import { drawDots } from "./dots.ts";
import type { Span } from "./gestures.ts";
import { drawLimit, drawSteps, type Frame, TimeChart, type TimeChartEvents, type TimeChartSpec } from "./time-chart.ts";

export function replayCharts(replay: Replay, steps: readonly OpenableStep[], events: TimeChartEvents): TimeChart[] {
  const specs = [concurrency(replay), tokens(replay, steps), kvUse(replay)];
  if (replay.latencies !== null) specs.push(firstTokens(replay));
  return specs.map((spec, i) => new TimeChart({ ...spec, axis: i === specs.length - 1 }, events));
}

/** Largest value of a step function in a span. */
function mostIn(series: StepFunction, span: Span): number {
  let most = 0;
  for (let i = 0; i < series.atUs.length; i++) {
    const next = series.atUs[i + 1] ?? Number.POSITIVE_INFINITY;
    if (next >= span[0] && series.atUs[i]! <= span[1] && series.values[i]! > most) most = series.values[i]!;
  }
  return most;
}

function valueAt(series: StepFunction, timeUs: number): number {
  let low = 0;
  let high = series.atUs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (series.atUs[middle]! <= timeUs) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? 0 : series.values[low - 1]!;
}

function concurrency(replay: Replay): TimeChartSpec {
  const { running, waiting, endUs } = replay;
  return {
    title: "Requests running and waiting",
    height: 84,
    areCounts: true,
    domain: (time) => [0, Math.max(mostIn(running, time), mostIn(waiting, time), 1) * 1.08],
    format: short,
    draw: (frame) => {
      drawSteps(frame, running.atUs, running.values, frame.palette.requests[1]!, frame.palette.curveFill, endUs);
      drawSteps(frame, waiting.atUs, waiting.values, frame.palette.requests[0]!, null, endUs);
    },
    readout: (timeUs) => {
      const at = (series: StepFunction): string => (timeUs === null ? "" : ` ${integer(valueAt(series, timeUs))}`);
      return [
        ["var(--request-1)", `running${at(running)}`],
        ["var(--request-0)", `waiting${at(waiting)}`],
      ];
    },
  };
}

function tokens(replay: Replay, openable: readonly OpenableStep[]): TimeChartSpec {
  const { steps, stepStride, deployment } = replay.report;
  const count = steps.step.length;
  const decode = Float64Array.from({ length: count }, (_, i) => steps.tokens[i]! - steps.prefillTokens[i]!);
  const all = untilIdle(replay.report, Float64Array.from(steps.tokens));
  const decoding = untilIdle(replay.report, decode);
  return {
    // Of a long replay the report keeps every n-th step of a replica.
    title: stepStride === 1 ? "Tokens per step" : `Tokens per step (one in ${integer(stepStride)})`,
    height: 96,
    areCounts: true,
    domain: (time) => [0, Math.max(mostIn(all, time), 1) * 1.2],
    format: short,
    draw: (frame) => {
      const { palette } = frame;
      const end = replay.endUs;
      drawSteps(frame, all.atUs, all.values, palette.kinds[0], `${palette.kinds[0]}55`, end);
      drawSteps(frame, decoding.atUs, decoding.values, palette.kinds[1], palette.kinds[1], end);
      drawMarks(frame, replay, openable);
    },
    readout: (timeUs) => {
      // Where the series leaves steps out, the last one that it has stands for those that follow.
      const last = timeUs === null ? -1 : rowAt(steps.startUs, timeUs);
      const isOver = last >= 0 && stepStride === 1 && valueAt(all, timeUs!) === 0;
      const row = isOver ? -1 : last;
      const marks = openable.filter((step) => step.doc >= 0).length;
      if (row < 0) {
        return [
          ["var(--kind-0)", "prefill"],
          ["var(--kind-1)", "decode"],
          ...(marks > 0 ? [[null, `◆ ${marks} steps open their SM occupancy`] as const] : []),
        ];
      }
      return [
        [
          null,
          `step ${steps.step[row]}${deployment.replicas > 1 ? ` of replica ${steps.replica[row]}` : ""}, ${duration(steps.durationUs[row]!)}`,
        ],
        ["var(--kind-0)", `prefill ${integer(steps.prefillTokens[row]!)}`],
        ["var(--kind-1)", `decode ${integer(decode[row]!)}`],
      ];
    },
  };
}

function rowAt(startUs: ArrayLike<number>, timeUs: number): number {
  let low = 0;
  let high = startUs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (startUs[middle]! <= timeUs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A value of each step, until the next begins; 0 while no replica has one, where the series has all steps. */
function untilIdle({ steps, stepStride }: ReportDocument, values: Float64Array): StepFunction {
  const atUs: number[] = [];
  const held: number[] = [];
  let untilUs = Number.NEGATIVE_INFINITY;
  const idle = (): void => {
    atUs.push(untilUs);
    held.push(0);
  };
  for (let i = 0; i < values.length; i++) {
    if (stepStride === 1 && i > 0 && steps.startUs[i]! - untilUs > ROUNDING_US) idle();
    atUs.push(steps.startUs[i]!);
    held.push(values[i]!);
    untilUs = Math.max(untilUs, steps.startUs[i]! + steps.durationUs[i]!);
  }
  if (stepStride === 1 && values.length > 0) idle();
  return { atUs: Float64Array.from(atUs), values: Float64Array.from(held) };
}

/** A diamond on every step that opens. */
function drawMarks(frame: Frame, replay: Replay, openable: readonly OpenableStep[]): void {
  const { context, x, palette, ratio, top } = frame;
  const { startUs, durationUs } = replay.report.steps;
  for (const step of openable) {
    if (step.nearRow < 0) continue;
    const at = x(startUs[step.nearRow]! + durationUs[step.nearRow]! / 2);
    const size = 5.5 * ratio;
    context.beginPath();
    context.moveTo(at, top);
    context.lineTo(at + size, top + size);
    context.lineTo(at, top + 2 * size);
    context.lineTo(at - size, top + size);
    context.closePath();
    context.fillStyle = step.doc >= 0 ? palette.accent : palette.background;
    context.fill();
    context.strokeStyle = palette.accent;
    context.lineWidth = 1.5 * ratio;
    context.stroke();
  }
}

function kvUse(replay: Replay): TimeChartSpec {
  const { kvShare, endUs } = replay;
  const { replicas } = replay.report.deployment;
  return {
    title: replicas === 1 ? "KV cache in use" : `KV cache in use (mean of ${integer(replicas)} replicas)`,
    height: 60,
    domain: () => [0, 1.05],
    format: percent,
    draw: (frame) =>
      drawSteps(frame, kvShare.atUs, kvShare.values, frame.palette.bandwidth, frame.palette.curveFill, endUs),
    readout: (timeUs) => (timeUs === null ? [] : [[null, percent(valueAt(kvShare, timeUs))]]),
  };
}

function firstTokens(replay: Replay): TimeChartSpec {
  const { report, latencies } = replay;
  const arrivals = report.requests!.arrivalUs;
  const { ttft, tpot } = latencies!;
  const limit = report.deployment.slo.ttftMs;
  let low = Number.POSITIVE_INFINITY;
  let high = limit ?? 1;
  for (let row = 0; row < ttft.length; row++) {
    for (const value of [ttft[row]!, tpot[row]!]) {
      if (value > 0 && value < low) low = value;
      if (value > high) high = value;
    }
  }
  const domain: Span = [Math.max(Math.min(low, high / 10) * 0.8, 1e-3), high * 1.3];
  const colors = (palette: Palette): readonly [string, string] => [palette.requests[0]!, palette.others[0]];
  return {
    title: "Latency by arrival",
    height: 96,
    log: true,
    domain: () => domain,
    format: roundMs,
    draw: (frame) => {
      const [first, token] = colors(frame.palette);
      drawDots(frame, arrivals, { values: ttft, color: first }, { values: tpot, color: token });
      if (limit !== undefined) drawLimit(frame, limit, `TTFT limit ${roundMs(limit)}`);
      const { tpotMs } = report.deployment.slo;
      if (tpotMs !== undefined) drawLimit(frame, tpotMs, `TPOT limit ${roundMs(tpotMs)}`);
    },
    readout: () => [
      ["var(--request-0)", "time to first token"],
      ["var(--other-0)", "time per output token"],
    ],
  };
}
