import type { AttentionBatch, Plan } from "@isochron/planner";
import { createPlanner, Piece, SLICE_KINDS } from "@isochron/planner";
import { findProfile, KernelSimulator, plannerDevice, simulateKernel } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LLAMA_8B_ATTENTION } from "./hand-made-plans.ts";

// 128 SMs with one CTA each; L2 holds 72 MiB.
const profile = findProfile("rtx-4090");
const kernel = profile.attentionKernels!.find(({ policies }) => policies.includes("fa2-paged"))!;
const device = plannerDevice(profile);
const planner = createPlanner({ attention: LLAMA_8B_ATTENTION, device, policy: "fa2-paged" });
const graphPlanner = createPlanner({ attention: LLAMA_8B_ATTENTION, device, policy: "fa2-paged-graph" });

const requestArbitrary = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant(1), fc.integer({ min: 1, max: 9000 })) },
  { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 2, max: 500 }), fc.integer({ min: 0, max: 6000 })) },
);
const planArbitrary: fc.Arbitrary<Plan> = fc
  .tuple(fc.array(requestArbitrary, { maxLength: 30 }), fc.constantFrom(planner, graphPlanner))
  .map(([requests, chosen]) => chosen.plan(batchOf(requests)));

function batchOf(requests: readonly (readonly [number, number])[]): AttentionBatch {
  return {
    qoLens: requests.map(([qoLen]) => qoLen),
    kvLens: requests.map(([qoLen, history]) => qoLen + history),
  };
}

function microseconds(requests: readonly (readonly [number, number])[]): number {
  const simulator = new KernelSimulator(profile);
  simulator.run(planner.plan(batchOf(requests)));
  return simulator.durationUs;
}

const times = (count: number, qoLen: number, history: number) =>
  new Array(count).fill([qoLen, history]) as [number, number][];

describe("a kernel whose pipeline fills and empties", () => {
  test("reads and writes all bytes once, in the time that its bandwidth shows", () => {
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        const { timeline, hbmBytes, l2ServedBytes } = simulateKernel(plan, profile);
        let bytes = 0;
        for (let record = 0; record < plan.pieceRecordCount; record++) {
          const at = record * Piece.stride;
          const outputBytes = plan.pieces[at + Piece.slot]! < 0 ? 128 * 2 : 129 * 4;
          const kv = (plan.pieces[at + Piece.kvEnd]! - plan.pieces[at + Piece.kvStart]!) * 2 * 128 * 2;
          const rows = (plan.pieces[at + Piece.rows]! & 0xffff) * (128 * 2 + outputBytes);
          bytes += plan.pieces[at + Piece.headCount]! * (kv + rows);
        }
        expect(hbmBytes + l2ServedBytes).toBeCloseTo(bytes, 0);
        const { atUs, gigabytesPerSecond } = timeline.bandwidth!;
        let moved = 0;
        for (let i = 0; i + 1 < atUs.length; i++) moved += gigabytesPerSecond[i]! * (atUs[i + 1]! - atUs[i]!) * 1000;
        expect(Math.abs(moved - hbmBytes)).toBeLessThan(1 + 1e-6 * bytes);
      }),
      { numRuns: 300 },
    );
  });

  test("runs every piece once, one at a time on each SM, and is never faster than the whole GPU", () => {
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        const { timeline, durationUs, lowerBoundUs } = simulateKernel(plan, profile);
        const { worker, startUs, endUs, kind } = timeline.slices;
        let pieces = 0;
        let last = -1;
        for (let i = 0; i < startUs.length; i++) {
          if (SLICE_KINDS[kind[i]!] === "merge") continue;
          pieces++;
          if (last >= 0 && worker[i] === worker[last]) {
            expect(startUs[i]).toBeGreaterThanOrEqual(endUs[last]! - 1e-9);
          }
          last = i;
        }
        expect(pieces).toBe(plan.stats.pieces);
        expect(durationUs).toBeGreaterThanOrEqual(lowerBoundUs * (1 - 1e-9));
      }),
      { numRuns: 300 },
    );
  });

  test("takes as long whatever ran before it, with and without a timeline", () => {
    const used = new KernelSimulator(profile);
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        used.run(plan);
        const { durationUs, hbmBytes } = simulateKernel(plan, profile);
        expect(used.durationUs).toBe(durationUs);
        expect(used.hbmBytes).toBe(hbmBytes);
      }),
      { numRuns: 200 },
    );
  });

  test("computes the last half block after its last byte", () => {
    // 16 CTAs of one head each, alone on their SMs: a second block adds its own time, the halves are in both.
    const blockUs = (128 * 512) / kernel.ctaGBps!.value / 1000;
    const one = microseconds(times(1, 16, 112));
    const two = microseconds(times(1, 16, 240));
    expect(two - one).toBeGreaterThan(0.95 * blockUs);
    expect(two - one).toBeLessThan(1.05 * blockUs);
    expect(one).toBeGreaterThan(kernel.startUs.value + kernel.writeOutUs.value + blockUs / 2);
  });

  test("passes over the empty tiles of short requests, which take a moment each", () => {
    // 64 decodes beside a prompt of 64 tokens have one tile for each head; beside 2,048 tokens they have 32, 31 of them empty.
    const short = microseconds([[64, 0], ...times(64, 1, 15)]) - microseconds([[64, 0]]);
    const long = microseconds([[2048, 0], ...times(64, 1, 15)]) - microseconds([[2048, 0]]);
    const emptyUs = (31 * 64 * 32 * kernel.emptyCtaUs!.value) / 128;
    expect(long - short).toBeGreaterThan(0.8 * emptyUs);
    expect(long - short).toBeLessThan(1.3 * emptyUs);
  });

  test("reads KV that does not fit into L2 once for the heads of a group that go through it together", () => {
    // Prompts of 16 tokens behind 16,384: 4 heads of each group read 33.6 MB a request; three requests are 101 MB.
    const simulator = new KernelSimulator(profile);
    simulator.run(planner.plan(batchOf(times(3, 16, 16_384))));
    const kvBytes = 3 * 16_400 * 8 * 512;
    expect(kvBytes).toBeGreaterThan(profile.device.l2Bytes.value);
    expect(simulator.hbmBytes).toBeLessThan(1.3 * kvBytes);
  });

  test("can be named: plans of other policies run on it, and without the name they do not", () => {
    const h100 = findProfile("h100-sxm");
    const plan = createPlanner({
      attention: LLAMA_8B_ATTENTION,
      device: plannerDevice(h100),
      policy: "flashinfer-holistic",
    }).plan(batchOf(times(16, 1, 1023)));
    const microsecondsOn = (kernel?: string) => {
      const simulator = new KernelSimulator(h100, kernel);
      simulator.run(plan);
      return simulator.durationUs;
    };
    const general = microsecondsOn();
    expect(microsecondsOn("flashinfer-holistic")).toBeGreaterThan(1.02 * general);
    expect(microsecondsOn("flashinfer-holistic")).toBeLessThan(1.15 * general);
    expect(microsecondsOn("no such kernel")).toBe(general);
  });
});
