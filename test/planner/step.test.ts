import type { AttentionBatch, PolicyName, StepAction } from "@isochron/planner";
import {
  BudgetExceededError,
  clonePlan,
  createPlanner,
  H100_SXM,
  Header,
  InvalidBatchError,
  runPlan,
  unsplitAttention,
  verifyPlan,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attentionShapes, batches, CASES, devices, LLAMA_8B, randomTensors, relativeError } from "./support.ts";

/** What can happen between two steps of an engine. */
const events = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant({ kind: "decode" as const, pick: 0, tokens: 1 }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("jump" as const),
        pick: fc.nat(),
        tokens: fc.integer({ min: 1, max: 300 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("leave" as const), pick: fc.nat(), tokens: fc.constant(0) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("join" as const),
        pick: fc.nat(),
        tokens: fc.integer({ min: 1, max: 900 }),
      }),
    },
  ),
  { maxLength: 25 },
);

type Event = { kind: "decode" | "jump" | "leave" | "join"; pick: number; tokens: number };

function next(batch: AttentionBatch, { kind, pick, tokens }: Event): AttentionBatch {
  const qoLens = Array.from(batch.qoLens);
  const kvLens = Array.from(batch.kvLens);
  if (kind === "join") return { qoLens: [...qoLens, tokens % 3 === 0 ? tokens : 1], kvLens: [...kvLens, tokens] };
  if (qoLens.length === 0) return batch;
  const at = pick % qoLens.length;
  if (kind === "leave") return { qoLens: qoLens.toSpliced(at, 1), kvLens: kvLens.toSpliced(at, 1) };
  if (kind === "jump") kvLens[at]! += tokens;
  // Every request decodes one token; a prefill becomes a decode.
  else for (let i = 0; i < kvLens.length; i++) kvLens[i]! += 1;
  return { qoLens: kind === "decode" ? qoLens.map(() => 1) : qoLens, kvLens };
}

