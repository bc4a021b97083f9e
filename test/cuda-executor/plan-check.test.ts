import {
  GroupRange,
  HEADER_BYTES,
  Header,
  Merge,
  MergeSource,
  Piece,
  PLAN_MAGIC,
  PLAN_VERSION,
  type Plan,
  Request,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadAddon } from "../../packages/cuda-executor/src/binding.ts";
import { calling, PlanRejectedError } from "../../packages/cuda-executor/src/errors.ts";
import { ATTENTION, hasAddon, limitsOf, planOf } from "./support.ts";

const check = (plan: Plan, pages: number, tokens: number): number =>
  calling(() => loadAddon().checkPlan(new Uint8Array(plan.buffer), pages, tokens));

const batches = fc
  .array(fc.tuple(fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 300 })), fc.integer({ min: 0, max: 5000 })), {
    maxLength: 24,
  })
  .map((rows) => ({ qoLens: rows.map((r) => r[0]), kvLens: rows.map((r) => r[1]) }));

describe.skipIf(!hasAddon)("the native plan check", () => {
  it("knows the same field table as the planner", () => {
    const table = loadAddon().layoutTable();
    const withoutReserved = (fields: Record<string, number>): Record<string, number> =>
      Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith("reserved")));
    expect(table["Header"]).toEqual(withoutReserved(Header));
    expect(table["Request"]).toEqual(withoutReserved(Request));
    expect(table["Piece"]).toEqual(withoutReserved(Piece));
    expect(table["Merge"]).toEqual(withoutReserved(Merge));
    expect(table["GroupRange"]).toEqual(withoutReserved(GroupRange));
    expect(table["MergeSource"]).toEqual(withoutReserved(MergeSource));
    expect(table["GroupRange"]).toEqual(withoutReserved(GroupRange));
    expect([table["magic"], table["version"], table["headerBytes"]]).toEqual([PLAN_MAGIC, PLAN_VERSION, HEADER_BYTES]);
  });

  it.each(["balanced", "invariant"] as const)("accepts every %s plan that the planner makes", (policy) => {
    fc.assert(
      fc.property(batches, (batch) => {
        const { pages, tokens } = limitsOf(batch, ATTENTION.pageSize);
        expect(check(planOf(batch, ATTENTION, policy), pages, tokens)).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 300 },
    );
  });

  it("names the field, the record and the value of what is wrong", () => {
    const batch = { qoLens: [1, 1], kvLens: [4096, 20_000] };
    const plan = planOf(batch);
    plan.pieces[3 * Piece.stride + Piece.request] = 7;
    const { pages, tokens } = limitsOf(batch, ATTENTION.pageSize);
    const rejected = (): number => check(plan, pages, tokens);
    expect(rejected).toThrow(PlanRejectedError);
    expect(rejected).toThrow("pieces.request[3] is 7, expected 0 to 1");
  });

  it("refuses a plan whose pages or query rows lie outside the tensors", () => {
    const batch = { qoLens: [1, 1], kvLens: [4096, 20_000] };
    const { pages, tokens } = limitsOf(batch, ATTENTION.pageSize);
    expect(() => check(planOf(batch), pages - 1, tokens)).toThrow("requests.pageStart[1]");
    expect(() => check(planOf(batch), pages, tokens - 1)).toThrow("requests.queryStart[1]");
  });

  it("refuses a canonical tree whose nodes would not be the ones that the kernel leaves", () => {
    const batch = { qoLens: [1], kvLens: [40_000] };
    const { pages, tokens } = limitsOf(batch, ATTENTION.pageSize);
    const plan = planOf(batch, ATTENTION, "invariant");
    plan.pieces[Piece.kvEnd] = plan.pieces[Piece.kvEnd]! + 40_000;
    expect(() => check(plan, pages, tokens)).toThrow("pieces.kvEnd[0]");
    const odd = planOf(batch, ATTENTION, "invariant");
    odd.header[Header.mergeGridTokens] = 100;
    expect(() => check(odd, pages, tokens)).toThrow("header.mergeGridTokens");
  });

  it.each(["balanced", "invariant"] as const)(
    "gives a typed error or a sound %s plan for 10,000 mutated buffers",
    (policy) => {
      const batch = { qoLens: [1, 1, 70, 0, 1, 1], kvLens: [3000, 65_000, 900, 0, 40, 20_000] };
      const { pages, tokens } = limitsOf(batch, ATTENTION.pageSize);
      const sound = new Int32Array(planOf(batch, ATTENTION, policy).buffer);
      const interesting = fc.oneof(
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
        fc.constantFrom(0x7fff_ffff, -0x8000_0000, 1 << 16, 1 << 24, 255, 256),
      );
      const used = sound[Header.usedBytes]! / 4;
      const position = fc.oneof(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: used - 1 }));
      let rejected = 0;
      fc.assert(
        fc.property(
          fc.array(fc.tuple(position, interesting, fc.boolean()), { minLength: 1, maxLength: 4 }),
          (edits) => {
            const words = sound.slice();
            for (const [at, value, isRelative] of edits) words[at] = isRelative ? words[at]! + value : value;
            try {
              calling(() => loadAddon().checkPlan(words, pages, tokens));
            } catch (error) {
              expect(error).toBeInstanceOf(PlanRejectedError);
              rejected++;
            }
          },
        ),
        { numRuns: 10_000 },
      );
      expect(rejected).toBeGreaterThan(5000);
    },
  );

  it("refuses truncated buffers of every length", () => {
    const batch = { qoLens: [1, 33], kvLens: [5000, 700] };
    const { pages, tokens } = limitsOf(batch, ATTENTION.pageSize);
    const bytes = new Uint8Array(planOf(batch).buffer);
    for (let length = 0; length < bytes.length; length += 4) {
      expect(() => calling(() => loadAddon().checkPlan(bytes.slice(0, length), pages, tokens))).toThrow(
        PlanRejectedError,
      );
    }
  });
});
