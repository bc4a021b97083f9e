// Two runs of vLLM 0.19 (data/llmservingsim/runs): 300 requests, open loop. Step times come from the tables of the GPU's
// layers and the simulated plans of attention; nothing is fitted to the runs.
//
// Besides the usual metrics, the decode tail is checked step by step. Between the ends of two requests the batch does not
// change, and only a whole number of equal steps fits into the gap, so each gap gives a measured step time.

import { fileURLToPath } from "node:url";
import {
  findModel,
  findProfile,
  gpuFacts,
  MeasuredTimer,
  openTrace,
  rankAttention,
  readLayerTimes,
  replay,
} from "@isochron/simulator";
import { has, readText, vllmRunsIn } from "./layout.mjs";

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** One entry per run: end-to-end errors, per-step errors of the tail, and what a timer blind to unevenness would give. */
export async function vllmRuns(data, missing = []) {
  const runs = [];
  for (const run of vllmRunsIn(data, missing)) {
    const model = findModel(run.model);
    const profile = findProfile(run.profile);
    const times = readLayerTimes(fileURLToPath(run.tables));
    const tensorParallel = run.tensorParallel ?? 1;
    const graphTokens = Math.min(2 * run.deployment.maxRunningRequests, 512);
    const timer = (seesUnevenness) =>
      new MeasuredTimer(model, profile, rankAttention(model, tensorParallel, 16), times, {
        graphTokens,
        seesUnevenness,
      });
    const requests = readText(run.requests)
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .sort((a, b) => Number(a.request_id.split("-")[1]) - Number(b.request_id.split("-")[1]));
    const entry = { name: run.name, gpu: run.gpu ?? run.name };
    for (const [key, sees] of [
      ["simulated", true],
      ["even", false],
      ["scaled", true],
    ]) {
      if (key === "scaled") entry.factor = machineFactor(entry.simulated.tail);
      const stepTimer = key === "scaled" ? scaled(timer(sees), entry.factor) : timer(sees);
      const started = performance.now();
      const report = await replay({
        trace: await openTrace(fileURLToPath(run.workload)),
        deployment: { model, gpu: gpuFacts(profile), attention: "fa2-paged-graph", tensorParallel, ...run.deployment },
        stepTimer,
      });
      entry[key] = {
        metrics: compareRequests(report, requests),
        tail: tailSteps(requests, stepTimer),
        preemptions: report.metrics.preemptions,
        steps: report.metrics.steps,
        wallMs: performance.now() - started,
      };
    }
    entry.requests = requests.length;
    entry.seconds = [];
    if (has(run.timeseries, "")) entry.seconds = tailSeconds(requests, entry.simulated.tail, readText(run.timeseries));
    else missing.push(`${run.name}: the engine's log of seconds, timeseries.csv`);
    runs.push(entry);
  }
  return runs;
}

/**
 * Measured over simulated time of the tail's clear steps: how far the machine of the run is from the one whose layers were
 * measured (clocks, library versions, kernels fused by the compiler). Fitted on the tail, judged on what came before.
 */
function machineFactor(gaps) {
  const clear = gaps.filter(({ steps }) => steps <= MOST_STEPS);
  const sum = (field) => clear.reduce((total, gap) => total + gap.steps * gap[field], 0);
  return sum("measuredMs") / sum("simulatedMs");
}

function scaled(timer, factor) {
  return {
    name: timer.name,
    time(step) {
      const timing = timer.time(step);
      timing.durationUs *= factor;
      return timing;
    },
  };
}

/** Simulated over measured − 1 of the metrics, times from the moment the engine got the request. */
function compareRequests(report, requests) {
  const series = report.requests;
  const simulated = { ttft: [], tpot: [], e2e: [] };
  const measured = { ttft: [], tpot: [], e2e: [] };
  for (const [i, request] of requests.entries()) {
    const decodes = request.output_toks - 1;
    measured.ttft.push(request.first_token_ts - request.queued_ts);
    measured.tpot.push((request.last_token_ts - request.first_token_ts) / decodes);
    measured.e2e.push(request.last_token_ts - request.queued_ts);
    simulated.ttft.push((series.firstTokenUs[i] - series.arrivalUs[i]) / 1e6);
    simulated.tpot.push((series.endUs[i] - series.firstTokenUs[i]) / 1e6 / decodes);
    simulated.e2e.push((series.endUs[i] - series.arrivalUs[i]) / 1e6);
  }
  const metrics = {};
  for (const name of ["ttft", "tpot", "e2e"]) {
    for (const [statistic, of] of [
      ["mean", mean],
      ["median", (values) => quantile(values, 0.5)],
      ["p90", (values) => quantile(values, 0.9)],
      ["p99", (values) => quantile(values, 0.99)],
    ]) {
      metrics[`${name} ${statistic}`] = of(simulated[name]) / of(measured[name]) - 1;
    }
  }
  metrics["e2e per request, median |error|"] = quantile(
    simulated.e2e.map((value, i) => Math.abs(value / measured.e2e[i] - 1)),
    0.5,
  );
  return metrics;
}

