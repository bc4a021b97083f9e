import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { multiplyAdds, noticeOf } from "../../packages/cli/src/reference-time.ts";

const SHAPE = {
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  valueHeadDim: 4,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
} as const;

describe("the work of an execution", () => {
  it("is counted pair by pair of what the mask lets see", () => {
    const masks = fc.constantFrom(
      { kind: "full" } as const,
      { kind: "causal" } as const,
      { kind: "sliding-window", window: 3 } as const,
    );
    const lengths = fc.array(fc.tuple(fc.nat(6), fc.nat(9)), { maxLength: 5 });
    fc.assert(
      fc.property(masks, lengths, (mask, rows) => {
        const qoLens = rows.map(([qoLen]) => qoLen);
        const kvLens = rows.map(([, kvLen]) => kvLen);
        let pairs = 0;
        for (const [qoLen, kvLen] of rows) {
          for (let q = 0; q < qoLen; q++) {
            const position = kvLen - qoLen + q;
            for (let k = 0; k < kvLen; k++) {
              if (mask.kind === "full") pairs++;
              else if (k <= position && (mask.kind === "causal" || k > position - mask.window)) pairs++;
            }
          }
        }
        expect(multiplyAdds({ attention: { ...SHAPE, mask }, qoLens, kvLens })).toBe(pairs * 4 * 12);
      }),
      { numRuns: 1000 },
    );
  });

  it("is announced where it takes long, and not where it is done at once", () => {
    expect(noticeOf(4e8, 1.9)).toBeUndefined();
    expect(noticeOf(2.68e9, 20.2)).toBe("about 20 s: 2.7 billion multiply-adds in float64 on one core\n");
    expect(noticeOf(6.4e10, 400)).toBe("about 7 min: 64.0 billion multiply-adds in float64 on one core\n");
  });
});
