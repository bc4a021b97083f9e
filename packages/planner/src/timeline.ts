// What a run of a plan looks like in time, simulated or measured, and the numbers that go with every plan.

import type { AttentionShape } from "./batch.ts";

/** Names of `TimelineSlices.kind`, by index: pieces of requests with several query tokens, with one, of shared prefixes; merges. */
export const SLICE_KINDS = ["prefill", "decode", "prefix", "merge"] as const;
/** One of SLICE_KINDS. */
export type SliceKind = (typeof SLICE_KINDS)[number];

/** What ran where and when, as a struct of arrays of equal length. Sorted by worker, then by start. */
export interface TimelineSlices {
  /** Worker, or the CTA's place on its SM for grid launches. */
  readonly worker: ArrayLike<number>;
  /** Streaming multiprocessor. */
  readonly sm: ArrayLike<number>;
  /** Microseconds after the start of the launch. */
  readonly startUs: ArrayLike<number>;
  /** Not before startUs. */
  readonly endUs: ArrayLike<number>;
  /** Index into SLICE_KINDS. */
  readonly kind: ArrayLike<number>;
  /** Request of the batch; −1 − g for shared-prefix group g. */
  readonly request: ArrayLike<number>;
  readonly kvHead: ArrayLike<number>;
  /** First packed query row of the piece. */
  readonly qTile: ArrayLike<number>;
  /** KV tokens [kvStart, kvEnd); both 0 for merges. */
  readonly kvStart: ArrayLike<number>;
  readonly kvEnd: ArrayLike<number>;
}

/** The content of a `timeline/1` document. Time 0 is the start of the launch. */
export interface Timeline {
  readonly isochron: "timeline/1";
  readonly source: "simulated" | "measured";
  readonly generator: Generator;
  readonly device: {
    readonly name: string;
    readonly smCount: number;
    readonly ctasPerSm: number;
    readonly workers: number;
  };
  /** Name of the GPU profile that the times come from; absent for measured timelines. */
  readonly profile?: string;
  readonly attention: AttentionShape;
  readonly policy: string;
  /** Label of what was planned, such as a file name or "replica 0, step 1234". */
  readonly title?: string;
  readonly batch: { readonly qoLens: ArrayLike<number>; readonly kvLens: ArrayLike<number> };
  readonly stats: PlanStats;
  /** From launch to the last write, in microseconds. */
  readonly durationUs: number;
  /** No schedule on this device can be shorter, in the simulator's or the planner's model; microseconds. */
  readonly lowerBoundUs: number;
  readonly slices: TimelineSlices;
  /** Achieved memory bandwidth over time, a step function: value i holds from atUs[i] to atUs[i + 1]. */
  readonly bandwidth?: { readonly atUs: ArrayLike<number>; readonly gigabytesPerSecond: ArrayLike<number> };
}

/** What made a document: with it the document can be made again. */
export interface Generator {
  readonly version: string;
  readonly command: string;
  readonly seed?: number;
}

/** The numbers that every plan is reported with. */
export interface PlanStats {
  /** Pieces of single heads. */
  readonly pieces: number;
  /** Jobs that leave partial states. */
  readonly splitJobs: number;
  /** Partial states of tiles: slots in use. */
  readonly partialSlots: number;
  /** Output rows written by merges. */
  readonly mergeRows: number;
  /** Largest load of a worker in the device's own cost model (without planning surcharge), merges apart. */
  readonly makespanUs: number;
  /** LB*: no schedule of these jobs is shorter in the same model. */
  readonly lowerBoundUs: number;
  /** makespanUs / lowerBoundUs; 1 for an empty batch. */
  readonly imbalance: number;
}
