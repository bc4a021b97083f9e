// `timeline/1`: what ran on which worker of which SM, and when. The type is the planner's; the schema is here.

import type { Timeline } from "@isochron/planner";
import { SLICE_KINDS } from "@isochron/planner";
import { z } from "zod";
import { attentionSchema } from "./batch.ts";
import { generatorSchema } from "./generator.ts";

const integers = z.array(z.number().int());
const times = z.array(z.number().min(0));

const sliceSchema = z
  .strictObject({
    worker: z.array(z.number().int().min(0)),
    sm: z.array(z.number().int().min(0)),
    startUs: times,
    endUs: times,
    kind: z.array(
      z
        .number()
        .int()
        .min(0)
        .max(SLICE_KINDS.length - 1),
    ),
    request: integers,
    kvHead: integers,
    qTile: integers,
    kvStart: integers,
    kvEnd: integers,
  })
  .refine((slices) => Object.values(slices).every((column) => column.length === slices.worker.length), {
    error: "all columns must have the same length",
  });

const tokens = z.array(z.number().int().min(0));

export const timelineSchema: z.ZodType<Timeline> = z.strictObject({
  isochron: z.literal("timeline/1"),
  source: z.enum(["simulated", "measured"]),
  generator: generatorSchema,
  device: z.strictObject({
    name: z.string(),
    smCount: z.number().int().min(1),
    ctasPerSm: z.number().int().min(1),
    workers: z.number().int().min(1),
  }),
  profile: z.string().optional(),
  attention: attentionSchema,
  policy: z.string(),
  title: z.string().optional(),
  batch: z.strictObject({ qoLens: tokens, kvLens: tokens }),
  stats: z.strictObject({
    pieces: z.number(),
    splitJobs: z.number(),
    partialSlots: z.number(),
    mergeRows: z.number(),
    makespanUs: z.number(),
    lowerBoundUs: z.number(),
    imbalance: z.number(),
  }),
  durationUs: z.number().min(0),
  lowerBoundUs: z.number().min(0),
  slices: sliceSchema,
  bandwidth: z.strictObject({ atUs: times, gigabytesPerSecond: times }).optional(),
}) as z.ZodType<Timeline>;
