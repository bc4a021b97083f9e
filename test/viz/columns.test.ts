import { encodeBinaryDocument } from "@isochron/viz";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  COLUMN_TYPES,
  columnTypeOf,
  decodeBinaryDocument,
  isBinaryDocument,
  packDocument,
  unpackDocument,
} from "../../packages/viz/src/columns.ts";

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, entry) => (ArrayBuffer.isView(entry) ? Array.from(entry as Uint8Array) : entry)),
  );

const numbers = fc.oneof(
  fc.array(fc.integer({ min: -3, max: 400 }), { maxLength: 200 }),
  fc.array(fc.integer({ min: -(2 ** 33), max: 2 ** 33 }), { maxLength: 200 }),
  fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 200 }).map((all) => all.map((x) => x + 0)),
  fc
    .tuple(fc.integer(), fc.integer({ min: 0, max: 300 }))
    .map(([value, count]) => new Array<number>(count).fill(value)),
);
const documents = fc.record({
  name: fc.string(),
  deep: fc.record({ a: numbers, b: numbers }),
  list: fc.array(numbers),
});

describe("packed columns", () => {
  it("give every document back as it was, as base64 in JSON", () => {
    fc.assert(
      fc.property(documents, (document) => {
        const text = JSON.stringify(packDocument(document, toBase64));
        expect(plain(unpackDocument(JSON.parse(text)))).toEqual(plain(document));
      }),
      { numRuns: 500 },
    );
  });

  it("give every document back as it was, in the binary form", () => {
    fc.assert(
      fc.property(documents, (document) => {
        const file = encodeBinaryDocument(document);
        expect(isBinaryDocument(file)).toBe(true);
        expect(plain(decodeBinaryDocument(file))).toEqual(plain(document));
      }),
      { numRuns: 500 },
    );
  });

  it("choose the smallest type that is exact", () => {
    expect(columnTypeOf([0, 255])).toBe("uint8");
    expect(columnTypeOf([0, 256])).toBe("uint16");
    expect(columnTypeOf([-1, 127])).toBe("int8");
    expect(columnTypeOf([-1, 40_000])).toBe("int32");
    expect(columnTypeOf([0, 2 ** 31])).toBe("uint32");
    expect(columnTypeOf([0.5])).toBe("float32");
    expect(columnTypeOf([0.1])).toBe("float64");
    expect(columnTypeOf([1, null])).toBeNull();
    expect(columnTypeOf([Number.NaN])).toBeNull();
  });

  it("hold a sorted worker column in a few runs", () => {
    const worker = Array.from({ length: 10_000 }, (_, i) => Math.floor(i / 100));
    expect(encodeBinaryDocument({ worker }).length).toBeLessThan(2_000);
  });

  it("refuse a file that is cut off anywhere in its data, and never return half a column", () => {
    const times = Array.from({ length: 1_000 }, (_, i) => i * 0.1);
    const file = encodeBinaryDocument({ times });
    fc.assert(
      fc.property(fc.integer({ min: 8, max: file.length - 1 }), (length) => {
        expect(() => decodeBinaryDocument(file.slice(0, length))).toThrow();
      }),
    );
  });

  it("refuse unknown types, lengths that are none, and runs that do not add up", () => {
    const read = (column: object) => () => unpackDocument({ column });
    expect(read({ $column: "int128", length: 1, base64: "" })).toThrow(/unknown type "int128"/);
    expect(read({ $column: "constructor", length: 1, base64: "" })).toThrow(/unknown type/);
    expect(read({ $column: "uint8", length: -1, base64: "" })).toThrow(/length -1/);
    expect(read({ $column: "uint8", length: 5, base64: "AAA=" })).toThrow(/should have 5 bytes and has 2/);
    expect(read({ $column: "runs", length: 5, runs: [1, 4] })).toThrow(/do not add up/);
    expect(read({ $column: "runs", length: 5, runs: [1, 6] })).toThrow(/do not add up/);
    expect(read({ $column: "runs", length: 5, runs: [1, 2.5, 1, 2.5] })).toThrow(/do not add up/);
    expect(Object.keys(COLUMN_TYPES)).toHaveLength(8);
  });
});
