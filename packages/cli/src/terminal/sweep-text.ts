// The results of a sweep as people read them: how many, the front of each workload, and the smallest deployment.

import {
  type Fields,
  limitsOf,
  type Objective,
  type SweepGroup,
  type SweepPoint,
  type SweepResults,
  type SweepRow,
} from "@isochron/simulator";
import { count, fixed, integer } from "./numbers.ts";
import type { Painter } from "./style.ts";
import { type Column, table } from "./table.ts";

/** Chosen: one screen of rows; the files have all of them. */
const MOST_POINTS = 20;
const MOST_REASONS = 5;

/** Ends with a line break. */
export function sweepText(results: SweepResults, paint: Painter, width: number | undefined): string {
  const { sweep, counts, groups, rows = [] } = results;
  const { total, completed, failed, missing } = counts;
  const parts = [
    `${integer(completed)} completed`,
    ...(counts["does-not-fit"] > 0 ? [`${integer(counts["does-not-fit"])} not fitting into memory`] : []),
    ...(counts.impossible > 0 ? [`${integer(counts.impossible)} impossible`] : []),
    ...(failed > 0 ? [paint("red", `${integer(failed)} failed`)] : []),
    ...(missing > 0 ? [paint("yellow", `${integer(missing)} missing`)] : []),
  ];
  const title = `${sweep.name === undefined ? "" : `${sweep.name}: `}${count(total, "configuration")}`;
  const failures = rows
    .filter((row) => row.status === "failed")
    .slice(0, 3)
    .map((row) => `${paint("red", "failed:")} configuration ${row.configuration}: ${row.error?.message}\n`);
  return [
    `${paint("bold", title)}\n${parts.join(", ")}\n`,
    ...groups.map((group) => groupText(group, results, paint, width)),
    ...(failures.length === 0 ? [] : [failures.join("")]),
    ...impossibleText(rows),
    ...warningsText(rows, paint),
  ].join("\n");
}

/** What replays warned of: a trace that was read with gaps, requests that no deployment can take. */
function warningsText(rows: readonly SweepRow[], paint: Painter): string[] {
  const texts = rows.flatMap(({ warnings = [] }) => warnings);
  return countedText(texts, `${paint("yellow", "warning:")} `, "replay", "more warning");
}

/** Axes that were crossed without a thought make configurations that cannot be; what they contradict is soon excluded. */
function impossibleText(rows: readonly SweepRow[]): string[] {
  const texts = rows.flatMap(({ status, error }) =>
    status === "impossible" && error !== undefined ? [error.message] : [],
  );
  return countedText(texts, "impossible: ", "configuration", "more reason");
}

/** Each text once, the most frequent first, with how often it was said. */
function countedText(texts: readonly string[], label: string, where: string, other: string): string[] {
  const times = new Map<string, number>();
  for (const text of texts) times.set(text, (times.get(text) ?? 0) + 1);
  const shown = [...times].sort(([, a], [, b]) => b - a).slice(0, MOST_REASONS);
  const lines = shown.map(([text, n]) => `${label}${text} (in ${count(n, where)})\n`);
  const more = times.size - shown.length;
  if (more > 0) lines.push(`… and ${count(more, other)} in the files\n`);
  return lines.length === 0 ? [] : [lines.join("")];
}

