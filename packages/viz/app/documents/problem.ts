// What is wrong with a file, for the person who opened it: which file, what was found, what was expected, what to do.

export class DocumentProblem extends Error {
  override readonly name = "DocumentProblem";
  readonly file: string;
  readonly found: string;
  readonly expected: string;

  constructor(file: string, found: string, expected: string) {
    super(`${file}: ${found}. Expected ${expected}.`);
    this.file = file;
    this.found = found;
    this.expected = expected;
  }
}
