import type { AttentionBatch, PolicyName, StepAction } from "@isochron/planner";
import {
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

  test("plans anew for lengths that are not integers, and says so as plan does", () => {
    const planner = createPlanner({ attention: LLAMA_8B, device: H100_SXM });
    planner.plan({ qoLens: [1], kvLens: [100] });
    expect(() => planner.step({ qoLens: [1], kvLens: [100.5] })).toThrow(/kvLens\[0\]/);
    expect(() => planner.step({ qoLens: [1], kvLens: [Number.NaN] })).toThrow(/kvLens\[0\]/);
    expect(planner.step({ qoLens: [1], kvLens: [101] }).action).toBe("reused");
  });
});
