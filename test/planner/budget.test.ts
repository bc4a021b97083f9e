import type { AttentionBatch, AttentionShape, PolicyName } from "@isochron/planner";
import {
  BudgetExceededError,
  budgetFor,
  createPlanner,
  H100_SXM,
  Header,
  InvalidOptionsError,
  POLICIES,
  UnboundedPolicyError,
  verifyPlan,
  workspaceBytes,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attentionShapes, batches, CASES, devices, LLAMA_8B } from "./support.ts";

const bounded = (Object.keys(POLICIES) as PolicyName[]).filter((name) => POLICIES[name]!.bound !== undefined);
const sum = (lens: ArrayLike<number>): number => Array.from(lens).reduce((total, len) => total + len, 0);

describe("a budget", () => {
  test.each(bounded)("holds every batch within its limits, at the same offsets: %s", (policy) => {
    fc.assert(
      fc.property(
        attentionShapes,
        devices(false),
        fc.array(batches(10, 200, 8000), { minLength: 1, maxLength: 3 }),
        (attention, device, all) => {
          // The tightest limits that admit the batches: the theorem has to hold at its edge.
          const limits = {
            maxRequests: Math.max(1, ...all.map((batch) => batch.qoLens.length)),
            maxQueryTokens: Math.max(1, ...all.map((batch) => sum(batch.qoLens))),
            maxQueryTokensPerRequest: Math.max(1, ...all.flatMap((batch) => Array.from(batch.qoLens))),
            maxKvTokens: Math.max(1, ...all.flatMap((batch) => Array.from(batch.kvLens))),
          };
          const budget = budgetFor({ ...limits, attention, device, policy });
          const planner = createPlanner({ attention, device, budget, policy });
          let buffer: ArrayBuffer | undefined;
          let fingerprint: number | undefined;
          for (const batch of all) {
            const plan = planner.plan(batch);
            verifyPlan(plan, batch, device);
            expect(plan.buffer.byteLength).toBe(budget.layout.totalBytes);
            buffer ??= plan.buffer;
            fingerprint ??= plan.fingerprint;
            expect(plan.buffer).toBe(buffer);
            expect(plan.fingerprint).toBe(fingerprint);
          }
        },
      ),
      { numRuns: Math.min(CASES, 500) },
    );
  });

  test("that is exceeded says which capacity, and which budget would do; the last plan stays whole", () => {
    const planner = createPlanner({
      attention: LLAMA_8B,
      device: H100_SXM,
      budget: { maxRequests: 4, maxQueryTokens: 8, maxQueryTokensPerRequest: 5 },
    });
    const good: AttentionBatch = { qoLens: [1, 5], kvLens: [100, 7000] };
    const before = planner.plan(good).buffer.slice(0);
    const over: [AttentionBatch, string][] = [
      [{ qoLens: [1, 1, 1, 1, 1], kvLens: [1, 1, 1, 1, 1] }, "maxRequests"],
      [{ qoLens: [5, 5], kvLens: [10, 10] }, "maxQueryTokens"],
      [{ qoLens: [6], kvLens: [10] }, "maxQueryTokensPerRequest"],
    ];
    for (const [batch, capacity] of over) {
      try {
        planner.plan(batch);
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(BudgetExceededError);
        const { capacity: named, budgetThatWouldDo } = error as BudgetExceededError;
        expect(named).toBe(capacity);
        const larger = createPlanner({ attention: LLAMA_8B, device: H100_SXM, budget: budgetThatWouldDo });
        verifyPlan(larger.plan(batch), batch);
        verifyPlan(larger.plan(good), good);
      }
    }
    expect(new Uint8Array(planner.plan(good).buffer)).toEqual(new Uint8Array(before));
  });

  test("keeps the workspace of 256 decodes on an H100 near 1 MiB and the plan under 64 KiB", () => {
    const limits = { maxRequests: 256, maxQueryTokens: 256, maxQueryTokensPerRequest: 1 };
    const budget = budgetFor({ ...limits, attention: LLAMA_8B, device: H100_SXM });
    expect(budget.capacities.partialSlots).toBe(2 * 263);
    expect(budget.workspaceBytes).toBe(526 * 4 * 129 * 4);
    expect(budget.layout.totalBytes).toBeLessThanOrEqual(64 * 1024);
  });

  test("made for another policy, device or attention shape is refused when the planner is made, where it is too small", () => {
    const limits = { maxRequests: 4, maxQueryTokens: 4, maxKvTokens: 100_000 };
    const own = { attention: LLAMA_8B, device: H100_SXM, policy: "invariant" as PolicyName };
    const make = (change: Partial<typeof own>) =>
      createPlanner({ ...own, budget: budgetFor({ ...own, ...change, ...limits }) });
    expect(make({}).budget!.policy).toBe("invariant");
    for (const change of [
      { policy: "balanced" as PolicyName },
      { device: { ...H100_SXM, smCount: 2 } },
      { attention: { ...LLAMA_8B, queryHeads: 1, kvHeads: 1 } },
    ]) {
      expect(() => make(change)).toThrow(InvalidOptionsError);
      expect(() => make(change)).toThrow(
        /^budget\.capacities\.\w+ is \d+, expected at least \d+, as budgetFor\(\) of these options/,
      );
    }
    const budget = budgetFor({ ...own, ...limits });
    expect(() => createPlanner({ ...own, policy: "flashmla", budget })).toThrow(UnboundedPolicyError);
  });

  test("is refused where its slots have too few rows or bytes for the attention shape, and kept where they are enough", () => {
    const limits = { maxRequests: 8, maxQueryTokens: 8, maxQueryTokensPerRequest: 1 };
    const shape = (change: Partial<AttentionShape>) => ({ ...LLAMA_8B, ...change });
    const budgetOf = (made: Partial<AttentionShape>) =>
      budgetFor({ attention: shape(made), device: H100_SXM, ...limits });
    const make = (made: Partial<AttentionShape>, planned: Partial<AttentionShape>) =>
      createPlanner({ attention: shape(planned), device: H100_SXM, budget: budgetOf(made) });
    expect(() => make({ queryHeads: 8 }, {})).toThrow(/^budget\.slotRows is 1, expected at least 4, as budgetFor\(\)/);
    for (const [made, planned] of [
      [{ headDim: 64 }, { headDim: 256 }],
      [{ valueHeadDim: 64 }, {}],
      // More rows, but of a quarter of the size.
      [{ headDim: 64 }, { queryHeads: 8, headDim: 256 }],
    ] as const) {
      expect(() => make(made, planned)).toThrow(InvalidOptionsError);
      expect(() => make(made, planned)).toThrow(/^budget\.workspaceBytes is \d+, expected at least \d+/);
    }
    const batch = { qoLens: [1, 1], kvLens: [100_000, 10] };
    for (const [made, planned] of [
      [{}, { queryHeads: 8 }],
      [{}, { headDim: 64 }],
      [{ headDim: 576 }, { headDim: 576, valueHeadDim: 512 }],
    ] as const) {
      const planner = make(made, planned);
      const plan = planner.plan(batch);
      verifyPlan(plan, batch, H100_SXM);
      const { partialSlots } = plan.layout.capacities;
      const slotRows = plan.header[Header.slotRows]!;
      expect(workspaceBytes(plan.attention, partialSlots, slotRows)).toBeLessThanOrEqual(
        planner.budget!.workspaceBytes,
      );
    }
    const { capacities: _, ...gone } = budgetOf({});
    for (const budget of [gone, { ...gone, capacities: {} }, { ...budgetOf({}), slotRows: undefined }]) {
      expect(() => createPlanner({ attention: LLAMA_8B, device: H100_SXM, budget: budget as never })).toThrow(
        InvalidOptionsError,
      );
    }
  });

  test("refuses limits that are no counts, and policies whose room depends on lengths", () => {
    const good = { maxRequests: 1, maxQueryTokens: 1, attention: LLAMA_8B, device: H100_SXM };
    expect(() => budgetFor({ ...good, maxRequests: 0 })).toThrow(/maxRequests is 0/);
    expect(() => budgetFor({ ...good, maxQueryTokens: 1.5 })).toThrow(/maxQueryTokens is 1.5/);
    const unbounded = (Object.keys(POLICIES) as PolicyName[]).find((name) => POLICIES[name]!.bound === undefined);
    if (unbounded !== undefined) {
      expect(() => budgetFor({ ...good, policy: unbounded })).toThrow(UnboundedPolicyError);
    }
  });
});
