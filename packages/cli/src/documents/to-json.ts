// A document as the one line that is printed or written.

/** JSON with typed arrays as arrays, ended by a line break. */
export function toJson(document: unknown): string {
  return `${JSON.stringify(document, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as never) : value))}\n`;
}
