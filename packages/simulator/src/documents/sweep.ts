// `sweep/1`: many replays in one document. A configuration is `base` with one value of every axis; its fields are the
// options of a replay by name, and deeper ones by dotted path ("slo.ttft"). Which fields there are is not known here: an
// option that is added to replays can be swept with no change.

import { z } from "zod";

/** The value of one field. Null: as if it were not given. */
export type FieldValue = string | number | boolean | null;

/** Fields by path; an object stands for the paths below its own. */
export interface FieldTree {
  readonly [path: string]: FieldValue | FieldTree;
}

/** One value of an axis: that of the field of the axis's name, or several fields that go together. */
export type AxisValue = FieldValue | FieldTree;

/** Configurations whose fields all are among these. */
export type FieldMatch = Readonly<Record<string, FieldValue | readonly FieldValue[]>>;

/** What a latency can be judged by. */
export const STATISTICS = ["mean", "median", "p75", "p90", "p95", "p99", "max"] as const;
export type Statistic = (typeof STATISTICS)[number];
export const LATENCY_METRICS = ["ttftMs", "tpotMs", "itlMs", "e2eMs", "queueMs"] as const;
export type LatencyMetric = (typeof LATENCY_METRICS)[number];
/** Such as "ttftMs.p99". */
export type Objective = `${LatencyMetric}.${Statistic}`;

/** What a deployment must keep to. */
export type SweepSlo = Readonly<Partial<Record<LatencyMetric, Readonly<Partial<Record<Statistic, number>>>>>> & {
  /** Of all requests, those that may be rejected. Default 0. */
  readonly rejectedShare?: number | undefined;
};

export interface SweepCost {
  /** Of one GPU, by the value of `gpu`. */
  readonly perGpuHour: Readonly<Record<string, number>>;
  /** For tables and axes. Default "$". */
  readonly currency?: string | undefined;
}

export interface SweepDocument {
  readonly isochron: "sweep/1";
  readonly name?: string | undefined;
  /** Fields that all configurations share, unless an axis sets them. */
  readonly base: FieldTree;
  /** The last one varies fastest. */
  readonly axes: Readonly<Record<string, readonly AxisValue[]>>;
  /** Combinations that are not to be run. */
  readonly exclude?: readonly FieldMatch[] | undefined;
  /** Fields that say what is asked of deployments: each of their values has its own front and its own smallest deployment. */
  readonly workload?: readonly string[] | undefined;
  /** Fields whose values are repetitions of one deployment, the worst of which counts. Default: seed. */
  readonly repeat?: readonly string[] | undefined;
  readonly cost?: SweepCost | undefined;
  readonly slo?: SweepSlo | undefined;
  /** What the front weighs against cost; less is better. Default: ttftMs.p99 and tpotMs.p99. */
  readonly objectives?: readonly Objective[] | undefined;
}

const fieldValue = z.union([z.string(), z.number(), z.boolean(), z.null()], {
  error: "a text, a number, true, false or null",
});
const fieldTree: z.ZodType<FieldTree> = z.lazy(() => z.record(z.string().min(1), z.union([fieldValue, fieldTree])));
const paths = z.array(z.string().min(1));
const limits = z.strictObject(
  Object.fromEntries(STATISTICS.map((name) => [name, z.number().positive().optional()])) as Record<
    Statistic,
    z.ZodOptional<z.ZodNumber>
  >,
);

export const OBJECTIVES: readonly Objective[] = LATENCY_METRICS.flatMap((metric) =>
  STATISTICS.map((statistic): Objective => `${metric}.${statistic}`),
);

export const sweepSchema: z.ZodType<SweepDocument> = z.strictObject({
  isochron: z.literal("sweep/1"),
  name: z.string().optional(),
  base: fieldTree,
  axes: z.record(z.string().min(1), z.array(z.union([fieldValue, fieldTree])).min(1)),
  exclude: z.array(z.record(z.string().min(1), z.union([fieldValue, z.array(fieldValue).min(1)]))).optional(),
  workload: paths.optional(),
  repeat: paths.optional(),
  cost: z
    .strictObject({
      perGpuHour: z.record(z.string().min(1), z.number().min(0)),
      currency: z.string().optional(),
    })
    .optional(),
  slo: z
    .strictObject({
      ttftMs: limits.optional(),
      tpotMs: limits.optional(),
      itlMs: limits.optional(),
      e2eMs: limits.optional(),
      queueMs: limits.optional(),
      rejectedShare: z.number().min(0).max(1).optional(),
    })
    .optional(),
  objectives: z
    .array(z.enum(OBJECTIVES as [Objective, ...Objective[]]))
    .min(1)
    .optional(),
}) as z.ZodType<SweepDocument>;
