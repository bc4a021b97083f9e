// What a replay found, as a report.

import type { Report } from "../documents/report.ts";
import { summarize, utilisationPeaks } from "../metrics/summarize.ts";
import type { ReplayRun } from "./replay-run.ts";
import { replayWarnings } from "./replay-warnings.ts";

/** Of a replay that has come to its end or was stopped; counts the requests that are still with a replica. Once for each. */
export function reportOf(run: ReplayRun): Report {
  const { options, deployment, observer, fleet, clock, entrance, startedAt, startedMs } = run;
  const { trace, generator, seed = 0, batchingPolicy, concurrency, metricsOnly = false } = options;
  const { description } = deployment;
  const { model, gpu } = options.deployment;
  const unfinished = noteUnfinished(run);
  const endUs = clock.isStopped ? Math.max(clock.nowUs, observer.lastTokenUs) : observer.lastTokenUs;
  // The curve first: the summary's percentiles are among its own, found in the same pass.
  const itlCurveMs = metricsOnly ? undefined : observer.itlUs.curve(1e-3);
  const metrics = summarize(
    observer,
    {
      rejected: entrance.rejected,
      unfinished,
      peakConcurrency: entrance.peakConcurrency,
      endUs,
      kvBlocks: fleet.usableBlocks,
      hasSlo: Object.values(description.slo).some((limit) => limit !== undefined),
      kvTransfers: fleet.transfers?.summary(endUs, fleet.entryReplicas),
    },
    utilisationPeaks(model, gpu, description),
  );
  const requests = metricsOnly ? undefined : observer.requests.series();
  const wallMs = performance.now() - startedMs;
  return {
    isochron: "report/1",
    generator: generator ?? { version: "0.1.0", command: "replay", seed },
    partial: clock.isStopped,
    trace: { ...trace.identity(), ...(clock.isStopped ? { requestsUsed: entrance.arrived } : {}) },
    deployment: {
      ...description,
      ...(batchingPolicy === undefined ? {} : { batching: batchingPolicy.name }),
      stepTimer: fleet.timerName,
      rate: trace.rate,
      ...(concurrency === undefined ? {} : { concurrency }),
    },
    metrics,
    ...(itlCurveMs === undefined ? {} : { itlCurveMs }),
    steps: observer.steps.series(),
    stepStride: observer.steps.stride,
    stepBatches: observer.batches.batches(metrics.ttftMs),
    ...(requests === undefined ? {} : { requests }),
    warnings: replayWarnings(run),
    wallClock: {
      startedAt: startedAt.toISOString(),
      durationMs: wallMs,
      requestsPerSecond: entrance.arrived / (wallMs / 1000),
    },
  };
}

function noteUnfinished({ fleet, observer }: ReplayRun): number {
  let unfinished = 0;
  for (const { index, requests } of fleet.replicas) {
    for (const slot of requests.slots()) {
      unfinished++;
      observer.requestUnfinished(index, requests, slot);
    }
  }
  return unfinished;
}
