import { createPlanner, Header, verifyPlan } from "@isochron/planner";
import { findProfile, plannerDevice } from "@isochron/simulator";
import { describe, expect, test } from "vitest";

const attention = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
} as const;
// 188 SMs: the heuristic counts on 376 CTAs.
const device = plannerDevice(findProfile("rtx-pro-6000"));
const eager = createPlanner({ attention, device, policy: "fa2-paged" });
const graph = createPlanner({ attention, device, policy: "fa2-paged-graph" });
const decodes = (count: number, kvLen: number) => ({
  qoLens: new Array(count).fill(1),
  kvLens: new Array(count).fill(kvLen),
});

describe("FlashAttention 2 with pages", () => {
  test("32 decodes are cut into 4 parts: 256 tiles fill two thirds of a wave, 1,024 nearly three", () => {
    const batch = decodes(32, 4096);
    const plan = eager.plan(batch);
    verifyPlan(plan, batch);
    expect(plan.stats.pieces).toBe(32 * 8 * 4);
    expect(plan.stats.splitJobs).toBe(32 * 8);
  });

  test("from 80 % of the CTAs on nothing is cut", () => {
    expect(eager.plan(decodes(37, 4096)).stats.splitJobs).toBeGreaterThan(0);
    expect(eager.plan(decodes(38, 4096)).stats.splitJobs).toBe(0);
  });

  test("a captured graph decides by its padded size", () => {
    // 33 requests replay the graph of 40.
    expect(graph.plan(decodes(32, 4096)).stats.splitJobs).toBeGreaterThan(0);
    expect(graph.plan(decodes(33, 4096)).stats.splitJobs).toBe(0);
  });

  test("one longer request in the batch: heads are not packed, nothing is cut", () => {
    const batch = { qoLens: [1, 1, 200], kvLens: [9000, 40, 200] };
    const plan = eager.plan(batch);
    verifyPlan(plan, batch);
    expect(plan.header[Header.packedHeads]).toBe(1);
    // 32 heads: a tile for each decode, four of 64 rows for the prompt.
    expect(plan.stats.pieces).toBe(32 * (1 + 1 + 4));
    expect(plan.stats.splitJobs).toBe(0);
  });
});