/** Gaps with more steps than this are left out: a simulated step that is 8 % off could hide behind one step more or less. */
const MOST_STEPS = 6;

/**
 * Steps of the tail, in which nothing is admitted any more: walking back from the end, the KV length of every request
 * is known exactly. One entry per gap: { requests, kvTokens, steps, measuredMs, simulatedMs, secondsBeforeEnd }.
 */
function tailSteps(requests, stepTimer) {
  const tick = (seconds) => Math.round(seconds * 1e4);
  const ends = [...new Set(requests.map((request) => tick(request.last_token_ts)))].sort((a, b) => b - a);
  const lastFirst = tick(Math.max(...requests.map((request) => request.first_token_ts)));
  const stepsBeforeEnd = new Map([[ends[0], 0]]);
  const gaps = [];
  let before = 0;
  for (let i = 1; i < ends.length && ends[i] > lastFirst; i++) {
    const gapMs = (ends[i - 1] - ends[i]) / 10;
    const alive = requests.filter((request) => tick(request.last_token_ts) > ends[i]);
    const kvLens = Int32Array.from(
      alive,
      (request) =>
        request.input_toks + request.output_toks - 1 - (before - stepsBeforeEnd.get(tick(request.last_token_ts))),
    );
    const count = kvLens.length;
    const step = { count, qoLens: new Int32Array(count).fill(1), kvLens, tokens: count, sampled: count };
    const simulatedMs = stepTimer.time(step).durationUs / 1000;
    const steps = Math.max(1, Math.round(gapMs / simulatedMs));
    gaps.push({
      requests: count,
      kvTokens: kvLens.reduce((sum, length) => sum + length, 0),
      steps,
      measuredMs: gapMs / steps,
      simulatedMs,
      secondsBeforeEnd: (ends[0] - ends[i]) / 1e4,
    });
    before += steps;
    stepsBeforeEnd.set(ends[i], before);
  }
  return gaps;
}

/**
 * The same by the engine's own log of generated tokens per second, which knows nothing of the simulation: requests in
 * flight over tokens generated is the mean step time of a second. The log's clock is set by its numbers of running requests.
 */
function tailSeconds(requests, gaps, timeseries) {
  const rows = timeseries
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(",").map(Number));
  const start = Math.min(...requests.map((request) => request.queued_ts));
  const end = Math.max(...requests.map((request) => request.last_token_ts));
  const runningAt = (at) =>
    requests.filter((request) => request.first_token_ts <= at && request.last_token_ts > at).length;
  const tailRows = rows.slice(rows.findLastIndex(([, prompt, , , waiting]) => prompt > 0 || waiting > 0) + 1, -1);
  let shift = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let candidate = -1; candidate <= 1; candidate += 0.01) {
    const miss = tailRows.reduce(
      (sum, [t, , , running]) => sum + Math.abs(runningAt(start + t + candidate) - running),
      0,
    );
    if (miss < least) [least, shift] = [miss, candidate];
  }
  const seconds = [];
  for (const [t, , generated] of tailRows) {
    const to = start + t + shift;
    const from = to - 1;
    let requestSeconds = 0;
    for (const request of requests) {
      requestSeconds += Math.max(0, Math.min(to, request.last_token_ts) - Math.max(from, request.first_token_ts));
    }
    let simulatedMs = 0;
    let weight = 0;
    for (const gap of gaps) {
      const gapFrom = end - gap.secondsBeforeEnd;
      const overlap = Math.min(to, gapFrom + (gap.steps * gap.measuredMs) / 1000) - Math.max(from, gapFrom);
      if (overlap <= 0) continue;
      // Time over time per step is steps: the mean over steps, not over time.
      weight += overlap / gap.measuredMs;
      simulatedMs += (overlap / gap.measuredMs) * gap.simulatedMs;
    }
    if (weight === 0 || generated < 100) continue;
    const measuredMs = (requestSeconds / generated) * 1000;
    seconds.push({
      t,
      requests: requestSeconds,
      measuredMs,
      simulatedMs: simulatedMs / weight,
      error: simulatedMs / weight / measuredMs - 1,
    });
  }
  return seconds;
}

/** Errors of gaps whose number of steps is beyond doubt. */
export function clearSteps(gaps) {
  return gaps.filter(({ steps }) => steps <= MOST_STEPS).map((gap) => gap.simulatedMs / gap.measuredMs - 1);
}
