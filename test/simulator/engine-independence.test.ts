// The same bytes on every JavaScript engine: what the language leaves open is not used, and what is used is pinned by digests
// that another Node would have to meet.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ExpertRouting, RandomStream, syntheticTrace } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { integerPower } from "../../packages/simulator/src/integer-power.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));
}

function digest(values: Iterable<number>): string {
  return createHash("sha256").update(Float64Array.from(values)).digest("hex").slice(0, 16);
}

describe("determinism across engines", () => {
  // V8 has its own exp and log (fdlibm's, in software); powers go to the C library, which differs.
  it("no power but of two is taken with ** or Math.pow where times are computed", () => {
    const found = [...sources("packages/simulator/src"), ...sources("packages/planner/src")].flatMap((path) =>
      readFileSync(join(ROOT, path), "utf8")
        .split("\n")
        .map((line) => line.replace(/\/\/.*|^\s*\*.*|\/\*.*/, "").replaceAll(/\b(2|128) \*\* /g, ""))
        .filter((line) => /\*\*|Math\.(pow|hypot|cbrt|sin|cos|tan|atan2?|asin|acos|sinh|cosh)\b/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(found).toEqual([]);
  });

  it("integer powers are right", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 3000 }), (base, exponent) => {
        const expected = base ** exponent;
        const found = integerPower(base, exponent);
        // Every squaring may be off by half a unit in the last place, and doubles what was before.
        expect(Math.abs(found - expected)).toBeLessThanOrEqual(
          expected * exponent * 2 ** -52 + Number.MIN_VALUE * 2 ** 53,
        );
      }),
      { numRuns: 1000 },
    );
    expect([integerPower(3, 0), integerPower(3, 5), integerPower(0, 0), integerPower(0.5, 10)]).toEqual([
      1,
      243,
      1,
      2 ** -10,
    ]);
  });

  it("draws are these numbers on every Node", async () => {
    const stream = new RandomStream(7, "digest");
    const draw = (next: () => number) => digest(Array.from({ length: 20_000 }, next));
    expect(draw(() => stream.uniform())).toBe("3b87ce7d3efea35a");
    expect(draw(() => stream.exponential(3))).toBe("a706948a351458af");
    expect(draw(() => stream.normal())).toBe("fcbcb533a4e876e4");
    expect(draw(() => stream.gamma(0.4, 2))).toBe("4e7887621f16f709");
    expect(draw(() => stream.gamma(2.5, 2))).toBe("e890ea15d893f87b");
    const trace = syntheticTrace({
      requests: 5000,
      arrivals: { kind: "gamma", perSecond: 5, cv: 3 },
      input: { kind: "lognormal", median: 1000, sigma: 1, max: 100_000 },
      output: { kind: "exponential", mean: 200, max: 4000 },
      seed: 3,
    });
    const numbers: number[] = [];
    for await (const chunk of trace.chunks()) {
      for (const { arrivalUs, inputTokens, outputTokens } of chunk) numbers.push(arrivalUs, inputTokens, outputTokens);
    }
    expect(digest(numbers)).toBe("b3a24b242da3da64");
    const routing = new ExpertRouting(256, 8, 8, 0.35);
    const loads = [1, 7, 64, 1000, 8192].flatMap((tokens) => Object.values(routing.load(tokens)) as number[]);
    expect(digest([...routing.shares, ...loads])).toBe("f1d8a6c08fe8c81f");
  });
});
