import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { duration } from "../../packages/viz/app/format.ts";

describe("a duration", () => {
  it.each([
    [0, "0 µs"],
    [0.25, "250 ns"],
    [150.04, "150.0 µs"],
    [59_990_000, "59.99 s"],
    [59_999_000, "1 min 00.0 s"],
    [119_980_000, "2 min 00.0 s"],
    [123_900_000, "2 min 03.9 s"],
    [3_600e6, "1 h 00 min 00 s"],
    [17_803.9e6, "4 h 56 min 43 s"],
  ])("of %d µs reads %s", (us, text) => {
    expect(duration(us)).toBe(text);
  });

  it("never has sixty of a part, and grows with its number", () => {
    fc.assert(
      fc.property(fc.double({ min: 60e6, max: 1e12, noNaN: true }), (us) => {
        const [, h = "0", min, s] = /^(?:([\d,]+) h )?(\d+) min ([\d.]+) s$/.exec(duration(us))!;
        expect(Number(min)).toBeLessThan(60);
        expect(Number(s)).toBeLessThan(60);
        const seconds = Number(h.replaceAll(",", "")) * 3600 + Number(min) * 60 + Number(s);
        expect(Math.abs(seconds - us / 1e6)).toBeLessThanOrEqual(h === "0" ? 0.0501 : 1);
      }),
      { numRuns: 1000 },
    );
  });
});
