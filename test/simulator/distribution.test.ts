import { Distribution } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

/** numpy.percentile with its default method. */
function percentile(sorted: readonly number[], percent: number): number {
  const position = (percent / 100) * (sorted.length - 1);
  const low = sorted[Math.floor(position)]!;
  const high = sorted[Math.ceil(position)]!;
  return low + (high - low) * (position - Math.floor(position));
}

const sample = fc.record({
  value: fc.oneof(
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.constantFrom(0, 1, 1, 6000, 6000.5, Number.MIN_VALUE, 1e300),
    // Values that share their high words and differ in the low ones only.
    fc.integer({ min: 0, max: 50 }).map((i) => 1 + i * Number.EPSILON),
  ),
  weight: fc.integer({ min: 1, max: 4 }),
});

describe("a distribution", () => {
  it("has the percentiles of the expanded, sorted list", () => {
    const sizes = fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 500, max: 1500 }));
    fc.assert(
      fc.property(
        sizes.chain((size) => fc.array(sample, { minLength: size, maxLength: size, size: "max" })),
        (samples) => {
          const distribution = new Distribution();
          for (const { value, weight } of samples) distribution.add(value, weight);
          const sorted = samples.flatMap(({ value, weight }) => new Array<number>(weight).fill(value));
          sorted.sort((a, b) => a - b);
          const percents = [0, 25, 50, 75, 90, 99, 100];
          const found = distribution.percentiles(percents);
          percents.forEach((percent, i) => {
            expect(found[i]).toBeCloseTo(percentile(sorted, percent), 6);
          });
        },
      ),
      { numRuns: 300 },
    );
  });

  it("draws its curve through the percentiles of the sorted list, however many bins they lie in", () => {
    const distribution = new Distribution();
    const sorted: number[] = [];
    for (let i = 0; i < 5_000; i++) {
      const value = ((i * 7_919) % 5_000) ** 1.5;
      distribution.add(value, 1 + (i % 3));
      for (let k = 0; k < 1 + (i % 3); k++) sorted.push(value);
    }
    sorted.sort((a, b) => a - b);
    const { shares, values } = distribution.curve(1e-3)!;
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
    shares.forEach((share, i) => {
      expect(values[i]).toBeCloseTo(percentile(sorted, share * 100) * 1e-3, 6);
      if (i > 0) expect([share > shares[i - 1]!, values[i]! >= values[i - 1]!]).toEqual([true, true]);
    });
    expect(new Distribution().curve(1)).toBeUndefined();
  });

  it("summarises by hand-computed numbers, in the unit asked for", () => {
    const distribution = new Distribution();
    for (const value of [4000, 1000, 3000, 2000]) distribution.add(value, 1);
    expect(distribution.summary(1e-3)).toEqual({
      mean: 2.5,
      median: 2.5,
      std: Math.sqrt(1.25),
      min: 1,
      max: 4,
      p75: 3.25,
      p90: 3.7,
      p95: expect.closeTo(3.85, 12) as number,
      p99: expect.closeTo(3.97, 12) as number,
    });
  });

  it("counts a weighted sample as that many", () => {
    const distribution = new Distribution();
    distribution.add(10, 99);
    distribution.add(20, 1);
    expect(distribution.summary(1)).toMatchObject({ mean: 10.1, median: 10, p99: expect.closeTo(10.1, 9) as number });
  });

  it("without samples is null throughout", () => {
    expect(Object.values(new Distribution().summary(1))).toEqual(new Array(9).fill(null));
  });

  it("beyond its limit keeps percentiles within 0.1 % and the rest exact", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { minLength: 200 }), (values) => {
        const distribution = new Distribution(100);
        for (const value of values) distribution.add(value, 1);
        expect(distribution.isExact).toBe(false);
        const sorted = [...values].sort((a, b) => a - b);
        for (const percent of [50, 99]) {
          const [found] = distribution.percentiles([percent]);
          // Interpolation between two ranks adds nothing: both ends are within the bound.
          expect(Math.abs(found! / percentile(sorted, percent) - 1)).toBeLessThan(0.001);
        }
        const { min, max, mean } = distribution.summary(1);
        expect([min, max]).toEqual([sorted[0], sorted.at(-1)]);
        expect(mean! / (values.reduce((a, b) => a + b) / values.length)).toBeCloseTo(1, 9);
      }),
      { numRuns: 200 },
    );
  });
});
