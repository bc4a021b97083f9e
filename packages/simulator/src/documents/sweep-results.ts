// `sweep-results/1`: what the replays of a sweep found, in the order of its configurations. A function of the sweep, the
// traces and this version alone: what differs from run to run (times, machines, attempts) is in the journal of the sweep.

import type { Generator } from "@isochron/planner";
import { z } from "zod";
import type { Fields } from "../sweep/fields.ts";
import type { Miss } from "../sweep/service-objectives.ts";
import { generatorSchema } from "./generator.ts";
import { type Deployment, type Metrics, reportSchema, type TraceIdentity } from "./report.ts";
import { OBJECTIVES, type Objective, type SweepDocument, sweepSchema } from "./sweep.ts";

export const SWEEP_STATUS = ["completed", "does-not-fit", "impossible", "failed"] as const;
/** does-not-fit: memory; impossible: options that contradict one another; failed: neither, and worth another try. */
export type SweepStatus = (typeof SWEEP_STATUS)[number];

export interface SweepRunError {
  readonly message: string;
  readonly field?: string | undefined;
  readonly value?: unknown;
  readonly expected?: string | undefined;
}

export interface SweepRow {
  /** Position in the sweep. */
  readonly configuration: number;
  /** All fields that are not the defaults of a replay, by path. */
  readonly fields: Fields;
  readonly status: SweepStatus;
  /** Of all replicas; null where the deployment cannot be. */
  readonly gpus: number | null;
  /** Null without prices. */
  readonly costPerHour: number | null;
  readonly costPerMillionOutputTokens: number | null;
  /** Limits that are not kept; null without limits or without a result. */
  readonly misses: readonly Miss[] | null;
  readonly trace?: TraceIdentity | undefined;
  readonly deployment?: Deployment | undefined;
  readonly metrics?: Metrics | undefined;
  readonly warnings?: readonly string[] | undefined;
  readonly error?: SweepRunError | undefined;
  /** Makes this one run alone. */
  readonly command: string;
  /** File of its whole report, relative to the results; absent where reports were not kept. */
  readonly report?: string | undefined;
}

/** One deployment under one workload: one configuration, or several that repeat it, the worst of which counts. */
export interface SweepPoint {
  readonly configurations: readonly number[];
  /** Fields that tell deployments of the sweep apart. */
  readonly fields: Fields;
  readonly gpus: number;
  readonly costPerHour: number | null;
  readonly objectives: Readonly<Partial<Record<Objective, number>>>;
  /** Null without limits. */
  readonly meetsSlo: boolean | null;
  /** Requests per second that each met the limits of the replay's own `slo`; null where it has none. */
  readonly goodput: number | null;
}

export interface SweepGroup {
  /** Fields that tell this workload from others. */
  readonly workload: Fields;
  /** Deployments that are weighed: all whose repetitions came to an end and reject no more than the best. */
  readonly deployments: number;
  /** Those that no other beats in cost and all objectives, cheapest first. */
  readonly front: readonly SweepPoint[];
  /** The cheapest one within the limits; null where there is none, or no limits. */
  readonly smallest: SweepPoint | null;
  /** The one with most goodput for its cost; null where replays have no `slo`, or nothing is good. */
  readonly mostGoodput: SweepPoint | null;
}

export type SweepCounts = Readonly<Record<SweepStatus | "total" | "missing", number>>;

export interface SweepResults {
  readonly isochron: "sweep-results/1";
  readonly generator: Generator;
  readonly sweep: SweepDocument;
  /** Fields that have several values, in the order of the axes. */
  readonly varying: readonly string[];
  readonly objectives: readonly Objective[];
  readonly counts: SweepCounts;
  readonly groups: readonly SweepGroup[];
  /** Absent where they are in a file of their own. */
  readonly rows?: readonly SweepRow[] | undefined;
}

const maybe = z.number().nullable();
const count = z.number().int().min(0);
const fields: z.ZodType<Fields> = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));
/** The parts of a report that a row takes over. */
const { trace, deployment, metrics } = (
  reportSchema as unknown as {
    readonly shape: {
      readonly trace: z.ZodType<TraceIdentity>;
      readonly deployment: z.ZodType<Deployment>;
      readonly metrics: z.ZodType<Metrics>;
    };
  }
).shape;

export const sweepRowSchema: z.ZodType<SweepRow> = z.strictObject({
  configuration: count,
  fields,
  status: z.enum(SWEEP_STATUS),
  gpus: maybe,
  costPerHour: maybe,
  costPerMillionOutputTokens: maybe,
  misses: z.array(z.strictObject({ metric: z.string(), value: maybe, limit: z.number() })).nullable(),
  trace: trace.optional(),
  deployment: deployment.optional(),
  metrics: metrics.optional(),
  warnings: z.array(z.string()).optional(),
  error: z
    .strictObject({
      message: z.string(),
      field: z.string().optional(),
      value: z.unknown().optional(),
      expected: z.string().optional(),
    })
    .optional(),
  command: z.string(),
  report: z.string().optional(),
}) as z.ZodType<SweepRow>;

const objective = z.enum(OBJECTIVES as [Objective, ...Objective[]]);
const point: z.ZodType<SweepPoint> = z.strictObject({
  configurations: z.array(count).min(1),
  fields,
  gpus: z.number(),
  costPerHour: maybe,
  objectives: z.partialRecord(objective, z.number()),
  meetsSlo: z.boolean().nullable(),
  goodput: maybe,
});

export const sweepResultsSchema: z.ZodType<SweepResults> = z.strictObject({
  isochron: z.literal("sweep-results/1"),
  generator: generatorSchema,
  sweep: sweepSchema,
  varying: z.array(z.string()),
  objectives: z.array(objective),
  counts: z.strictObject({
    total: count,
    completed: count,
    "does-not-fit": count,
    impossible: count,
    failed: count,
    missing: count,
  }),
  groups: z.array(
    z.strictObject({
      workload: fields,
      deployments: count,
      front: z.array(point),
      smallest: point.nullable(),
      mostGoodput: point.nullable(),
    }),
  ),
  rows: z.array(sweepRowSchema).optional(),
}) as z.ZodType<SweepResults>;
