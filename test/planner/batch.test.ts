import type { AttentionBatch, AttentionShape, PolicyName } from "@isochron/planner";
import {
  budgetFor,
  createPlanner,
  H100_SXM,
  InvalidBatchError,
  InvalidDeviceError,
  InvalidOptionsError,
  MAX_TOKENS,
  PlanViolation,
  UnknownPolicyError,
  verifyPlan,
} from "@isochron/planner";
import * as core from "@isochron/planner/core";
import { describe, expect, test } from "vitest";
import { LLAMA_8B } from "./support.ts";

describe("a batch that makes no sense", () => {
  const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
  test.each<[string, AttentionBatch]>([
    ["kvLens.length", { qoLens: [1, 1], kvLens: [1] }],
    ["qoLens[1]", { qoLens: [1, -1], kvLens: [1, 1] }],
    ["qoLens[0]", { qoLens: [Number.NaN], kvLens: [1] }],
    ["kvLens[0]", { qoLens: [1], kvLens: [0.5] }],
    ["kvLens[0]", { qoLens: [1], kvLens: [2 ** 31] }],
    ["pageIndices", { qoLens: [1], kvLens: [16], pageIndptr: [0, 1] }],
    ["pageIndptr.length", { qoLens: [1], kvLens: [16], pageIndptr: [0], pageIndices: [0] }],
    ["pageIndptr[1]", { qoLens: [1], kvLens: [17], pageIndptr: [0, 1], pageIndices: [0] }],
    ["pageIndices.length", { qoLens: [1], kvLens: [16], pageIndptr: [0, 1], pageIndices: [] }],
    ["pageIndices[0]", { qoLens: [1], kvLens: [16], pageIndptr: [0, 1], pageIndices: [-4] }],
    ["pageIndices[1]", { qoLens: [1], kvLens: [32], pageIndptr: [0, 2], pageIndices: [0, 0x7fff_ffff] }],
    ["pageIndices[1]", { qoLens: [1], kvLens: [32], pageIndptr: [0, 2], pageIndices: [0, 1.5] }],
    ["pageIndptr[2]", { qoLens: [1, 1], kvLens: [16, 16], pageIndptr: [0, 1, 1], pageIndices: [0, 1] }],
    ["prefixes[0].requests.length", { qoLens: [1], kvLens: [32], prefixes: [{ requests: [0], kvLen: 16 }] }],
    ["prefixes[0].kvLen", { qoLens: [1, 1], kvLens: [32, 32], prefixes: [{ requests: [0, 1], kvLen: 15 }] }],
    ["prefixes[0].kvLen", { qoLens: [1, 1], kvLens: [32, 32], prefixes: [{ requests: [0, 1], kvLen: 32 }] }],
    ["prefixes[0].requests[1]", { qoLens: [1, 1], kvLens: [32, 32], prefixes: [{ requests: [1, 0], kvLen: 16 }] }],
    ["batch", undefined as never],
    ["qoLens", {} as never],
    ["kvLens", { qoLens: [1] } as never],
    ["qoLens", { qoLens: new Set([1]), kvLens: new Set([1]) } as never],
    ["qoLens[0]", { qoLens: BigInt64Array.of(1n), kvLens: BigInt64Array.of(9n) } as never],
    ["pageIndptr", { qoLens: [1], kvLens: [16], pageIndptr: 0, pageIndices: 0 } as never],
    ["prefixes", { qoLens: [1, 1], kvLens: [32, 32], prefixes: 16 } as never],
    ["prefixes[0]", { qoLens: [1, 1], kvLens: [32, 32], prefixes: [null] } as never],
    ["prefixes[0].requests", { qoLens: [1, 1], kvLens: [32, 32], prefixes: [{ kvLen: 16 }] } as never],
  ])("is refused by naming %s, by every function that takes one, and leaves the last plan whole", (field, batch) => {
    const good = { qoLens: [1, 1], kvLens: [300, 40] };
    const plan = planner.plan(good);
    for (const use of [() => planner.plan(batch), () => planner.step(batch), () => verifyPlan(plan, batch)]) {
      expect(use).toThrow(
        expect.toSatisfy((error) => error instanceof InvalidBatchError && error.field === field) as never,
      );
      verifyPlan(plan, good);
    }
  });
});

describe("a batch with more pages than int32 counts", () => {
  const many = (requests: number, kvLen: number): AttentionBatch => ({
    qoLens: new Int32Array(requests).fill(1),
    kvLens: new Int32Array(requests).fill(kvLen),
  });

  test.each([
    [16, 4096, 10_000_000, 2_560_000_000],
    [1, 256, 10_000_000, 2_560_000_000],
    [24, 6000, 10_000_000, 2_500_002_000],
  ])(
    "of %i tokens is refused by naming kvLens, by plan and by step: %i × %i tokens",
    (pageSize, requests, kvLen, pages) => {
      const planner = createPlanner({ attention: { ...LLAMA_8B, pageSize }, device: H100_SXM });
      const bad = many(requests, kvLen);
      const refused = expect.toSatisfy(
        (error) =>
          error instanceof InvalidBatchError &&
          error.message ===
            `kvLens is ${pages}, expected at most 2147483647 pages of ${pageSize} tokens, all requests together`,
      );
      expect(() => planner.plan(bad)).toThrow(refused as never);
      const good = many(requests, 100);
      const plan = planner.plan(good);
      expect(() => planner.step(bad)).toThrow(refused as never);
      verifyPlan(plan, good, H100_SXM);
    },
  );

  test("is planned while they are counted", () => {
    const planner = createPlanner({ attention: { ...LLAMA_8B, kvHeads: 1, pageSize: 16 }, device: H100_SXM });
    // 2³¹ − 1 pages.
    const most = { qoLens: new Int32Array(32).fill(1), kvLens: new Int32Array(32).fill(2 ** 30).with(0, 2 ** 30 - 16) };
    const largest = { qoLens: [1, 1], kvLens: [MAX_TOKENS, MAX_TOKENS] };
    for (const batch of [most, largest]) verifyPlan(planner.plan(batch), batch, H100_SXM);
    expect(planner.step(largest).action).toBe("reused");
    const oneMore = { ...most, kvLens: Array.from(most.kvLens).with(0, 2 ** 30) };
    expect(() => planner.plan(oneMore)).toThrow(/^kvLens is 2147483648, expected at most 2147483647 pages/);
  });
});

