import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { duration, timeAxis } from "../../packages/viz/app/format.ts";

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

describe("a time axis", () => {
  const textsOf = (fromUs: number, toUs: number, count: number): string[] => {
    const { ticks, text } = timeAxis(fromUs, toUs, count);
    return ticks.map(text);
  };

  it.each<[number, number, readonly string[]]>([
    [0, 50, ["0 µs", "10 µs", "20 µs", "30 µs", "40 µs", "50 µs"]],
    [0, 426.1e6, ["0 s", "100 s", "200 s", "300 s", "400 s"]],
    [0, 3500e6, ["0 min", "10 min", "20 min", "30 min", "40 min", "50 min"]],
    [0, 17_803e6, ["0:00 h", "1:00 h", "2:00 h", "3:00 h", "4:00 h"]],
    [3550e6, 3725e6, ["0:59:30 h", "1:00:00 h", "1:00:30 h", "1:01:00 h", "1:01:30 h", "1:02:00 h"]],
    [1300e6, 1312e6, ["21:40 min", "21:42 min", "21:44 min", "21:46 min", "21:48 min", "21:50 min", "21:52 min"]],
    [3600e6, 3603e6, ["3,600 s", "3,600.5 s", "3,601 s", "3,601.5 s", "3,602 s", "3,602.5 s", "3,603 s"]],
    [3600e6, 5400e6, ["1:00 h", "1:05 h", "1:10 h", "1:15 h", "1:20 h", "1:25 h", "1:30 h"]],
  ])("from %d to %d µs has round times in one unit", (fromUs, toUs, texts) => {
    expect(textsOf(fromUs, toUs, 6)).toEqual(texts);
  });

  it("has about as many ticks as asked for, all inside, whatever the span", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e12, noNaN: true }),
        fc.double({ min: 1, max: 5e12, noNaN: true }),
        fc.integer({ min: 2, max: 30 }),
        (from, span, count) => {
          const { ticks } = timeAxis(from, from + span, count);
          expect(ticks.length).toBeLessThanOrEqual(1.5 * count + 2);
          for (const tick of ticks) expect(tick >= from - 1e-3 && tick <= from + span + 1e-3).toBe(true);
          expect(new Set(ticks).size).toBe(ticks.length);
        },
      ),
    );
  });
});