function groupText(
  { workload, deployments, front, smallest, mostGoodput }: SweepGroup,
  { sweep, objectives, varying, rows = [] }: SweepResults,
  paint: Painter,
  width: number | undefined,
): string {
  const currency = sweep.cost?.currency ?? "$";
  const isPriced = front.some(({ costPerHour }) => costPerHour !== null);
  const paths = varying.filter((path) => front.some(({ fields }) => path in fields));
  const columns: Column<SweepPoint>[] = [
    { title: "#", align: "right", value: ({ configurations }) => configurations.join(",") },
    ...paths.map((path): Column<SweepPoint> => ({ title: path, value: ({ fields }) => String(fields[path] ?? "") })),
    // A price says more.
    { title: "GPUs", align: "right", ...(isPriced ? { isExtra: true } : {}), value: ({ gpus }) => integer(gpus) },
    ...(isPriced
      ? [
          {
            title: `${currency}/h`,
            align: "right",
            value: ({ costPerHour }: SweepPoint) => fixed(costPerHour, 2),
          } as const,
        ]
      : []),
    ...objectives.map(
      (objective): Column<SweepPoint> => ({
        title: `${objectiveName(objective)} ms`,
        align: "right",
        value: ({ objectives: values }) => fixed(values[objective], 1),
      }),
    ),
    ...(sweep.slo === undefined
      ? []
      : [
          {
            title: "SLO",
            value: (point: SweepPoint) =>
              point.meetsSlo === true ? paint("green", "met") : `missed: ${missedBy(point, rows).join(", ")}`,
            brief: ({ meetsSlo }: SweepPoint) => (meetsSlo === true ? paint("green", "met") : "missed"),
          },
        ]),
  ];
  const heading = `${fieldsText(workload)}${Object.keys(workload).length === 0 ? "" : ": "}${integer(front.length)} of ${count(deployments, "deployment")} on the front`;
  const more = front.length > MOST_POINTS ? `… and ${integer(front.length - MOST_POINTS)} more in the files\n` : "";
  return [
    `${paint("bold", heading)}\n`,
    ...(front.length === 0 ? [] : [table(front.slice(0, MOST_POINTS), columns, paint, width), more]),
    ...(sweep.slo === undefined
      ? []
      : [smallestText(smallest, currency, limitsText(sweep.slo), paint), rejectionText(workload, rows)]),
    ...(mostGoodput === null ? [] : [goodputText(mostGoodput, currency, paint)]),
  ].join("");
}

function smallestText(smallest: SweepPoint | null, currency: string, limits: string, paint: Painter): string {
  if (smallest === null) return `${paint("yellow", "smallest within limits:")} none (${limits})\n`;
  const { gpus, costPerHour, fields } = smallest;
  const cost = costPerHour === null ? "" : `, ${fixed(costPerHour, 2)} ${currency}/h`;
  return `${paint("green", "smallest within limits:")} ${fieldsText(fields)} (${count(gpus, "GPU")}${cost}; ${limits})\n`;
}

function goodputText({ fields, goodput, costPerHour, gpus }: SweepPoint, currency: string, paint: Painter): string {
  const each = costPerHour === null ? "GPU" : `${currency}/h`;
  const perCost = fixed(goodput! / (costPerHour ?? gpus), 2);
  return `${paint("green", "most goodput for its cost:")} ${fieldsText(fields)} (${fixed(goodput, 2)} requests/s within the replay's slo, ${perCost} per ${each})\n`;
}

function limitsText(slo: NonNullable<SweepResults["sweep"]["slo"]>): string {
  const latencies = limitsOf(slo).map(([metric, limit]) => `${objectiveName(metric)} ≤ ${limit} ms`);
  return [...latencies, `rejected ≤ ${100 * (slo.rejectedShare ?? 0)} %`].join(", ");
}

/** Limits that a deployment misses in one of its repetitions. */
function missedBy({ configurations }: SweepPoint, rows: readonly SweepRow[]): string[] {
  const own = new Set(configurations);
  const misses = rows.filter(({ configuration }) => own.has(configuration)).flatMap((row) => row.misses ?? []);
  return [...new Set(misses.map(({ metric }) => objectiveName(metric)))];
}

/** A limit that nobody thought of: where no deployment takes every request, all others are kept in vain. */
function rejectionText(workload: Fields, rows: readonly SweepRow[]): string {
  const shares = rows
    .filter(
      ({ fields, misses }) => misses !== null && Object.keys(workload).every((path) => fields[path] === workload[path]),
    )
    .map(({ misses }) => misses!.find(({ metric }) => metric === "rejectedShare"));
  if (shares.length === 0 || shares.some((miss) => miss === undefined)) return "";
  const least = Math.min(...shares.map((miss) => miss!.value ?? 1));
  return `every deployment rejects requests, ${fixed(100 * least, 2)} % of them or more: "rejectedShare" in "slo" is the share that may be\n`;
}

const LATENCY_NAMES: Readonly<Record<string, string>> = {
  ttftMs: "TTFT",
  tpotMs: "TPOT",
  itlMs: "ITL",
  e2eMs: "E2E",
  queueMs: "queue",
};

/** "ttftMs.p99" → "TTFT p99". */
function objectiveName(objective: Objective | string): string {
  if (objective === "rejectedShare") return "rejected";
  const [latency = "", statistic = ""] = objective.split(".");
  return `${LATENCY_NAMES[latency]} ${statistic}`;
}

function fieldsText(fields: Fields): string {
  return Object.entries(fields)
    .map(([path, value]) => `${path} ${value}`)
    .join(", ");
}
