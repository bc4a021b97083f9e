// A trace that cannot be used, and exactly where.

export interface TraceProblem {
  readonly file: string;
  /** From 1; 0 when the file as a whole is meant. */
  readonly line: number;
  /** Column or key; empty when the line as a whole is meant. */
  readonly field: string;
  /** What stands there, shortened. */
  readonly value: string;
  readonly expected: string;
  /** Whether one record is wrong, which can be left out, and not the file as such. */
  readonly isOneRecord?: boolean;
  /** Whether the columns or keys are those of no known format. */
  readonly isUnknownFormat?: boolean;
}

export class TraceError extends Error {
  override readonly name = "TraceError";
  readonly file: string;
  readonly line: number;
  readonly field: string;
  readonly value: string;
  readonly expected: string;
  readonly isOneRecord: boolean;
  readonly isUnknownFormat: boolean;

  constructor(problem: TraceProblem) {
    const place = problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file;
    const found = problem.value === "" ? "" : ` ${problem.field === "keys" ? "are" : "is"} ${problem.value}`;
    const subject = problem.field === "" ? `found ${problem.value || "nothing"}` : `${problem.field}${found}`;
    super(`${place}: ${subject}, expected ${problem.expected}`);
    this.file = problem.file;
    this.line = problem.line;
    this.field = problem.field;
    this.value = problem.value;
    this.expected = problem.expected;
    this.isOneRecord = problem.isOneRecord === true;
    this.isUnknownFormat = problem.isUnknownFormat === true;
  }
}

/** What a parser finds wrong with a line; the reader adds where it was. */
export class LineError extends Error {
  override readonly name = "LineError";
  readonly field: string;
  readonly value: string;
  readonly expected: string;

  constructor(field: string, value: unknown, expected: string) {
    super(`${field}: expected ${expected}`);
    this.field = field;
    this.value = shorten(value);
    this.expected = expected;
  }
}

export function shorten(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : value === undefined ? "missing" : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
