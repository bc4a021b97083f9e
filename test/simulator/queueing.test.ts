// Queueing theory as an oracle: one server, one request at a time. A request of one prompt token and one answer token is
// one step, so the step timer is the service time.

import { RandomStream, type Report, replay, type StepTimer, syntheticTrace } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { gpu, timerOf, tinyModel } from "./helpers.ts";

const SERVICE_US = 1000;
const REQUESTS = 200_000;

function runQueue(load: number, seed: number, stepTimer: StepTimer, requests = REQUESTS): Promise<Report> {
  return replay({
    trace: syntheticTrace({
      requests,
      arrivals: { kind: "poisson", perSecond: (load * 1e6) / SERVICE_US },
      input: { kind: "constant", tokens: 1 },
      output: { kind: "constant", tokens: 1 },
      seed,
    }),
    deployment: { model: tinyModel, gpu, attention: "none", maxRunningRequests: 1, kvBlocks: 10 },
    stepTimer,
  });
}

function exponentialTimer(seed: number): StepTimer {
  const random = new RandomStream(seed, "service");
  // The clock must move.
  return timerOf(() => random.exponential(SERVICE_US) + 1e-9);
}

/** Mean of independent runs, with the half width of its 99.9 % confidence interval (Student's t, 9 degrees of freedom). */
function interval(values: readonly number[]): { mean: number; half: number } {
  const mean = values.reduce((a, b) => a + b) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, half: 4.781 * Math.sqrt(variance / values.length) };
}

const seeds = Array.from({ length: 10 }, (_, i) => i + 1);

describe("a replica that serves one request at a time", () => {
  it.each([0.5, 0.8])("waits as M/M/1 says at load %f", async (load) => {
    const waits: number[] = [];
    for (const seed of seeds) {
      const { metrics } = await runQueue(load, seed, exponentialTimer(seed), REQUESTS / 10);
      waits.push(metrics.queueMs.mean!);
    }
    const { mean, half } = interval(waits);
    const theory = ((load / (1 - load)) * SERVICE_US) / 1000;
    expect(Math.abs(mean - theory)).toBeLessThan(half);
    // And the interval is narrow enough to mean something.
    expect(half / theory).toBeLessThan(0.15);
  });

  it.each([0.5, 0.8])("waits as M/D/1 says at load %f, half as long", async (load) => {
    const waits: number[] = [];
    for (const seed of seeds) {
      const { metrics } = await runQueue(
        load,
        seed,
        timerOf(() => SERVICE_US),
        REQUESTS / 10,
      );
      waits.push(metrics.queueMs.mean!);
    }
    const { mean, half } = interval(waits);
    const theory = ((load / (2 * (1 - load))) * SERVICE_US) / 1000;
    expect(Math.abs(mean - theory)).toBeLessThan(half);
    expect(half / theory).toBeLessThan(0.15);
  });

  it("has exponentially distributed sojourn times in M/M/1", async () => {
    const { metrics } = await runQueue(0.6, 42, exponentialTimer(42));
    // Rate μ − λ: the p-quantile is −ln(1 − p) / (μ − λ).
    const meanMs = SERVICE_US / 1000 / (1 - 0.6);
    expect(metrics.e2eMs.median! / (Math.LN2 * meanMs)).toBeCloseTo(1, 1);
    expect(metrics.e2eMs.p90! / (Math.log(10) * meanMs)).toBeCloseTo(1, 1);
  });

  it("obeys Little's law: requests in the system are their rate times their stay, counted two ways", async () => {
    const { metrics, requests } = await runQueue(0.7, 3, exponentialTimer(3), 5000);
    expect(metrics.meanConcurrency / ((metrics.requestThroughput * metrics.e2eMs.mean!) / 1000)).toBeCloseTo(1, 9);
    // By a sweep over arrivals and ends.
    const changes = [
      ...requests!.arrivalUs.map((at) => ({ at, change: 1 })),
      ...requests!.endUs.map((at) => ({ at, change: -1 })),
    ].sort((a, b) => a.at - b.at || a.change - b.change);
    let inside = 0;
    let area = 0;
    let peak = 0;
    let last = 0;
    for (const { at, change } of changes) {
      area += inside * (at - last);
      inside += change;
      peak = Math.max(peak, inside);
      last = at;
    }
    expect(area / last / metrics.meanConcurrency).toBeCloseTo(1, 6);
    expect(metrics.peakConcurrency).toBe(peak);
  });
});
