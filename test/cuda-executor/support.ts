// What the tests of the executor share: whether there is an addon, and plans to feed it.

import { existsSync } from "node:fs";
import {
  type AttentionBatch,
  type AttentionShape,
  createPlanner,
  H100_SXM,
  type Plan,
  type PolicyName,
} from "@isochron/planner";
import { addonPath } from "../../packages/cuda-executor/src/binding.ts";

/** The addon needs a CUDA toolkit to be built; what needs it is skipped elsewhere. */
export const hasAddon: boolean = existsSync(addonPath());

/** H100 with the query tiles that the kernel has. */
export const DEVICE = {
  ...H100_SXM,
  costModel: { ...H100_SXM.costModel, queryTiles: H100_SXM.costModel.queryTiles.filter((tile) => tile.rows <= 64) },
};

export const ATTENTION: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

export function planOf(
  batch: AttentionBatch,
  attention: AttentionShape = ATTENTION,
  policy: PolicyName = "balanced",
): Plan {
  return createPlanner({ attention, device: DEVICE, policy }).plan(batch);
}

/** Limits that a batch's own tensors would give. */
export function limitsOf(batch: AttentionBatch, pageSize: number): { pages: number; tokens: number } {
  const { qoLens, kvLens } = batch;
  let pages = 0;
  let tokens = 0;
  for (let i = 0; i < kvLens.length; i++) {
    pages += Math.ceil(kvLens[i]! / pageSize);
    tokens += qoLens[i]!;
  }
  return { pages, tokens };
}
