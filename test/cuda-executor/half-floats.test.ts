import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBits, toBits } from "../../packages/cuda-executor/src/tensors.ts";

describe("16-bit floats", () => {
  it.each(["bf16", "fp16"] as const)("of every finite %s pattern survive a round trip", (dtype) => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i).filter((word) => {
      const exponent = dtype === "bf16" ? (word >> 7) & 0xff : (word >> 10) & 0x1f;
      return exponent !== (dtype === "bf16" ? 0xff : 0x1f);
    });
    expect(toBits(fromBits(patterns, dtype), dtype)).toEqual(patterns);
  });

  it.each(["bf16", "fp16"] as const)("of %s are the nearest to what was given", (dtype) => {
    const finite = fc.float({ min: -60_000, max: 60_000, noNaN: true });
    fc.assert(
      fc.property(finite, (x) => {
        const bits = toBits(Float32Array.of(x), dtype);
        const distance = (word: number): number => Math.abs(fromBits(Uint16Array.of(word), dtype)[0]! - x);
        const magnitude = bits[0]! & 0x7fff;
        const sign = bits[0]! & 0x8000;
        for (const neighbour of [magnitude - 1, magnitude + 1]) {
          if (neighbour >= 0) expect(distance(bits[0]!)).toBeLessThanOrEqual(distance(sign | neighbour));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
