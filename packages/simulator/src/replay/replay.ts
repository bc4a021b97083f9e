// Replays a trace on a deployment: arrivals are routed to replicas, replicas run steps, a step timer says how long each
// takes. The result is a function of trace, deployment, timer and seed alone.

import type { Report } from "../documents/report.ts";
import type { ReplayOptions } from "./replay-options.ts";
import { reportOf } from "./replay-report.ts";
import { type ReplayRun, setUp } from "./replay-run.ts";
import { requireParts } from "./require-parts.ts";

/**
 * @throws ReplayOptionsError when a part is missing, or times steps of other GPUs
 * @throws DeploymentError when the deployment cannot be
 * @throws TraceError when the trace cannot be read
 */
export async function replay(options: ReplayOptions): Promise<Report> {
  requireParts(options);
  const run = setUp(options);
  await goThrough(run);
  if (!run.clock.isStopped) checkEnd(run);
  return reportOf(run);
}

async function goThrough({ options, entrance, runner, clock }: ReplayRun): Promise<void> {
  for await (const requests of options.trace.chunks()) {
    for (const request of requests) {
      while (!runner.runUntil(request.arrivalUs)) await clock.breathe();
      if (clock.isStopped) return;
      entrance.take(request, clock.nowUs);
    }
  }
  while (!runner.runOut()) await clock.breathe();
}

/** Whoever ended has given back what it held. */
function checkEnd({ fleet }: ReplayRun): void {
  for (const { index, requests, kvCache } of fleet.replicas) {
    if (requests.count === 0 && kvCache.usedBlocks === 0) continue;
    throw new Error(`replica ${index} ended with ${requests.count} requests and ${kvCache.usedBlocks} used blocks`);
  }
}
