// What a report should say that its numbers do not: of the trace, of the deployment, and of how the replay went.

import { deploymentWarnings } from "../engine/deployment-warnings.ts";
import { RECORD_LIMIT } from "./replay-options.ts";
import type { ReplayRun } from "./replay-run.ts";

const text = (value: number): string => value.toLocaleString("en-US");

/** One sentence each. */
export function replayWarnings({ options, deployment, observer, fleet, clock, entrance }: ReplayRun): string[] {
  const { trace, recordLimit = RECORD_LIMIT } = options;
  const { limits, description } = deployment;
  const { usableBlocks, timerName: timer } = fleet;
  const warnings = [
    ...trace.warnings(),
    ...deploymentWarnings(options.deployment, deployment, { usableBlocks, timer }),
  ];
  const { rejected, arrived } = entrance;
  if (rejected > 0) {
    const requests = `${text(rejected)} ${rejected === 1 ? "request" : "requests"}`;
    const context = `the context of ${text(limits.maxContextTokens)} tokens`;
    const cache = `the KV cache of ${text(usableBlocks * description.blockSizeTokens)}`;
    warnings.push(`${requests} rejected: longer than ${context} or ${cache}`);
  }
  if (clock.isStopped) warnings.push("stopped before its end: unfinished requests are in no latency");
  if (arrived > recordLimit) warnings.push(`no per-request records: more than ${text(recordLimit)} requests`);
  const { ttftUs, tpotUs, itlUs, e2eUs, queueUs } = observer;
  if (![ttftUs, tpotUs, itlUs, e2eUs, queueUs].every(({ isExact }) => isExact)) {
    warnings.push("some percentiles come from histograms with bins of 0.1 %");
  }
  return warnings;
}
