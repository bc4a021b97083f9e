// Reads a JSON document and checks it against its schema; the first thing that is wrong becomes one line.

import { constants } from "node:buffer";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { InputError, nearestName, oneLine, systemReason } from "../errors.ts";

/** A schema of zod, as far as it is used here. */
export interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: { issues: readonly Issue[] } };
}

/** A zod issue. The fields after `message` depend on the code. */
export interface Issue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly expected?: unknown;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly minimum?: unknown;
  readonly maximum?: unknown;
  readonly inclusive?: boolean;
  readonly format?: string;
  /** What a union chooses by may be these. */
  readonly options?: readonly unknown[];
}

/** Standard input by the name that is usual for it; ./- is a file of that name. */
export const STDIN = "-";

/** Reads and checks `path`; `kind` is the document's own name, such as "batch/1". Throws InputError. */
export function readDocument<T>(path: string, kind: string, schema: Schema<T>): T {
  return checkDocument(readJson(path, kind), path, kind, schema);
}

/** Checks a value that came from `path`. */
export function checkDocument<T>(value: unknown, path: string, kind: string, schema: Schema<T>): T {
  if (documentKind(value) !== kind) throw wrongKind(value, path, `"${kind}"`);
  return checkValue(value, path, schema);
}

/** Checks a value that says nothing of its kind. */
export function checkValue<T>(value: unknown, path: string, schema: Schema<T>): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InputError(`${path}: ${explainIssue(result.error.issues[0]!, value, schema)}`);
}

/** A document that is of no kind that can be used here; `expected` names those that can. */
export function wrongKind(value: unknown, path: string, expected: string): InputError {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return new InputError(`${path}: found ${Array.isArray(value) ? "an array" : show(value)}, expected ${expected}`);
  }
  return new InputError(`${path}: field isochron: found ${show(documentKind(value))}, expected ${expected}`);
}

/** What a document says it is, or undefined. */
export function documentKind(value: unknown): unknown {
  return value !== null && typeof value === "object" && "isochron" in value ? value.isochron : undefined;
}

/** The JSON in a file, plain or gzip. `expected` names what should have been there. */
export function readJson(path: string, expected: string): unknown {
  return parseJson(readBytes(path), path, expected);
}

/** The JSON in the content of a file. */
export function parseJson(content: Buffer, path: string, expected: string): unknown {
  const text = textOf(content, path);
  if (text.trim() === "") throw new InputError(`${path}: is empty, expected a ${expected} document`);
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as SyntaxError;
    const offset = errorOffset(message, text);
    const place = offset === undefined ? path : `${path}:${text.slice(0, offset).split("\n").length}`;
    throw new InputError(`${place}: not JSON (${oneLine(message)}), expected a ${expected} document`);
  }
}

/** Letters that V8 quotes before the one that it stumbled over. */
const QUOTED_BEFORE = 10;

/** Where JSON.parse stopped: V8 says a position, quotes the place, or speaks of the end. Undefined where that is not unique. */
function errorOffset(message: string, text: string): number | undefined {
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return Number(position);
  if (/^Unexpected end/.test(message)) return text.trimEnd().length;
  const [, dots, quoted] = /^Unexpected .*?, (\.\.\.)?"(.*)"(?:\.\.\.)? is not valid JSON$/s.exec(message) ?? [];
  if (quoted === undefined) return undefined;
  const start = text.indexOf(quoted);
  if (start < 0 || text.indexOf(quoted, start + 1) >= 0) return undefined;
  if (dots !== undefined) return start + QUOTED_BEFORE;
  const [, token = ""] = /^Unexpected token '(.)'/su.exec(message) ?? [];
  return start + Math.max(0, quoted.lastIndexOf(token));
}

export function readText(path: string): string {
  return textOf(readBytes(path), path);
}

/** The content of a file, unpacked where it is gzip. Throws InputError. */
export function readBytes(path: string): Buffer {
  let content: Buffer;
  try {
    content = readFileSync(path === STDIN ? 0 : path);
  } catch (error) {
    throw new InputError(`${path === "" ? '""' : path === STDIN ? "standard input" : path}: ${systemReason(error)}`);
  }
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  try {
    return gunzipSync(content);
  } catch (error) {
    throw new InputError(`${path}: damaged or truncated gzip (${(error as Error).message})`);
  }
}

/** UTF-8 without a byte-order mark. */
function textOf(content: Buffer, path: string): string {
  if (content.length > constants.MAX_STRING_LENGTH) {
    const size = `${Math.round(content.length / 1e6)} MB of text`;
    throw new InputError(
      `${path}: has ${size}, more than can be read at once, expected a smaller file or the binary form (*.isoc)`,
    );
  }
  // Windows programs begin text with a byte-order mark.
  return content.toString("utf8").replace(/^\uFEFF/, "");
}

/** `field qoLens[3]: found -1, expected an integer ≥ 0` */
function explainIssue(issue: Issue, document: unknown, schema: Schema<unknown>): string {
  const field = issue.path.length === 0 ? "the document" : `field ${fieldName(issue.path)}`;
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, issue.path);
    const near = nearestName(String(issue.keys?.[0]), known);
    const hint = near === undefined ? "" : `; did you mean "${near}"?`;
    const expected = known.length === 0 ? "only known keys" : `only ${known.join(", ")}`;
    return `${field}: found the unknown key ${(issue.keys ?? []).map(show).join(", ")}, expected ${expected}${hint}`;
  }
  let value = document;
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    return `${field}: found a number too large for 64 bits, expected a finite one`;
  }
  return `${field}: found ${show(value)}, expected ${expectation(issue)}`;
}

/** The keys that a schema knows at a path; none where it is more than an object there. */
function keysAt(schema: Schema<unknown>, path: readonly PropertyKey[]): string[] {
  let inner: unknown = schema;
  for (const key of [...path, undefined]) {
    for (;;) {
      const wrapped = (inner as { readonly def?: { readonly innerType?: unknown } } | undefined)?.def?.innerType;
      if (wrapped === undefined) break;
      inner = wrapped;
    }
    if (key === undefined) break;
    const { shape, element } = (inner ?? {}) as { shape?: Record<PropertyKey, unknown>; element?: unknown };
    inner = typeof key === "number" ? element : shape?.[key];
  }
  return Object.keys((inner as { shape?: object } | undefined)?.shape ?? {});
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.expected === "int" ? "an integer" : `${article(String(issue.expected))}`;
    case "too_small":
      return `${issue.inclusive === false ? "more than" : "at least"} ${String(issue.minimum)}`;
    case "too_big":
      return `${issue.inclusive === false ? "less than" : "at most"} ${String(issue.maximum)}`;
    case "invalid_value":
      return `${(issue.values ?? []).length > 1 ? "one of " : ""}${(issue.values ?? []).map(show).join(", ")}`;
    default:
      if (issue.options !== undefined) return `one of ${issue.options.map(show).join(", ")}`;
      return oneLine(issue.message);
  }
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** ["mask", "kind"] → "mask.kind"; ["qoLens", 3] → "qoLens[3]". */
function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, "");
}

/** A value as the user wrote it, cut to a readable length. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
