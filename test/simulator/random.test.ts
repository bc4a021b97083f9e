import { RandomStream } from "@isochron/simulator";
import { describe, expect, it } from "vitest";

const SAMPLES = 200_000;

function moments(draw: () => number): { mean: number; variance: number } {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const value = draw();
    sum += value;
    squares += value * value;
  }
  const mean = sum / SAMPLES;
  return { mean, variance: squares / SAMPLES - mean * mean };
}

describe("a random stream", () => {
  it("repeats for the same seed and purpose and differs for others", () => {
    const draw = (seed: number, purpose: string): number[] => {
      const stream = new RandomStream(seed, purpose);
      return Array.from({ length: 5 }, () => stream.bits());
    };
    expect(draw(1, "arrivals")).toEqual(draw(1, "arrivals"));
    expect(draw(1, "arrivals")).not.toEqual(draw(2, "arrivals"));
    expect(draw(1, "arrivals")).not.toEqual(draw(1, "lengths"));
    expect(draw(1, "arrivals")).not.toEqual(draw(1 + 2 ** 32, "arrivals"));
  });

  // Bounds of about five standard errors, for fixed seeds.
  it("is uniform over [0, 1)", () => {
    const stream = new RandomStream(7, "uniform");
    const { mean, variance } = moments(() => stream.uniform());
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.0033);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.001);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < SAMPLES; i++) counts[stream.integer(10)]!++;
    for (const count of counts) expect(Math.abs(count - SAMPLES / 10)).toBeLessThan(5 * Math.sqrt(SAMPLES * 0.09));
  });

  it("has exponential, normal and gamma variates of the right mean and variance", () => {
    const stream = new RandomStream(11, "variates");
    const exponential = moments(() => stream.exponential(3));
    expect(exponential.mean).toBeCloseTo(3, 1);
    expect(exponential.variance / 9).toBeCloseTo(1, 1);
    const normal = moments(() => stream.normal());
    expect(Math.abs(normal.mean)).toBeLessThan(0.012);
    expect(normal.variance).toBeCloseTo(1, 1);
    for (const shape of [0.2, 1, 4]) {
      const gamma = moments(() => stream.gamma(shape, 2));
      expect(gamma.mean / (shape * 2)).toBeCloseTo(1, 1);
      expect(gamma.variance / (shape * 4)).toBeCloseTo(1, 1);
    }
  });
});
