// sweep-results/1 as the page holds it, rows included. Only what the view uses is checked.

import type { Objective, SweepRow } from "@isochron/simulator";
import { Field } from "./check.ts";
import { type Metrics, readMetrics } from "./report.ts";
import { readGenerator } from "./timeline.ts";

export type Value = string | number | boolean;
export type Values = Readonly<Record<string, Value>>;

export interface Row {
  readonly configuration: number;
  readonly fields: Values;
  readonly status: SweepRow["status"];
  readonly gpus: number | null;
  readonly costPerHour: number | null;
  readonly costPerMillionOutputTokens: number | null;
  /** Limits that are not kept; null without limits or without a result. */
  readonly misses: readonly Miss[] | null;
  /** Of a row that is completed. */
  readonly metrics: Metrics | undefined;
  readonly error: string | undefined;
  readonly command: string;
  readonly report: string | undefined;
}

export interface Miss {
  readonly metric: string;
  readonly value: number | null;
  readonly limit: number;
}

/** One deployment: the configurations that repeat it. */
export interface Point {
  readonly configurations: readonly number[];
  readonly fields: Values;
}

export interface Group {
  readonly workload: Values;
  readonly deployments: number;
  readonly front: readonly Point[];
  readonly smallest: Point | null;
  readonly mostGoodput: Point | null;
}

export interface SweepResultsDocument {
  readonly type: "sweep";
  readonly file: string;
  readonly title: string;
  readonly currency: string;
  /** Such as "ttftMs.p99" → 1000, and always "rejectedShare"; null without limits. */
  readonly limits: ReadonlyMap<string, number> | null;
  readonly varying: readonly string[];
  /** Fields whose values repeat a deployment. */
  readonly repeat: readonly string[];
  readonly objectives: readonly Objective[];
  readonly counts: { readonly total: number; readonly completed: number; readonly missing: number };
  readonly groups: readonly Group[];
  readonly rows: readonly Row[];
}

const STATUS = ["completed", "does-not-fit", "impossible", "failed"] as const;
const OBJECTIVE = /^(ttft|tpot|itl|e2e|queue)Ms\.(mean|median|p75|p90|p95|p99|max)$/;

/** Checks a parsed document. Throws DocumentProblem at the first field that is not as it should be. */
export function readSweep(value: unknown, file: string): SweepResultsDocument {
  const root = new Field(file, "", value);
  const sweep = root.get("sweep");
  const name = sweep.get("name");
  const rows = root.get("rows");
  const counts = root.get("counts");
  readGenerator(root.get("generator"));
  if (rows.missing) rows.fail('all rows: open the folder of the results, which has them ("isochron view FOLDER")');
  return {
    type: "sweep",
    file,
    title: name.missing ? "Sweep" : name.string(),
    currency: currencyOf(sweep),
    limits: sweep.get("slo").missing ? null : limitsOf(sweep.get("slo")),
    varying: texts(root.get("varying")),
    repeat: sweep.get("repeat").missing ? ["seed"] : texts(sweep.get("repeat")),
    objectives: root.get("objectives").items().map(objective),
    counts: {
      total: counts.get("total").integer(0),
      completed: counts.get("completed").integer(0),
      missing: counts.get("missing").integer(0),
    },
    groups: root
      .get("groups")
      .items()
      .map((group) => ({
        workload: values(group.get("workload")),
        deployments: group.get("deployments").integer(0),
        front: group.get("front").items().map(point),
        smallest: group.get("smallest").value === null ? null : point(group.get("smallest")),
        mostGoodput: group.get("mostGoodput").value === null ? null : point(group.get("mostGoodput")),
      })),
    rows: rows.items().map(row),
  };
}

function currencyOf(sweep: Field): string {
  const cost = sweep.get("cost");
  return cost.missing || cost.get("currency").missing ? "$" : cost.get("currency").string();
}

function limitsOf(slo: Field): ReadonlyMap<string, number> {
  const limits = new Map<string, number>();
  const rejected = slo.get("rejectedShare");
  for (const metric of Object.keys(slo.object())) {
    const limit = slo.get(metric);
    if (metric === "rejectedShare") continue;
    for (const statistic of Object.keys(limit.object()))
      limits.set(`${metric}.${statistic}`, limit.get(statistic).number(0));
  }
  limits.set("rejectedShare", rejected.missing ? 0 : rejected.number(0));
  return limits;
}

function texts(field: Field): string[] {
  return field.items().map((item) => item.string());
}

function objective(field: Field): Objective {
  if (!OBJECTIVE.test(field.string())) field.fail('a latency and a statistic, such as "ttftMs.p99"');
  return field.string() as Objective;
}

function values(field: Field): Values {
  const entries = Object.keys(field.object()).map((path): [string, Value] => {
    const { value } = field.get(path);
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
      field.get(path).fail("a text, a number, true or false");
    }
    return [path, value as Value];
  });
  return Object.fromEntries(entries);
}

function point(field: Field): Point {
  const configurations = field.get("configurations").items();
  return { configurations: configurations.map((item) => item.integer(0)), fields: values(field.get("fields")) };
}

function row(field: Field): Row {
  const status = field.get("status").oneOf(STATUS);
  const optional = (name: string): Field | undefined => (field.get(name).missing ? undefined : field.get(name));
  const misses = field.get("misses");
  return {
    configuration: field.get("configuration").integer(0),
    fields: values(field.get("fields")),
    status,
    gpus: field.get("gpus").nullable(),
    costPerHour: field.get("costPerHour").nullable(),
    costPerMillionOutputTokens: field.get("costPerMillionOutputTokens").nullable(),
    misses:
      misses.value === null
        ? null
        : misses.items().map((miss) => ({
            metric: miss.get("metric").string(),
            value: miss.get("value").nullable(),
            limit: miss.get("limit").number(0),
          })),
    metrics: status === "completed" ? readMetrics(field.get("metrics")) : undefined,
    error: optional("error")?.get("message").string(),
    command: field.get("command").string(),
    report: optional("report")?.string(),
  };
}
