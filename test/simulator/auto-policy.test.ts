// The planner's `auto` prices plans with a cost model; here its choices are held against simulated time.

import { describe, expect, test } from "vitest";

interface Simulated {
  readonly id: string;
  readonly overBest: Readonly<Record<string, number>>;
}

describe("auto, in simulated time on recorded batches", () => {
  test("is as fast as the best of none, balanced and tight on average, and never over 1.25 times", async () => {
    const script: string = "../../scripts/simulated-policies.mjs";
    const { simulateRecorded, summariseRatios } = await import(/* @vite-ignore */ script);
    const results = simulateRecorded("h100-sxm", 8) as Simulated[];
    expect(results.length).toBeGreaterThan(50);
    const of = (policy: string) => summariseRatios(results.map(({ overBest }) => overBest[policy]!));
    const auto = of("auto");
    expect(auto.mean).toBeLessThan(1);
    expect(auto.p95).toBeLessThan(1.05);
    expect(auto.worst).toBeLessThan(1.25);
    // The control: each of the three alone is far from the best somewhere.
    for (const policy of ["none", "balanced", "tight"]) expect(of(policy).worst).toBeGreaterThan(1.25);
  }, 60_000);
});
