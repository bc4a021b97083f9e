// What all errors about a value have in common: where it stands, what was found there, and what may stand there.

/** A value that cannot be used. */
export abstract class FieldError extends Error {
  /** Path of the field, such as "kvLens[3]" or "costModel.queryTiles[1].rows". */
  readonly field: string;
  /** What was found there. */
  readonly value: unknown;
  /** What may stand there, as the end of a sentence. */
  readonly expected: string;

  constructor(field: string, value: unknown, expected: string) {
    super(`${field} is ${found(value)}, expected ${expected}`);
    this.field = field;
    this.value = value;
    this.expected = expected;
  }
}

/** An error about a field, of the kind that the caller throws. */
type FieldErrorClass = new (field: string, value: unknown, expected: string) => FieldError;

/** Programs in JavaScript leave things out; they are told what, not that a property of undefined cannot be read. */
export function requireObject(kind: FieldErrorClass, field: string, value: unknown, expected: string): void {
  if (!isObject(value)) throw new kind(field, value, expected);
}

export function requireInteger(kind: FieldErrorClass, field: string, value: unknown, low: number, high: number): void {
  if (typeof value !== "number" || !Number.isInteger(value) || value < low || value > high) {
    throw new kind(field, value, low === high ? `${low}` : `an integer from ${low} to ${high}`);
  }
}

/** Whether a value can have fields. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** A value as part of a sentence. */
export function found(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  return isObject(value) ? "an object" : String(value);
}
