// Reads a JSON document and checks it against its schema; the first thing that is wrong becomes one line.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { InputError, oneLine, systemReason } from "../errors.ts";

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
}

/** Reads and checks `path`; `kind` is the document's own name, such as "batch/1". Throws InputError. */
export function readDocument<T>(path: string, kind: string, schema: Schema<T>): T {
  return checkDocument(readJson(path, kind), path, kind, schema);
}

/** Checks a value that came from `path`. */
export function checkDocument<T>(value: unknown, path: string, kind: string, schema: Schema<T>): T {
  const found = documentKind(value);
  if (found !== kind) {
    throw new InputError(`${path}: field isochron: found ${show(found)}, expected "${kind}"`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InputError(`${path}: ${explainIssue(result.error.issues[0]!, value)}`);
}

/** What a document says it is, or undefined. */
export function documentKind(value: unknown): unknown {
  return value !== null && typeof value === "object" && "isochron" in value ? value.isochron : undefined;
}

/** The JSON in a file, plain or gzip. `expected` names what should have been there. */
export function readJson(path: string, expected: string): unknown {
  const text = readText(path);
  if (text.trim() === "") throw new InputError(`${path}: is empty, expected a ${expected} document`);
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = (error as SyntaxError).message;
    const offset = /position (\d+)/.exec(message)?.[1];
    const line = text.slice(0, offset === undefined ? text.length : Number(offset)).split("\n").length;
    throw new InputError(`${path}:${line}: not JSON (${oneLine(message)}), expected a ${expected} document`);
  }
}

export function readText(path: string): string {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new InputError(`${path}: ${systemReason(error)}`);
  }
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content.toString("utf8");
  try {
    return gunzipSync(content).toString("utf8");
  } catch (error) {
    throw new InputError(`${path}: damaged or truncated gzip (${(error as Error).message})`);
  }
}

/** `field qoLens[3]: found -1, expected an integer ≥ 0` */
function explainIssue(issue: Issue, document: unknown): string {
  const field = issue.path.length === 0 ? "the document" : `field ${fieldName(issue.path)}`;
  if (issue.code === "unrecognized_keys") {
    return `${field}: found the unknown key ${(issue.keys ?? []).map(show).join(", ")}, expected only known keys`;
  }
  let value = document;
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  return `${field}: found ${show(value)}, expected ${expectation(issue)}`;
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
