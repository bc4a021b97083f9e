// Whether a deployment keeps what is asked of it, and how near it is to not doing so.

import type { Metrics } from "../documents/report.ts";
import { LATENCY_METRICS, type Objective, STATISTICS, type SweepSlo } from "../documents/sweep.ts";

/** A limit that a deployment goes past. */
export interface Miss {
  /** Such as "ttftMs.p99". */
  readonly metric: string;
  /** Null: there is no sample. */
  readonly value: number | null;
  readonly limit: number;
}

/** Limits that are not kept, in the order of metrics. A latency without any sample misses its limit. */
export function missesOf(metrics: Metrics, slo: SweepSlo): Miss[] {
  const misses: Miss[] = [];
  for (const [metric, limit] of limitsOf(slo)) {
    const value = latencyOf(metrics, metric);
    if (value === null || value > limit) misses.push({ metric, value, limit });
  }
  const { rejectedShare: limit = 0 } = slo;
  const requests = metrics.completed + metrics.rejected + metrics.unfinished;
  const value = requests === 0 ? 0 : metrics.rejected / requests;
  if (value > limit) misses.push({ metric: "rejectedShare", value, limit });
  return misses;
}

/** Every latency limit of a block. */
export function limitsOf(slo: SweepSlo): (readonly [metric: Objective, limit: number])[] {
  return LATENCY_METRICS.flatMap((latency) =>
    STATISTICS.flatMap((statistic) => {
      const limit = slo[latency]?.[statistic];
      return limit === undefined ? [] : [[`${latency}.${statistic}`, limit] as const];
    }),
  );
}

/** Null where there is no sample. */
export function latencyOf(metrics: Metrics, objective: Objective): number | null {
  const [latency, statistic] = objective.split(".") as [(typeof LATENCY_METRICS)[number], (typeof STATISTICS)[number]];
  return metrics[latency][statistic];
}
