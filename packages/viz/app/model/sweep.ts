// What a sweep's view asks: rows and front of a workload, what can be an axis and which end of it is better, and which
// field tells marks apart.

import type { Group, Row, SweepResultsDocument, Value, Values } from "../documents/sweep.ts";
import { amount, integer, milliseconds, percent, roundMs } from "../format.ts";

/** A number of a row that can be an axis. */
export interface Measure {
  readonly key: string;
  readonly name: string;
  readonly better: "less" | "more";
  readonly of: (row: Row) => number | null;
  readonly text: (value: number) => string;
  /** The same for round values, on axes. */
  readonly tick: (value: number) => string;
  /** What a deployment must not go past. */
  readonly limit: number | undefined;
}

export interface MeasureGroup {
  readonly name: string;
  readonly measures: readonly Measure[];
}

/** Rows of one workload. */
export interface Workload {
  readonly group: Group;
  readonly name: string;
  readonly completed: readonly Row[];
  /** Those that did not come to an end, or cannot be. */
  readonly others: readonly Row[];
  readonly onFront: ReadonlySet<number>;
  /** Configurations of the smallest deployment within limits. */
  readonly smallest: ReadonlySet<number>;
}

const LATENCIES = [
  ["ttftMs", "TTFT"],
  ["tpotMs", "TPOT"],
  ["itlMs", "ITL"],
  ["e2eMs", "E2E"],
  ["queueMs", "Queue"],
] as const;
const STATISTICS = ["mean", "median", "p75", "p90", "p95", "p99", "max"] as const;

const REJECTED = "rejectedShare";

/** Fields whose values say what they are. */
const NAMED_BY_VALUE = new Set(["gpu", "model", "trace"]);

export class Sweep {
  readonly document: SweepResultsDocument;
  readonly workloads: readonly Workload[];
  readonly measureGroups: readonly MeasureGroup[];
  /** Fields that tell deployments apart, in the order of the axes. */
  readonly paths: readonly string[];
  readonly rowOf: ReadonlyMap<number, Row>;
  readonly #measures: ReadonlyMap<string, Measure>;

  constructor(document: SweepResultsDocument) {
    this.document = document;
    const { groups, rows, varying, repeat } = document;
    const asked = new Set(groups.flatMap(({ workload }) => Object.keys(workload)));
    this.workloads = groups.map((group) => workloadOf(group, rows, asked));
    this.paths = varying.filter((path) => !asked.has(path) && !repeat.includes(path));
    this.rowOf = new Map(rows.map((row) => [row.configuration, row]));
    this.measureGroups = measureGroupsOf(document);
    this.#measures = new Map(
      this.measureGroups.flatMap(({ measures }) => measures.map((measure) => [measure.key, measure] as const)),
    );
  }

  /** What deployments cost: money where there are prices. */
  get cost(): Measure {
    return this.#measures.get("cost") ?? this.#measures.get("gpus")!;
  }

  get hasOneCost(): boolean {
    const { cost } = this;
    return new Set(this.document.rows.map((row) => cost.of(row)).filter((value) => value !== null)).size <= 1;
  }

  /** The worst of repetitions. */
  worst(measure: Measure, rows: readonly Row[]): number | null {
    const values = rows.map((row) => measure.of(row)).filter((value) => value !== null);
    if (values.length === 0) return null;
    return measure.better === "less" ? Math.max(...values) : Math.min(...values);
  }

  measure(key: string, otherwise: string): Measure {
    return this.#measures.get(key) ?? this.#measures.get(otherwise) ?? this.cost;
  }

  /** Values of a field: numbers ascending, texts as they come. A row without it has its default. */
  valuesOf(path: string): string[] {
    const found = new Map<string, Value | undefined>();
    for (const { fields } of this.document.rows) found.set(valueText(fields, path), fields[path]);
    const entries = [...found];
    if (entries.every(([, value]) => typeof value === "number")) entries.sort((a, b) => Number(a[1]) - Number(b[1]));
    return entries.map(([text]) => text);
  }

  /** Fields of a deployment in words. */
  describe(fields: Values): string {
    return this.paths
      .filter((path) => path in fields)
      .map((path) => (NAMED_BY_VALUE.has(path) ? String(fields[path]) : `${path} ${fields[path]}`))
      .join(" · ");
  }

  /**
   * The row that misses limits least: of those that turn away the fewest requests beyond their limit the one whose worst latency is
   * exceeded least, and of several the cheapest. Undefined without rows.
   */
  nearest(rows: readonly Row[]): Row | undefined {
    const order = (row: Row): number[] => [rejectedOf(row), excessOf(row), this.cost.of(row) ?? 0];
    const isNearer = (one: readonly number[], other: readonly number[]): boolean => {
      const differs = one.findIndex((value, i) => value !== other[i]);
      return differs >= 0 && one[differs]! < other[differs]!;
    };
    return rows.reduce<Row | undefined>(
      (best, row) => (best === undefined || isNearer(order(row), order(best)) ? row : best),
      undefined,
    );
  }
}

