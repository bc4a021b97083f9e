// Packed columns: any array of numbers in a document may stand as typed-array bytes instead of JSON numbers.
//
// A packed column is `{ "$column": type, "length": n, … }` with its little-endian bytes either inline (`base64`) or in the
// data part of a binary file (`offset`, bytes). `"$column": "runs"` holds `[value, count, value, count, …]`: a timeline is
// sorted by worker, so its worker and SM columns are a few runs however many slices there are. Packing is exact: a type is
// chosen only if every number comes back as it was. This file runs in Node and in the page.

import type { Timeline } from "@isochron/planner";
import { makeOverview } from "./overview.ts";

export const COLUMN_TYPES: {
  readonly uint8: Uint8ArrayConstructor;
  readonly int8: Int8ArrayConstructor;
  readonly uint16: Uint16ArrayConstructor;
  readonly int16: Int16ArrayConstructor;
  readonly int32: Int32ArrayConstructor;
  readonly uint32: Uint32ArrayConstructor;
  readonly float32: Float32ArrayConstructor;
  readonly float64: Float64ArrayConstructor;
} = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
};

export type ColumnType = keyof typeof COLUMN_TYPES;
export type Column =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;

export interface PackedColumn {
  readonly $column: ColumnType | "runs";
  readonly length: number;
  readonly base64?: string;
  /** Bytes from the start of the data part. */
  readonly offset?: number;
  readonly runs?: readonly number[];
}

/** First eight bytes of a binary document; then the header's length (uint32), the header (JSON), padding, the data part. */
export const BINARY_MAGIC = "ISOCDOC1";

/** Chosen: shorter arrays are smaller and easier to read as JSON. */
const MIN_PACKED_LENGTH = 64;

/** Chosen: two columns of times as long as this fill 1.6 GB; a file of a few bytes must not ask for more. */
const MAX_LENGTH = 100_000_000;

/** Chosen: a column with more runs is packed as it is; looking for them must not cost memory. */
const MAX_RUNS = 65_536;

/** Smallest type that holds every number exactly, or null where the array is not numbers alone. */
export function columnTypeOf(values: ArrayLike<unknown>): ColumnType | null {
  let low = 0;
  let high = 0;
  let integers = true;
  let single = true;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value !== "number" || !Number.isFinite(value)) return null;
    if (value < low) low = value;
    if (value > high) high = value;
    if (integers && !Number.isInteger(value)) integers = false;
    if (single && Math.fround(value) !== value) single = false;
  }
  if (integers && low >= 0) {
    if (high < 2 ** 8) return "uint8";
    if (high < 2 ** 16) return "uint16";
    if (high < 2 ** 32) return "uint32";
  } else if (integers) {
    if (low >= -(2 ** 7) && high < 2 ** 7) return "int8";
    if (low >= -(2 ** 15) && high < 2 ** 15) return "int16";
    if (low >= -(2 ** 31) && high < 2 ** 31) return "int32";
  }
  return single ? "float32" : "float64";
}

/** The runs of a column, or null where they would be longer than a quarter of it. */
function runsOf(values: ArrayLike<number>): number[] | null {
  const runs: number[] = [];
  const limit = Math.min(values.length >> 2, MAX_RUNS);
  for (let i = 0; i < values.length; ) {
    const value = values[i]!;
    let next = i + 1;
    while (next < values.length && values[next] === value) next++;
    runs.push(value, next - i);
    if (runs.length > limit) return null;
    i = next;
  }
  return runs;
}

function isNumericArray(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** A copy of `value` in which `pack` has replaced every numeric array of at least 64 numbers that can be packed. */
function mapColumns(value: unknown, pack: (bytes: Uint8Array) => Partial<PackedColumn>): unknown {
  if (isNumericArray(value)) {
    if (value.length >= MIN_PACKED_LENGTH) {
      const type = columnTypeOf(value);
      if (type !== null) {
        const numbers = value as ArrayLike<number>;
        const runs = runsOf(numbers);
        if (runs !== null) return { $column: "runs", length: value.length, runs };
        const array = value instanceof COLUMN_TYPES[type] ? value : COLUMN_TYPES[type].from(numbers);
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        return { $column: type, length: value.length, ...pack(bytes) };
      }
    }
    return Array.from(value, (entry) => mapColumns(entry, pack));
  }
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, mapColumns(entry, pack)]));
  }
  return value;
}

/** A document with its long arrays as base64: what a page embeds. `toBase64` is the caller's (Buffer or btoa). */
export function packDocument(document: unknown, toBase64: (bytes: Uint8Array) => string): unknown {
  return mapColumns(document, (bytes) => ({ base64: toBase64(bytes) }));
}

/**
 * The binary form of a document: a header in JSON and its long arrays as raw bytes, each at a multiple of 8. A timeline of
 * at least `overviewAbove` slices brings an overview along: `$overview` in the header, whose columns and those of all other
 * fields come before the slices, in the first `$overview.bytes` of the data part.
 */
