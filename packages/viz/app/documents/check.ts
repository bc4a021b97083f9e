// The page's own validators: small readers of untrusted values that throw a DocumentProblem naming the field.

import type { Column } from "../../src/columns.ts";
import { DocumentProblem } from "./problem.ts";

// Finite on purpose: 1e999 in JSON reads as Infinity, and no field may be infinite.
const LOWEST = -Number.MAX_VALUE;
const HIGHEST = Number.MAX_VALUE;

export type Numbers = readonly number[] | Column;

/** A place in a document: the file it is in and the path to the field. */
export class Field {
  readonly file: string;
  readonly path: string;
  readonly value: unknown;

  constructor(file: string, path: string, value: unknown) {
    this.file = file;
    this.path = path;
    this.value = value;
  }

  fail(expected: string, found = describe(this.value)): never {
    throw new DocumentProblem(this.file, `${this.path} is ${found}`, expected);
  }

  get(key: string): Field {
    const object = this.object();
    const path = this.path === "" ? key : `${this.path}.${key}`;
    return new Field(this.file, path, Object.hasOwn(object, key) ? object[key] : undefined);
  }

  get missing(): boolean {
    return this.value === undefined;
  }

  object(): Record<string, unknown> {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) this.fail("an object");
    return this.value as Record<string, unknown>;
  }

  items(): Field[] {
    if (!Array.isArray(this.value)) this.fail("an array");
    return (this.value as unknown[]).map((value, i) => new Field(this.file, `${this.path}[${i}]`, value));
  }

  string(): string {
    if (typeof this.value !== "string") this.fail("a text");
    return this.value as string;
  }

  oneOf<T extends string>(allowed: readonly T[]): T {
    if (!allowed.includes(this.value as T)) this.fail(`one of ${allowed.map((name) => `"${name}"`).join(", ")}`);
    return this.value as T;
  }

  boolean(): boolean {
    if (typeof this.value !== "boolean") this.fail("true or false");
    return this.value as boolean;
  }

  number(low = LOWEST, high = HIGHEST): number {
    const value = this.value;
    if (typeof value !== "number" || !Number.isFinite(value) || value < low || value > high) {
      this.fail(`a number${range(low, high)}`);
    }
    return value as number;
  }

  integer(low: number, high: number = Number.MAX_SAFE_INTEGER): number {
    if (!Number.isInteger(this.value)) this.fail(`an integer${range(low, high)}`);
    return this.number(low, high);
  }

  nullable(): number | null {
    return this.value === null ? null : this.number();
  }

  /** An array of finite numbers in [low, high], all integers where asked; `length` where it is known. */
  numbers(
    options: { low?: number; high?: number; integers?: boolean; length?: number; nulls?: boolean } = {},
  ): Numbers {
    const { low = LOWEST, high = HIGHEST, integers = false, length, nulls } = options;
    const values = this.value;
    if (!Array.isArray(values) && !ArrayBuffer.isView(values)) this.fail("an array of numbers");
    const column = values as readonly unknown[];
    if (length !== undefined && column.length !== length) {
      throw new DocumentProblem(
        this.file,
        `${this.path} has ${column.length} entries`,
        `${length}, because all columns have the same length`,
      );
    }
    const wrong = ArrayBuffer.isView(values)
      ? firstOutside(values as Column, low, high, integers)
      : firstWrong(column, low, high, integers, nulls === true);
    if (wrong >= 0) {
      const expected = `${integers ? "an integer" : "a number"}${range(low, high)}`;
      new Field(this.file, `${this.path}[${wrong}]`, column[wrong]).fail(expected);
    }
    return column as Numbers;
  }
}

/** First entry that is not as asked, −1 for none. */
function firstWrong(column: readonly unknown[], low: number, high: number, integers: boolean, nulls: boolean): number {
  for (let i = 0; i < column.length; i++) {
    const value = column[i];
    if (nulls && value === null) continue;
    if (typeof value !== "number" || !(value >= low && value <= high) || (integers && !Number.isInteger(value)))
      return i;
  }
  return -1;
}

/** The same for a typed array, whose entries are numbers: millions are looked at in one plain loop. */
function firstOutside(column: Column, low: number, high: number, integers: boolean): number {
  const floats = column instanceof Float32Array || column instanceof Float64Array;
  const whole = integers && floats;
  if (column instanceof Uint8Array && low <= 0 && high >= 255) return -1;
  if (column instanceof Uint16Array && low <= 0 && high >= 65_535) return -1;
  for (let i = 0; i < column.length; i++) {
    const value = column[i]!;
    if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) return i;
  }
  return -1;
}

function range(low: number, high: number): string {
  if (low === LOWEST && high === HIGHEST) return "";
  if (high === HIGHEST || high === Number.MAX_SAFE_INTEGER) return ` of at least ${low}`;
  if (low === LOWEST) return ` of at most ${high}`;
  return ` from ${low} to ${high}`;
}

/** A short, safe description of an untrusted value. */
export function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (typeof value === "string")
    return value.length > 40 ? `${JSON.stringify(value.slice(0, 40))}…` : JSON.stringify(value);
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return "an array";
  if (typeof value === "object") return "an object";
  return String(value);
}
