// Results of sweeps whose numbers are known: made by the simulator's own functions from metrics that are made up here.

import {
  type Configuration,
  expandSweep,
  type Outcome,
  type SweepDocument,
  type SweepResults,
  type SweepRow,
  sweepResults,
  sweepRow,
} from "@isochron/simulator";
import { makeReport } from "./documents.ts";

const { metrics, trace, deployment } = makeReport({ requests: 40 });

/** What a made-up replay of a configuration ended in. */
export type Ending =
  | { readonly gpus: number; readonly ttftMs: number; readonly tpotMs: number; readonly rejected?: number }
  | { readonly error: string };

export function makeSweepResults(
  document: SweepDocument,
  endingOf: (configuration: Configuration) => Ending,
): SweepResults {
  const configurations = expandSweep(document);
  const rows = configurations.map((configuration): SweepRow => {
    const command = `isochron replay ${configuration.fields["trace"]}`;
    return sweepRow(configuration, outcomeOf(endingOf(configuration)), { document, command });
  });
  return sweepResults(document, configurations, rows, { version: "0", command: "test" });
}

function outcomeOf(ending: Ending): Outcome {
  if ("error" in ending) return { status: "does-not-fit", error: { message: ending.error } };
  const { gpus, ttftMs, tpotMs, rejected = 0 } = ending;
  return {
    status: "completed",
    trace,
    deployment: { ...deployment, tensorParallel: 1, replicas: gpus },
    metrics: {
      ...metrics,
      completed: 40 - rejected,
      rejected,
      unfinished: 0,
      outputTokenThroughput: 8000,
      ttftMs: { ...metrics.ttftMs, p99: ttftMs },
      tpotMs: { ...metrics.tpotMs, p99: tpotMs },
    },
    warnings: [],
  };
}