export function encodeBinaryDocument(document: unknown, overviewAbove?: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let dataBytes = 0;
  const pack = (bytes: Uint8Array): Partial<PackedColumn> => {
    const offset = dataBytes;
    parts.push(bytes);
    dataBytes = align8(dataBytes + bytes.length);
    return { offset };
  };
  const overview = isTimeline(document) ? makeOverview(document, overviewAbove) : null;
  let packed: unknown;
  if (overview === null) packed = mapColumns(document, pack);
  else {
    const { slices, ...rest } = document as Timeline;
    const first = mapColumns({ ...rest, $overview: overview }, pack) as { $overview: object };
    const bytes = dataBytes;
    packed = { ...first, $overview: { ...first.$overview, bytes }, slices: mapColumns(slices, pack) };
  }
  const header = new TextEncoder().encode(JSON.stringify(packed));
  const dataStart = align8(12 + header.length);
  const file = new Uint8Array(dataStart + dataBytes);
  file.set(new TextEncoder().encode(BINARY_MAGIC), 0);
  new DataView(file.buffer).setUint32(8, header.length, true);
  file.set(header, 12);
  let at = dataStart;
  for (const part of parts) {
    file.set(part, at);
    at = align8(at + part.length);
  }
  return file;
}

/** Whether a file is in the binary form, of whichever version: the last character of its first eight. */
export function isBinaryDocument(bytes: Uint8Array): boolean {
  for (let i = 0; i < BINARY_MAGIC.length - 1; i++) if (bytes[i] !== BINARY_MAGIC.charCodeAt(i)) return false;
  return true;
}

function versionOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, BINARY_MAGIC.length));
}

function isTimeline(document: unknown): document is Timeline {
  return (
    typeof document === "object" && document !== null && "isochron" in document && document.isochron === "timeline/1"
  );
}

/** Where the data part of a binary file begins, and its header. Null while `bytes` do not hold all of it. */
export function readBinaryHeader(bytes: Uint8Array): { header: unknown; dataStart: number } | null {
  if (bytes.length < 12 || versionOf(bytes) !== BINARY_MAGIC) return null;
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(8, true);
  if (12 + headerBytes > bytes.length) return null;
  const header: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + headerBytes)));
  return { header, dataStart: align8(12 + headerBytes) };
}

/** Reads the binary form; columns are views into `bytes` where alignment allows. Throws Error with what is wrong. */
export function decodeBinaryDocument(bytes: Uint8Array): unknown {
  if (bytes.length < 12) throw new Error(`the file ends after ${bytes.length} bytes, inside its header`);
  if (versionOf(bytes) !== BINARY_MAGIC) {
    throw new Error(
      `the file is in the binary form ${JSON.stringify(versionOf(bytes))}, and only ${BINARY_MAGIC} can be read`,
    );
  }
  const read = readBinaryHeader(bytes);
  if (read === null) throw new Error(`the file ends after ${bytes.length} bytes, inside its header: it is cut off`);
  const { header, dataStart } = read;
  if (typeof header === "object" && header !== null && "$overview" in header) delete header.$overview;
  return unpackDocument(header, bytes.subarray(dataStart));
}

/** Puts typed arrays in the place of packed columns. `data` is the data part of a binary file. */
export function unpackDocument(value: unknown, data: Uint8Array = new Uint8Array(0)): unknown {
  if (Array.isArray(value)) {
    return value.some((entry) => typeof entry === "object" && entry !== null)
      ? value.map((entry) => unpackDocument(entry, data))
      : value;
  }
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if ("$column" in value) return unpackColumn(value as PackedColumn, data);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, unpackDocument(entry, data)]));
}

function unpackColumn(column: PackedColumn, data: Uint8Array): Column {
  const { length } = column;
  if (!Number.isInteger(length) || length < 0) throw new Error(`a packed column has length ${String(length)}`);
  if (length > MAX_LENGTH) {
    throw new Error(`a packed column has ${length} entries, and at most ${MAX_LENGTH} can be shown`);
  }
  if (column.$column === "runs") return unpackRuns(column.runs, length);
  const type = Object.hasOwn(COLUMN_TYPES, column.$column) ? COLUMN_TYPES[column.$column] : undefined;
  if (type === undefined) throw new Error(`a packed column has the unknown type ${JSON.stringify(column.$column)}`);
  const byteLength = length * type.BYTES_PER_ELEMENT;
  let bytes: Uint8Array;
  if (column.base64 !== undefined) {
    bytes = fromBase64(column.base64);
  } else {
    const offset = column.offset ?? 0;
    bytes = data.subarray(offset, offset + byteLength);
  }
  if (bytes.length !== byteLength) {
    throw new Error(`a packed column should have ${byteLength} bytes and has ${bytes.length}: the file is cut off`);
  }
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, length);
}

function unpackRuns(runs: readonly number[] | undefined, length: number): Column {
  if (!Array.isArray(runs) || runs.length % 2 !== 0) throw new Error("a packed column of runs has no pairs");
  const values = runs.filter((_, i) => i % 2 === 0) as number[];
  const type = columnTypeOf(values);
  if (type === null) throw new Error("a packed column of runs holds something that is not a number");
  const column = new COLUMN_TYPES[type](length);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const count = runs[i + 1] as number;
    if (!Number.isInteger(count) || count < 1 || at + count > length) {
      throw new Error(`the runs of a packed column do not add up to its length ${length}`);
    }
    column.fill(runs[i] as number, at, at + count);
    at += count;
  }
  if (at !== length) throw new Error(`the runs of a packed column do not add up to its length ${length}`);
  return column;
}

function align8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** The bytes of base64. A plain loop: an iterator over its characters took a second for a replay of 300,000 requests. */
export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  const characters = atob(base64);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}