/** Share of requests where it is beyond its limit, else 0. */
function rejectedOf({ misses }: Row): number {
  return misses?.find(({ metric }) => metric === REJECTED)?.value ?? 0;
}

/** How far the worst missed latency is exceeded: 1 is none. Infinity where one has no sample. */
function excessOf({ misses }: Row): number {
  return (misses ?? [])
    .filter(({ metric }) => metric !== REJECTED)
    .reduce((worst, { value, limit }) => Math.max(worst, value === null ? Number.POSITIVE_INFINITY : value / limit), 1);
}

export function valueText(fields: Values, path: string): string {
  return fields[path] === undefined ? "default" : String(fields[path]);
}

/** "ttftMs.p99" → "TTFT p99". */
export function metricName(metric: string): string {
  const [latency = "", statistic = ""] = metric.split(".");
  if (metric === REJECTED) return "rejected";
  const name = LATENCIES.find(([key]) => key === latency)?.[1];
  return name === undefined ? metric : `${name} ${statistic === "median" ? "p50" : statistic}`;
}

export function metricText(metric: string, value: number | null): string {
  return metric === REJECTED && value !== null ? percent(value) : milliseconds(value);
}

/** Points that no other point beats in both measures, in the order of the first. */
export function frontOf(rows: readonly Row[], x: Measure, y: Measure): Row[] {
  const sign = (measure: Measure, row: Row): number => (measure.better === "less" ? 1 : -1) * measure.of(row)!;
  const sorted = [...rows].sort((a, b) => sign(x, a) - sign(x, b) || sign(y, a) - sign(y, b));
  let best = Number.POSITIVE_INFINITY;
  return sorted.filter((row) => {
    if (sign(y, row) >= best) return false;
    best = sign(y, row);
    return true;
  });
}

function workloadOf(group: Group, rows: readonly Row[], asked: ReadonlySet<string>): Workload {
  const own = rows.filter(({ fields }) => [...asked].every((path) => fields[path] === group.workload[path]));
  const name = [...asked].map((path) => `${path} ${valueText(group.workload, path)}`).join(", ");
  return {
    group,
    name,
    completed: own.filter((row) => row.metrics !== undefined),
    others: own.filter((row) => row.metrics === undefined),
    onFront: new Set(group.front.flatMap(({ configurations }) => configurations)),
    smallest: new Set(group.smallest?.configurations ?? []),
  };
}

function measureGroupsOf({ rows, currency, limits }: SweepResultsDocument): MeasureGroup[] {
  const perGpu = (value: number | null, { gpus }: Row): number | null =>
    value === null || gpus === null ? null : value / gpus;
  const one = (
    key: string,
    name: string,
    better: Measure["better"],
    of: Measure["of"],
    text: Measure["text"],
    tick: Measure["tick"] = text,
  ): Measure => ({ key, name, better, of, text, tick, limit: limits?.get(key) });
  const money = (value: number): string => `${amount(value)} ${currency}`;
  const hasPrices = rows.some(({ costPerHour }) => costPerHour !== null);
  const hasGoodput = rows.some(({ metrics }) => metrics !== undefined && metrics.goodput !== null);
  const costs = [
    ...(hasPrices
      ? [
          one("cost", `${currency} per hour`, "less", (row) => row.costPerHour, money),
          one(
            "costPerToken",
            `${currency} per million output tokens`,
            "less",
            (row) => row.costPerMillionOutputTokens,
            money,
          ),
        ]
      : []),
    one("gpus", "GPUs", "less", (row) => row.gpus, integer),
  ];
  const throughput = [
    one(
      "tokensPerGpu",
      "Output tokens/s per GPU",
      "more",
      (row) => perGpu(row.metrics?.outputTokenThroughput ?? null, row),
      integer,
    ),
    one(
      "allTokensPerGpu",
      "All tokens/s per GPU",
      "more",
      (row) => perGpu(row.metrics?.totalTokenThroughput ?? null, row),
      integer,
    ),
    ...(hasGoodput
      ? [one("goodputPerGpu", "Goodput/s per GPU", "more", (row) => perGpu(row.metrics?.goodput ?? null, row), amount)]
      : []),
    one("tokens", "Output tokens/s", "more", (row) => row.metrics?.outputTokenThroughput ?? null, integer),
  ];
  const latencies = LATENCIES.map(([latency, name]) => ({
    name,
    measures: STATISTICS.map((statistic) => {
      const key = `${latency}.${statistic}`;
      return one(
        key,
        metricName(key),
        "less",
        (row) => row.metrics?.[latency][statistic] ?? null,
        milliseconds,
        roundMs,
      );
    }),
  }));
  const others = [
    one("kvUsage", "KV cache use, max", "less", (row) => row.metrics?.kvUsage.max ?? null, percent),
    one("mbu", "Memory bandwidth use", "more", (row) => row.metrics?.mbu ?? null, percent),
    one("mfu", "Compute use", "more", (row) => row.metrics?.mfu ?? null, percent),
  ];
  return [
    { name: "Cost", measures: costs },
    { name: "Throughput", measures: throughput },
    ...latencies,
    { name: "Use", measures: others },
  ];
}