describe("stepping", () => {
  describe.each(["balanced", "invariant"] as const)("with shared prefixes, %s", (policy) => {
    const pagesOf = (suffix: number) =>
      [...Array(64).keys(), ...Array(8).keys()].map((p, i) => (i < 64 ? p : suffix + p));
    const pageIndices = Array.from({ length: 40 }, (_, request) => pagesOf(100 * (request + 1))).flat();
    const pageIndptr = Array.from({ length: 41 }, (_, request) => 72 * request);
    const at = (kvLen: number): AttentionBatch => ({
      qoLens: new Array<number>(40).fill(1),
      kvLens: new Array<number>(40).fill(kvLen),
    });
    const prefixes = [{ requests: [...Array(40).keys()], kvLen: 1024 }];

    test("keeps a plan while its members share, named or found", () => {
      for (const sharedPrefixes of ["explicit", "detect"] as const) {
        const sharing = sharedPrefixes === "explicit" ? { prefixes } : { pageIndptr, pageIndices };
        const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy, sharedPrefixes });
        expect(planner.plan({ ...at(1090), ...sharing }).groupCount).toBe(1);
        const { plan, action } = planner.step({ ...at(1091), ...sharing });
        expect(action).toBe("reused");
        expect(plan.groupCount).toBe(1);
        verifyPlan(plan, { ...at(1091), ...sharing }, H100_SXM);
      }
    });

    test("plans anew when they no longer do", () => {
      const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy });
      const { plan } = planner.step({ ...at(1090), prefixes });
      expect(plan.groupCount).toBe(1);
      const apart = planner.step(at(1091));
      expect([apart.action, apart.plan.groupCount]).toEqual(["replanned", 0]);
      planner.plan({ ...at(1090), prefixes });
      const fewer = planner.step({ ...at(1091), prefixes: [{ requests: [...Array(39).keys()], kvLen: 1024 }] });
      expect([fewer.action, fewer.plan.header[Header.groupMemberCount]]).toEqual(["replanned", 39]);
      planner.plan({ ...at(1026), prefixes });
      expect(() => planner.step({ ...at(1024), prefixes })).toThrow(InvalidBatchError);

      const finder = createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy, sharedPrefixes: "detect" });
      expect(finder.plan({ ...at(1090), pageIndptr, pageIndices }).groupCount).toBe(1);
      const copied = pageIndices.with(72 * 7, 9999);
      const found = finder.step({ ...at(1091), pageIndptr, pageIndices: copied });
      expect([found.action, found.plan.header[Header.groupMemberCount]]).toEqual(["replanned", 39]);
    });
  });

  test.each(["balanced", "none", "tight", "invariant", "auto"] as PolicyName[])(
    "keeps every invariant of a fresh plan on any history: %s",
    (policy) => {
      fc.assert(
        fc.property(
          attentionShapes,
          devices(false),
          batches(6, 20, 900),
          events,
          (attention, device, first, history) => {
            const planner = createPlanner({ attention, device, policy });
            const fresh = createPlanner({ attention, device, policy });
            let batch = first;
            verifyPlan(planner.step(batch).plan, batch, device);
            for (const event of history) {
              batch = next(batch, event);
              const { plan, action } = planner.step(batch);
              verifyPlan(plan, batch, device);
              const { stats } = fresh.plan(batch);
              expect(plan.stats.lowerBoundUs).toBe(stats.lowerBoundUs);
              if (action === "replanned") expect(plan.stats).toEqual(stats);
              else if (action === "grown") expect(plan.stats.imbalance).toBeLessThanOrEqual(1.1 + 1e-9);
            }
          },
        ),
        { numRuns: Math.min(CASES, 400) },
      );
    },
  );

  test("computes what unsplit attention computes after 70 steps", () => {
    const attention = { ...LLAMA_8B, queryHeads: 4, kvHeads: 2, headDim: 4 };
    const device = { ...H100_SXM, smCount: 6 };
    // A tile is a tenth of what these few workers carry: a plan that grows by one is kept up to a fifth above the bound.
    const planner = createPlanner({ attention, device, stepTolerance: 0.2 });
    const batch = { qoLens: [1, 1, 1], kvLens: [3000, 63, 500] };
    const seen = new Set<StepAction>();
    for (let step = 0; step < 70; step++) {
      seen.add(planner.step(batch).action);
      for (let i = 0; i < 3; i++) batch.kvLens[i]!++;
    }
    const { plan } = planner.step(batch);
    const tensors = randomTensors(attention, batch, 9);
    expect(
      relativeError(runPlan(plan, tensors).output, unsplitAttention(attention, batch, tensors).output),
    ).toBeLessThan(1e-12);
    expect([...seen].sort()).toEqual(["grown", "replanned", "reused"]);
  });

  test("changes nothing but lengths and ends while no job enters a new tile", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    const kvLens = Array.from({ length: 64 }, (_, i) => 64 * (i + 3) + 1 + (i % 50));
    const batch = { qoLens: kvLens.map(() => 1), kvLens };
    const before = clonePlan(planner.plan(batch));
    const longer = { ...batch, kvLens: kvLens.map((kvLen) => kvLen + 1) };
    const { plan, action } = planner.step(longer);
    expect(action).toBe("reused");
    expect(plan.stats).toEqual(before.stats);
    expect(plan.workerPieceIndptr).toEqual(before.workerPieceIndptr);
    verifyPlan(plan, longer, H100_SXM);
  });

  describe("refuses what plan refuses, and leaves the last plan whole:", () => {
    const named = (requests: number[], kvLen: number) => ({ prefixes: [{ requests, kvLen }] });
    const both = [1, 1];
    test.each<[string, AttentionBatch]>([
      ["a prefix of a request that is not there", { qoLens: both, kvLens: [1001, 1001], ...named([0, 99], 16) }],
      ["the same where the batch needs a new plan", { qoLens: both, kvLens: [1000, 200_000], ...named([0, 99], 16) }],
      ["a prefix that ends inside a page", { qoLens: both, kvLens: [1001, 1001], ...named([0, 1], 17) }],
      ["a request above MAX_TOKENS", { qoLens: both, kvLens: [1000, 2 ** 31 - 1] }],
      ["lengths of 64 bits", { qoLens: both, kvLens: BigInt64Array.of(1001n, 1001n) } as never],
      ["a fraction", { qoLens: both, kvLens: [1001, 1001.5] }],
      ["no batch", undefined as never],
      ["a request over the budget", { qoLens: [1, 2], kvLens: [1001, 1001] }],
    ])("%s", (_, bad) => {
      const budget = { maxRequests: 4, maxQueryTokens: 4, maxQueryTokensPerRequest: 1 };
      const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM, budget });
      const good = { qoLens: both, kvLens: [1000, 1000] };
      const plan = planner.plan(good);
      const before = plan.buffer.slice(0);
      const refused = expect.toSatisfy(
        (error) => error instanceof InvalidBatchError || error instanceof BudgetExceededError,
      );
      expect(() => planner.step(bad)).toThrow(refused as never);
      expect(new Uint8Array(plan.buffer)).toEqual(new Uint8Array(before));
      expect(() => planner.plan(bad)).toThrow(refused as never);
      verifyPlan(plan, good, H100_SXM);
      expect(planner.step({ ...good, kvLens: [1001, 1001] }).action).toBe("reused");
    });
  });

  test("refuses prefixes that overlap, and leaves the last plan whole", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    const at = (kvLen: number) => ({ qoLens: [1, 1, 1], kvLens: [kvLen, kvLen, kvLen] });
    const prefixes = [
      { requests: [0, 1], kvLen: 16 },
      { requests: [1, 2], kvLen: 16 },
    ];
    const plan = planner.plan(at(1000));
    for (const bad of [at(1001), at(2000)]) {
      expect(() => planner.step({ ...bad, prefixes })).toThrow(/nested or disjoint/);
      verifyPlan(plan, at(1000), H100_SXM);
    }
    expect(planner.step(at(1001)).action).toBe("reused");
  });

  test("shares prefixes from the step on that names them, and no longer than they are named", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    const requests = [...Array(64).keys()];
    const batchAt = (kvLen: number): AttentionBatch => ({
      qoLens: requests.map(() => 1),
      kvLens: requests.map(() => kvLen),
    });
    const prefixes = [{ requests, kvLen: 16_384 }];
    planner.plan(batchAt(16_400));
    const step = (kvLen: number, sharing: Partial<AttentionBatch>) => {
      const batch = { ...batchAt(kvLen), ...sharing };
      const { plan, action } = planner.step(batch);
      verifyPlan(plan, batch, H100_SXM);
      return [action, plan.groupCount];
    };
    expect(step(16_401, { prefixes })).toEqual(["replanned", 1]);
    const { makespanUs } = createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan({
      ...batchAt(16_401),
      prefixes,
    }).stats;
    expect(planner.step({ ...batchAt(16_401), prefixes }).plan.stats.makespanUs).toBe(makespanUs);
    expect(step(16_402, { prefixes: [{ requests: Int32Array.from(requests), kvLen: 16_384 }] })).toEqual(["reused", 1]);
    const longer = [{ requests, kvLen: 16_400 }];
    expect(step(16_403, { prefixes: longer })).toEqual(["replanned", 1]);
    // Batches are read and never kept: what is written over later is not what the plan was made of.
    longer[0]!.kvLen = 16_384;
    expect(step(16_404, { prefixes: longer })).toEqual(["replanned", 1]);
    expect(step(16_405, {})).toEqual(["replanned", 0]);
    expect(step(16_406, {})).toEqual(["reused", 0]);
  });

  test("looks for prefixes from the step on that brings a page table", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM, sharedPrefixes: "detect" });
    const requests = [...Array(64).keys()];
    const at = (kvLen: number) => ({ qoLens: requests.map(() => 1), kvLens: requests.map(() => kvLen) });
    const pageIndptr = Array.from({ length: 65 }, (_, request) => 1030 * request);
    const pageIndices = requests.flatMap((r) =>
      Array.from({ length: 1030 }, (_, p) => (p < 1024 ? p : 10_000 * r + p)),
    );
    planner.plan(at(16_400));
    const found = planner.step({ ...at(16_401), pageIndptr, pageIndices });
    expect([found.action, found.plan.groupCount]).toEqual(["replanned", 1]);
    expect(planner.step({ ...at(16_402), pageIndptr, pageIndices }).action).toBe("reused");
    const gone = planner.step(at(16_403));
    expect([gone.action, gone.plan.groupCount]).toEqual(["replanned", 0]);
  });

  test("plans anew for lengths that are not integers, and says so as plan does", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    planner.plan({ qoLens: [1], kvLens: [100] });
    expect(() => planner.step({ qoLens: [1], kvLens: [100.5] })).toThrow(/kvLens\[0\]/);
    expect(() => planner.step({ qoLens: [1], kvLens: [Number.NaN] })).toThrow(/kvLens\[0\]/);
    expect(planner.step({ qoLens: [1], kvLens: [101] }).action).toBe("reused");
  });
});
