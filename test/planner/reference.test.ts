import type { AttentionShape, PolicyName } from "@isochron/planner";
import {
  createPlanner,
  ExecutorClosedError,
  H100_SXM,
  InvalidTensorError,
  POLICIES,
  ReferenceExecutor,
  runPlan,
  unsplitAttention,
  verifyPlan,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batches, devices, LLAMA_8B, randomTensors, relativeError, smallShapes } from "./support.ts";

const policies = (Object.keys(POLICIES) as PolicyName[]).filter((name) => POLICIES[name]!.isComparison === false);

describe("what a plan computes", () => {
  test.each(policies)("equals unsplit attention for every mask, group and length: %s", (policy) => {
    fc.assert(
      fc.property(smallShapes, devices(false), batches(4, 20, 400), fc.nat(), (attention, device, batch, seed) => {
        const tensors = randomTensors(attention, batch, seed);
        const plan = createPlanner({ attention, device, policy }).plan(batch);
        const { output, lse } = runPlan(plan, tensors);
        const expected = unsplitAttention(attention, batch, tensors);
        expect(relativeError(output, expected.output)).toBeLessThanOrEqual(1e-12);
        for (let i = 0; i < lse.length; i++) {
          if (Number.isFinite(expected.lse[i]!)) expect(lse[i]).toBeCloseTo(expected.lse[i]!, 10);
          else expect(lse[i]).toBe(expected.lse[i]);
        }
      }),
      { numRuns: 200 },
    );
  });

  test.each([33.3, 0.1, 1e-40])("equals unsplit attention with the soft cap %d, which float32 rounds", (softCap) => {
    const attention: AttentionShape = { ...LLAMA_8B, queryHeads: 4, kvHeads: 2, headDim: 4, softCap };
    const batch = { qoLens: [1, 3], kvLens: [700, 90] };
    const tensors = randomTensors(attention, batch, 3);
    const plan = createPlanner({ attention, device: H100_SXM }).plan(batch);
    expect(plan.attention.softCap).not.toBe(softCap);
    const { output } = runPlan(plan, tensors);
    expect(relativeError(output, unsplitAttention(attention, batch, tensors).output)).toBeLessThan(1e-12);
  });

  test("is softmax(q·k / √d)·v, worked out by hand", () => {
    const attention: AttentionShape = { ...LLAMA_8B, queryHeads: 1, kvHeads: 1, headDim: 1, pageSize: 1 };
    const batch = { qoLens: [1], kvLens: [3] };
    const tensors = {
      query: Float64Array.of(2),
      key: Float64Array.of(0, Math.log(2) / 2, Math.log(3) / 2),
      value: Float64Array.of(10, 20, 30),
      pageIndptr: [0, 3],
      pageIndices: [0, 1, 2],
    };
    const { output, lse } = runPlan(createPlanner({ attention, device: oneWorker }).plan(batch), tensors);
    expect(output[0]).toBeCloseTo((1 * 10 + 2 * 20 + 3 * 30) / 6, 12);
    expect(lse[0]).toBeCloseTo(Math.log(6), 12);
  });

  test("is 0 with log-sum-exp −∞ where a query sees no KV token", () => {
    const attention: AttentionShape = { ...LLAMA_8B, queryHeads: 1, kvHeads: 1, headDim: 2, pageSize: 1 };
    const batch = { qoLens: [3], kvLens: [1] };
    const { output, lse } = runPlan(
      createPlanner({ attention, device: oneWorker }).plan(batch),
      randomTensors(attention, batch, 1),
    );
    expect([...output.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect([...lse.subarray(0, 2)]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    expect(Number.isFinite(lse[2]!)).toBe(true);
  });

  test("takes bf16 and fp16 bit patterns", () => {
    const base: AttentionShape = { ...LLAMA_8B, queryHeads: 1, kvHeads: 1, headDim: 1, pageSize: 1 };
    const batch = { qoLens: [1], kvLens: [2] };
    const page = { pageIndptr: [0, 2], pageIndices: [0, 1] };
    const bits = (dtype: "bf16" | "fp16", words: readonly number[]) => {
      const attention = { ...base, dtype, kvDtype: dtype };
      const plan = createPlanner({ attention, device: oneWorker }).plan(batch);
      const zero = Uint16Array.of(0);
      return runPlan(plan, { query: zero, key: Uint16Array.of(0, 0), value: Uint16Array.from(words), ...page })
        .output[0];
    };
    expect(bits("bf16", [0x3f80, 0x4040])).toBe(2); // 1 and 3
    expect(bits("fp16", [0x3c00, 0x4200])).toBe(2); // 1 and 3
    expect(bits("fp16", [0x0001, 0x8001])).toBe(0); // smallest subnormals, opposite signs
  });

  test("refuses tensors that do not fit, by name", () => {
    const batch = { qoLens: [2], kvLens: [40] };
    const attention: AttentionShape = { ...LLAMA_8B, queryHeads: 2, kvHeads: 1, headDim: 4 };
    const plan = createPlanner({ attention, device: oneWorker }).plan(batch);
    const good = randomTensors(attention, batch, 3);
    const bad = [
      { ...good, query: good.query.subarray(1) },
      { ...good, value: good.value.subarray(4) },
      { ...good, key: good.key.subarray(1) },
      { ...good, pageIndptr: [0, 1] },
      { ...good, pageIndptr: [0] },
      { ...good, pageIndices: [0, 99, 1] },
      { ...good, pageIndices: [0] },
    ];
    for (const tensors of bad) expect(() => runPlan(plan, tensors)).toThrow(InvalidTensorError);
    expect(() => runPlan(plan, undefined as never)).toThrow("tensor query has no elements, expected an array of them");
    expect(() => runPlan(plan, { ...good, value: 5 } as never)).toThrow("tensor value has no elements");
    expect(() => runPlan(plan, good)).not.toThrow();
  });
});

describe("ordinary extremes run in the reference", () => {
  const attention: AttentionShape = { ...LLAMA_8B, queryHeads: 1, kvHeads: 1, headDim: 1, pageSize: 256 };
  test.each<[string, readonly number[], readonly number[]]>([
    ["a request of 10 million KV tokens", [1], [10_000_000]],
    ["4,096 requests", new Array<number>(4096).fill(1), Array.from({ length: 4096 }, (_, i) => i % 300)],
    ["an empty batch", [], []],
    ["all-zero lengths", [0, 0, 0], [0, 0, 0]],
    ["queries longer than their KV", [300, 5, 2], [10, 0, 1]],
  ])("%s", (_, qoLens, kvLens) => {
    const batch = { qoLens, kvLens };
    const tensors = randomTensors(attention, batch, 11);
    const expected = unsplitAttention(attention, batch, tensors);
    for (const policy of ["balanced", "tight", "auto", "none"] as const) {
      const plan = createPlanner({ attention, device: H100_SXM, policy }).plan(batch);
      verifyPlan(plan, batch, H100_SXM);
      // The sum of ten million terms is rounded differently in one piece and in many.
      expect(relativeError(runPlan(plan, tensors).output, expected.output)).toBeLessThanOrEqual(1e-10);
    }
  });
});

describe("the reference executor", () => {
  test("runs plans until it is closed", async () => {
    const attention: AttentionShape = { ...LLAMA_8B, queryHeads: 2, kvHeads: 1, headDim: 4 };
    const batch = { qoLens: [1, 3], kvLens: [700, 20] };
    const tensors = randomTensors(attention, batch, 5);
    const plan = createPlanner({ attention, device: oneWorker }).plan(batch);
    const executor = new ReferenceExecutor();
    const { output, durationUs } = await executor.execute(plan, tensors);
    expect(relativeError(output, unsplitAttention(attention, batch, tensors).output)).toBeLessThanOrEqual(1e-12);
    expect(durationUs).toBeGreaterThan(0);
    await executor.close();
    await expect(executor.execute(plan, tensors)).rejects.toThrow(ExecutorClosedError);
  });
});

const oneWorker = {
  name: "one worker",
  smCount: 3,
  ctasPerSm: 1,
  costModel: {
    kvTileTokens: 64,
    queryTiles: [{ rows: 16, pieceNs: 1, kvTileNs: 1 }],
    mergeNs: 0,
    mergePartialNs: 0,
    surchargeTiles: 0,
  },
};