describe("a shape, a device or a policy that makes no sense", () => {
  test.each<[string, Partial<AttentionShape>]>([
    ["attention.queryHeads", { queryHeads: 33 }],
    ["attention.kvHeads", { kvHeads: 0 }],
    ["attention.headDim", { headDim: 1.5 }],
    ["attention.pageSize", { pageSize: 257 }],
    ["attention.softCap", { softCap: -1 }],
    ["attention.softCap", { softCap: Number.NaN }],
    ["attention.softCap", { softCap: "30" as never }],
    // float32 makes nothing and infinity of these.
    ["attention.softCap", { softCap: 1e-50 }],
    ["attention.softCap", { softCap: 1e300 }],
    ["attention.mask.window", { mask: { kind: "sliding-window", window: 0 } }],
    ["attention.mask.kind", { mask: { kind: "triangle" } as never }],
    ["attention.dtype", { dtype: "int7" as never }],
  ])("is refused by naming %s", (field, change) => {
    expect(() => createPlanner({ attention: { ...LLAMA_8B, ...change }, device: H100_SXM })).toThrow(field);
  });

  test.each([
    [/^attention is undefined, expected an object with queryHeads/, {}],
    [/^device is undefined, expected an object with smCount/, { attention: LLAMA_8B }],
    [
      /^device.costModel is undefined, expected/,
      { attention: LLAMA_8B, device: { name: "x", smCount: 1, ctasPerSm: 1 } },
    ],
    [
      /^costModel.queryTiles is null, expected/,
      { attention: LLAMA_8B, device: { ...H100_SXM, costModel: { queryTiles: null } } },
    ],
    [
      /^costModel.queryTiles\[0\] is null, expected an object with rows/,
      { attention: LLAMA_8B, device: { ...H100_SXM, costModel: { ...H100_SXM.costModel, queryTiles: [null] } } },
    ],
  ])("says %s to a program that left it out", (message, options) => {
    const make = (): unknown => createPlanner(options as never);
    expect(make).toThrow(message);
    expect(make).toThrow(
      expect.toSatisfy((error) => error instanceof InvalidBatchError || error instanceof InvalidDeviceError),
    );
  });

  test.each<[string, string, object | undefined]>([
    ["options", "options is undefined, expected an object with attention and device", undefined],
    ["policy", "policy is an object, expected a policy object", { policy: {} }],
    ["policy", "policy is 3, expected a policy object", { policy: 3 }],
    ["budget", "budget is 64, expected an object with maxRequests and maxQueryTokens", { budget: 64 }],
    ["sharedPrefixes", "sharedPrefixes is true, expected one of off, explicit, detect", { sharedPrefixes: true }],
  ])("tells a program in JavaScript which of its options, %s, is not one", (field, message, change) => {
    const options = change && { attention: LLAMA_8B, device: H100_SXM, ...change };
    for (const create of [createPlanner, core.createPlanner]) {
      expect(() => create(options as never)).toThrow(
        expect.toSatisfy(
          (error) => error instanceof InvalidOptionsError && error.field === field && error.message === message,
        ) as never,
      );
    }
  });

  test.each([-1, Number.NaN, "0.1"])("refuses the step tolerance %j", (stepTolerance) => {
    const options = { attention: LLAMA_8B, device: H100_SXM, stepTolerance } as never;
    expect(() => createPlanner(options)).toThrow(RangeError);
  });

  test("tells who asks for a budget of nothing, or to verify no plan, what was expected", () => {
    for (const budget of [budgetFor, core.budgetFor])
      expect(() => budget(undefined as never)).toThrow(InvalidOptionsError);
    for (const plan of [undefined, {}]) {
      expect(() => verifyPlan(plan as never, { qoLens: [], kvLens: [] })).toThrow(PlanViolation);
    }
  });

  test("names the field of a device and lists the policies there are", () => {
    expect(() => createPlanner({ attention: LLAMA_8B, device: { ...H100_SXM, smCount: 0 } })).toThrow(
      InvalidDeviceError,
    );
    const costModel = { ...H100_SXM.costModel, queryTiles: [{ rows: 16, pieceNs: 1.5, kvTileNs: 1 }] };
    expect(() => createPlanner({ attention: LLAMA_8B, device: { ...H100_SXM, costModel } })).toThrow(/pieceNs is 1.5/);
    const policy = "balansed" as PolicyName;
    expect(() => createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy })).toThrow(UnknownPolicyError);
    expect(() => createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy })).toThrow(/balanced/);
  });
});
