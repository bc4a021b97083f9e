import { createPlanner } from "@isochron/planner";
import { findProfile, KernelSimulator, plannerDevice, simulateKernel } from "@isochron/simulator";
import { describe, expect, test } from "vitest";
import { LLAMA_8B_ATTENTION } from "./hand-made-plans.ts";

const profile = findProfile("h100-sxm");
const kernel = profile.attentionKernels!.find(({ policies }) => policies.includes("fa3-varlen"))!;
const planner = createPlanner({
  attention: LLAMA_8B_ATTENTION,
  device: plannerDevice(profile),
  policy: "fa3-varlen",
});

function microseconds(requests: number, qoLen: number, kvLen: number, startsWarm = false): number {
  const simulator = new KernelSimulator(profile);
  simulator.startsWarm = startsWarm;
  simulator.run(planner.plan({ qoLens: new Array(requests).fill(qoLen), kvLens: new Array(requests).fill(kvLen) }));
  return simulator.durationUs;
}

describe("a kernel that finishes one tile while it streams the next", () => {
  test("shows slices that do not overlap, and SMs whose times add up", () => {
    const plan = planner.plan({
      qoLens: [...new Array(100).fill(1), 300, 17],
      kvLens: [...new Array(100).fill(0).map((_, i) => 2 + 37 * i), 900, 4000],
    });
    const { timeline, perSm, durationUs } = simulateKernel(plan, profile);
    const { worker, startUs, endUs } = timeline.slices;
    for (let i = 1; i < startUs.length; i++) {
      if (worker[i] === worker[i - 1]) expect(startUs[i]).toBeGreaterThanOrEqual(endUs[i - 1]! - 1e-9);
    }
    for (const { busyUs, stalledUs, idleUs } of perSm) {
      expect(Math.min(busyUs, stalledUs, idleUs)).toBeGreaterThanOrEqual(0);
      expect(busyUs + stalledUs + idleUs).toBeCloseTo(durationUs, 6);
    }
  });

  test("takes the longer of stream and end for each further tile, not both", () => {
    // 33 decodes are 264 tiles, two for each of 132 SMs; 66 are four.
    const nearlyEmpty = (microseconds(66, 1, 2) - microseconds(33, 1, 2)) / 2;
    const launchUs = kernel.preparationRequestUs!.value * 33;
    expect(nearlyEmpty - launchUs / 2).toBeGreaterThan(kernel.drainUs!.value);
    const long = (microseconds(66, 1, 2048) - microseconds(33, 1, 2048)) / 2;
    const streamUs = (2048 * 512 * 132) / 3.1e6;
    expect(long).toBeGreaterThan(streamUs);
    expect(long).toBeLessThan(streamUs + nearlyEmpty);
  });

  test("computes the whole of a block that a prompt touches", () => {
    // Tiles of 32 tokens behind 97 or 128 tokens all touch two blocks; they see 177 or 208 tokens on average.
    expect(microseconds(64, 128, 225)).toBeGreaterThan(0.995 * microseconds(64, 128, 256));
    expect(microseconds(64, 128, 257)).toBeGreaterThan(1.02 * microseconds(64, 128, 256));
  });

  test("reads from L2 what a repeated launch left there, if all of it fits", () => {
    // 4 × 8,192 × 8 × 512 bytes are 134 MB, 1 × 8,192 are 34 MB of 50.
    expect(microseconds(4, 1, 8192, true)).toBe(microseconds(4, 1, 8192));
    expect(microseconds(1, 1, 8192, true)).toBeLessThan(0.8 * microseconds(1, 1, 8192));
  });

  test("waits for the keys and values of new tokens to be written, beyond those that all SMs write at once", () => {
    // Eight KV heads: 512 threads a token, four tokens on each of 132 SMs. 33 prompts are one tile of one block for each SM.
    const written = structuredClone(profile);
    const other = written.attentionKernels!.find(({ policies }) => policies.includes("fa3-varlen"))!;
    delete (other as { kvWriteUs?: unknown }).kvWriteUs;
    const writingUs = (requests: number, qoLen: number): number => {
      const plan = planner.plan({ qoLens: new Array(requests).fill(qoLen), kvLens: new Array(requests).fill(128) });
      return simulateKernel(plan, profile).durationUs - simulateKernel(plan, written).durationUs;
    };
    expect(writingUs(528, 1)).toBe(0);
    expect(writingUs(33, 16)).toBe(0);
    expect(writingUs(33, 32)).toBeCloseTo(kernel.kvWriteUs!.value, 6);
    expect(writingUs(33, 128)).toBeCloseTo(7 * kernel.kvWriteUs!.value, 6);
  });

  test("walks over the requests that lie between two tiles of a CTA, which shows where each has only one", () => {
    const microsecondsOf = (kvHeads: number, requests: number): number => {
      const attention = { ...LLAMA_8B_ATTENTION, queryHeads: 8 * kvHeads, kvHeads };
      const one = createPlanner({ attention, device: plannerDevice(profile, attention), policy: "fa3-varlen" });
      const plan = one.plan({ qoLens: new Array(requests).fill(1), kvLens: new Array(requests).fill(2) });
      return simulateKernel(plan, profile).durationUs;
    };
    // The same tiles: 1,056 more for one KV head each, or for eight.
    const oneHead = microsecondsOf(1, 2112) - microsecondsOf(1, 1056);
    const eightHeads = microsecondsOf(8, 264) - microsecondsOf(8, 132) - 132 * kernel.preparationRequestUs!.value;
    expect(oneHead - eightHeads).toBeGreaterThan(8 * 0.5);
    expect(oneHead - eightHeads).toBeLessThan((8 * kernel.requestWalkUs!.value * 132) / 31);
  });
});
