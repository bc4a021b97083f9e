// A sweep document that says something impossible: where, what stands there, and what was expected.

export class SweepError extends Error {
  override readonly name = "SweepError";
  /** Path inside the document, such as `axes.tp[2]`. */
  readonly field: string;
  readonly value: unknown;
  readonly expected: string;

  constructor(field: string, value: unknown, expected: string) {
    super(`field ${field}: found ${JSON.stringify(value) ?? "nothing"}, expected ${expected}`);
    this.field = field;
    this.value = value;
    this.expected = expected;
  }
}
