import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BusyIndex, type LaneSamples } from "../../packages/viz/app/model/busy-index.ts";

/** Lanes of gaps and busy times, as [gap, length] pairs in units of 1/8 µs: sums are exact in float64. */
const lanes = fc.array(
  fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 })), { maxLength: 60 }),
  { minLength: 1, maxLength: 4 },
);

interface Slice {
  readonly start: number;
  readonly end: number;
}

function build(shape: readonly (readonly (readonly [number, number])[])[]): {
  index: BusyIndex;
  slices: Slice[][];
  span: number;
} {
  const slices = shape.map((pairs) => {
    let at = 0;
    return pairs.map(([gap, length]) => {
      const start = at + gap / 8;
      at = start + length / 8;
      return { start, end: at };
    });
  });
  const offset = new Int32Array(slices.length + 1);
  slices.forEach((lane, l) => {
    offset[l + 1] = offset[l]! + lane.length;
  });
  const all = slices.flat();
  const span = Math.max(1, ...all.map((slice) => slice.end));
  const index = new BusyIndex({
    laneCount: slices.length,
    offset,
    start: Float64Array.from(all, (slice) => slice.start),
    end: Float64Array.from(all, (slice) => slice.end),
    spanUs: span,
  });
  return { index, slices, span };
}

function busyByScan(slices: readonly Slice[], from: number, to: number): number {
  return slices.reduce((sum, slice) => sum + Math.max(0, Math.min(slice.end, to) - Math.max(slice.start, from)), 0);
}

const samples = (columns: number): LaneSamples => ({
  share: new Float32Array(columns),
  slice: new Int32Array(columns),
  longest: new Float32Array(columns),
});

describe("the busy index", () => {
  it("gives the busy time of any span exactly as a scan does", () => {
    fc.assert(
      fc.property(lanes, fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 400 }), (shape, a, b) => {
        const { index, slices } = build(shape);
        const [from, to] = [Math.min(a, b) / 8, Math.max(a, b) / 8];
        slices.forEach((lane, l) => {
          expect(index.busyIn(l, from, to)).toBe(busyByScan(lane, from, to));
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it("fills pixel columns with the share that a scan finds", () => {
    fc.assert(
      fc.property(lanes, fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 200 }), (shape, at, length) => {
        const { index, slices } = build(shape);
        const columns = 37;
        const out = samples(columns);
        const [from, to] = [at / 8, (at + length) / 8];
        const width = (to - from) / columns;
        slices.forEach((lane, l) => {
          index.sampleLane(l, from, to, columns, out);
          for (let c = 0; c < columns; c++) {
            const share = busyByScan(lane, from + c * width, from + (c + 1) * width) / width;
            expect(out.share[c]).toBeCloseTo(share, 4);
            if (share > 1e-6) expect(out.slice[c]).toBeGreaterThanOrEqual(0);
          }
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it("shows the same through its pyramid as through the slices, at every zoom", () => {
    // 20,000 slices in one lane: the pyramid has several levels.
    const pairs = Array.from({ length: 20_000 }, (_, i) => [(i * 7) % 5, 1 + ((i * 13) % 9)] as const);
    const { index, slices, span } = build([pairs]);
    const columns = 200;
    const out = samples(columns);
    for (const zoom of [1, 3, 10, 40, 150, 1_000]) {
      const from = span * 0.37;
      const to = from + span / zoom / 2;
      index.sampleLane(0, from, to, columns, out);
      const width = (to - from) / columns;
      for (let c = 0; c < columns; c += 7) {
        const share = busyByScan(slices[0]!, from + c * width, from + (c + 1) * width) / width;
        // A column that covers two buckets may be off by what one bucket's edges hold.
        expect(Math.abs(out.share[c]! - share)).toBeLessThan(0.35);
      }
      const mean = out.share.reduce((sum, share) => sum + share, 0) / columns;
      expect(mean).toBeCloseTo(busyByScan(slices[0]!, from, to) / (to - from), 1);
    }
  });

  it("never loses a lone sliver of work, however far the picture is zoomed out", () => {
    const pairs = [[80_000, 0], ...Array.from({ length: 5_000 }, () => [0, 0] as const), [0, 1], [80_000, 0]] as const;
    const { index } = build([pairs]);
    const out = samples(64);
    index.sampleLane(0, 0, 20_000, 64, out);
    expect(out.share.some((share) => share > 0)).toBe(true);
    expect(out.slice.some((slice) => slice >= 0)).toBe(true);
  });

  it("finds the slice under a time, and the nearest within the slack", () => {
    fc.assert(
      fc.property(lanes, fc.integer({ min: 0, max: 400 }), (shape, at) => {
        const { index, slices } = build(shape);
        const time = at / 8 + 1 / 16;
        let base = 0;
        slices.forEach((lane, l) => {
          const expected = lane.findIndex((slice) => slice.start <= time && slice.end >= time);
          const found = index.sliceAt(l, time, 0);
          if (expected >= 0) expect(found).toBe(base + expected);
          else expect(found).toBe(-1);
          base += lane.length;
        });
      }),
      { numRuns: 1_000 },
    );
    const { index } = build([[[8, 8]]]);
    expect(index.sliceAt(0, 0.5, 0.25)).toBe(-1);
    expect(index.sliceAt(0, 0.5, 0.75)).toBe(0);
  });
});
