// `batch/1`: one ragged batch as people write it and keep it on disk.

import type { AttentionBatch, AttentionShape } from "@isochron/planner";
import { z } from "zod";

export interface BatchDocument extends AttentionBatch {
  readonly isochron: "batch/1";
  readonly attention: AttentionShape;
  readonly qoLens: readonly number[];
  readonly kvLens: readonly number[];
}

const tokens = z.array(z.number().int().min(0));

export const attentionSchema: z.ZodType<AttentionShape> = z.strictObject({
  queryHeads: z.number().int().min(1),
  kvHeads: z.number().int().min(1),
  headDim: z.number().int().min(1),
  valueHeadDim: z.number().int().min(1).optional(),
  dtype: z.enum(["bf16", "fp16", "fp32"]),
  kvDtype: z.enum(["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"]),
  pageSize: z.number().int().min(1).max(256),
  mask: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("causal") }),
    z.strictObject({ kind: z.literal("full") }),
    z.strictObject({ kind: z.literal("sliding-window"), window: z.number().int().min(1) }),
  ]),
  softCap: z.number().positive().optional(),
  sinks: z.boolean().optional(),
}) as z.ZodType<AttentionShape>;

export const batchSchema: z.ZodType<BatchDocument> = z.strictObject({
  isochron: z.literal("batch/1"),
  attention: attentionSchema,
  qoLens: tokens,
  kvLens: tokens,
  pageIndptr: tokens.optional(),
  pageIndices: tokens.optional(),
  prefixes: z.array(z.strictObject({ requests: tokens, kvLen: z.number().int().min(1) })).optional(),
}) as z.ZodType<BatchDocument>;
