// Rows of a sweep → what they say together: for each workload the deployments that no other beats in cost and latency, and
// the cheapest one that keeps the limits.

import type { Generator } from "@isochron/planner";
import type { Objective, SweepDocument } from "../documents/sweep.ts";
import type { SweepCounts, SweepGroup, SweepPoint, SweepResults, SweepRow } from "../documents/sweep-results.ts";
import { type Configuration, sweptPaths } from "./expand-sweep.ts";
import type { Fields } from "./fields.ts";
import { paretoFront } from "./pareto-front.ts";
import { latencyOf } from "./service-objectives.ts";

/** Fields of a replay that say what is asked, not what answers. */
const WORKLOAD = [
  "trace",
  "format",
  "columns",
  "limit",
  "rate",
  "concurrency",
  "spreadTicks",
  "skipInvalid",
  "model",
  "slo",
];
const REPEAT = ["seed"];
const OBJECTIVES: readonly Objective[] = ["ttftMs.p99", "tpotMs.p99"];

/** `rows` in the order of configurations; those that are not there yet are missing. */
export function sweepResults(
  document: SweepDocument,
  configurations: readonly Configuration[],
  rows: readonly SweepRow[],
  generator: Generator,
): SweepResults {
  const objectives = document.objectives ?? OBJECTIVES;
  const varying = varyingPaths(document, configurations);
  const isWorkload = pathTest(document.workload ?? WORKLOAD);
  const isRepeat = pathTest(document.repeat ?? REPEAT);
  const within = (fields: Fields, keep: (path: string) => boolean): Fields =>
    Object.fromEntries(varying.filter((path) => path in fields && keep(path)).map((path) => [path, fields[path]!]));
  const rowOf = new Map(rows.map((row) => [row.configuration, row]));

  const groups = groupBy(configurations, ({ fields }) => within(fields, isWorkload));
  return {
    isochron: "sweep-results/1",
    generator,
    sweep: document,
    varying,
    objectives,
    counts: countsOf(configurations.length, rows),
    groups: groups.map(([workload, members]) => {
      const deployments = groupBy(members, ({ fields }) =>
        within(fields, (path) => !isWorkload(path) && !isRepeat(path)),
      );
      const candidates = deployments.flatMap(([fields, repeats]) => {
        const point = pointOf(
          fields,
          repeats.map(({ index }) => rowOf.get(index)),
          objectives,
        );
        return point === undefined ? [] : [point];
      });
      return { workload, ...weigh(candidates, objectives, document) };
    }),
    rows,
  };
}

interface Candidate {
  readonly point: SweepPoint;
  readonly rejectedShare: number;
}

/** The worst of all repetitions in each number. Undefined where one of them has no result. */
function pointOf(
  fields: Fields,
  repeats: readonly (SweepRow | undefined)[],
  objectives: readonly Objective[],
): Candidate | undefined {
  const worst: Partial<Record<Objective, number>> = {};
  let rejectedShare = 0;
  let meetsSlo: boolean | null = null;
  let goodput: number | null = Number.POSITIVE_INFINITY;
  for (const row of repeats) {
    if (row?.metrics === undefined) return undefined;
    const { metrics, misses } = row;
    for (const objective of objectives) {
      const value = latencyOf(metrics, objective);
      // Nobody was served, or nobody waited for a second token: nothing to weigh.
      if (value === null) return undefined;
      worst[objective] = Math.max(worst[objective] ?? value, value);
    }
    const requests = metrics.completed + metrics.rejected + metrics.unfinished;
    rejectedShare = Math.max(rejectedShare, metrics.rejected / requests);
    goodput = goodput === null || metrics.goodput === null ? null : Math.min(goodput, metrics.goodput);
    if (misses !== null) meetsSlo = (meetsSlo ?? true) && misses.length === 0;
  }
  const first = repeats[0]!;
  return {
    point: {
      configurations: repeats.map((row) => row!.configuration),
      fields,
      gpus: first.gpus!,
      costPerHour: first.costPerHour,
      objectives: worst,
      meetsSlo,
      goodput,
    },
    rejectedShare,
  };
}

/** A deployment that turns requests away looks fast: only those are weighed that reject no more than the best, or the limit. */
function weigh(
  candidates: readonly Candidate[],
  objectives: readonly Objective[],
  { slo }: SweepDocument,
): Omit<SweepGroup, "workload"> {
  const least = candidates.reduce((share, candidate) => Math.min(share, candidate.rejectedShare), 1);
  const allowed = Math.max(least, slo?.rejectedShare ?? 0);
  const points = candidates.filter(({ rejectedShare }) => rejectedShare <= allowed).map(({ point }) => point);
  const coordinates = points.map((point) => [
    costOf(point),
    ...objectives.map((objective) => point.objectives[objective]!),
  ]);
  const good = points.filter(({ meetsSlo }) => meetsSlo === true);
  return {
    deployments: points.length,
    front: paretoFront(coordinates).map((i) => points[i]!),
    smallest: good.length === 0 ? null : good.reduce((best, one) => (isSmaller(one, best) ? one : best)),
    mostGoodput: mostGoodputOf(points),
  };
}

/** What comes first in the sweep stays. */
function mostGoodputOf(points: readonly SweepPoint[]): SweepPoint | null {
  const perCost = (point: SweepPoint): number => point.goodput! / costOf(point);
  const serving = points.filter((point) => point.goodput !== null && point.goodput > 0 && costOf(point) > 0);
  if (serving.length === 0) return null;
  return serving.reduce((best, one) => (perCost(one) > perCost(best) ? one : best));
}

/** Money where there are prices, else GPUs. */
function costOf({ costPerHour, gpus }: SweepPoint): number {
  return costPerHour ?? gpus;
}

/** Cheaper, or as cheap with fewer GPUs; what comes first in the sweep stays. */
function isSmaller(one: SweepPoint, other: SweepPoint): boolean {
  return costOf(one) < costOf(other) || (costOf(one) === costOf(other) && one.gpus < other.gpus);
}

/** Fields with several values, in the order of the axes. */
function varyingPaths(document: SweepDocument, configurations: readonly Configuration[]): string[] {
  const first = configurations[0]!.fields;
  const paths = [...sweptPaths({ ...document, base: {} }), ...sweptPaths({ ...document, axes: {} })];
  return [...new Set(paths)].filter((path) => configurations.some(({ fields }) => fields[path] !== first[path]));
}

/** Whether a path is one of these, or inside one. */
function pathTest(paths: readonly string[]): (path: string) => boolean {
  return (path) => paths.some((one) => path === one || path.startsWith(`${one}.`));
}

/** Members by what tells them apart, in the order of the first of each. */
function groupBy(
  members: readonly Configuration[],
  fieldsOf: (member: Configuration) => Fields,
): (readonly [Fields, Configuration[]])[] {
  const groups = new Map<string, readonly [Fields, Configuration[]]>();
  for (const member of members) {
    const fields = fieldsOf(member);
    const key = JSON.stringify(fields);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [fields, [member]]);
    else group[1].push(member);
  }
  return [...groups.values()];
}

function countsOf(total: number, rows: readonly SweepRow[]): SweepCounts {
  const of = (status: SweepRow["status"]): number => rows.filter((row) => row.status === status).length;
  return {
    total,
    completed: of("completed"),
    "does-not-fit": of("does-not-fit"),
    impossible: of("impossible"),
    failed: of("failed"),
    missing: total - rows.length,
  };
}
