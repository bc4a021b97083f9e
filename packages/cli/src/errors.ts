// Makes one line of whatever went wrong: file, line, field, value found, what was expected.

import { closest, distance } from "fastest-levenshtein";
import { ExitCode } from "./context.ts";

/** The user's input cannot be used. The message is the line that is printed. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** A name that is in none of our tables, with the nearest one that is. `found` reads like `unknown model`. */
export function unknownName(found: string, name: string, known: readonly string[]): InputError {
  const near = nearestName(name, known);
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  return new InputError(`${found} "${oneLine(name)}"${hint} (known: ${known.join(", ")})`);
}

/** A name that begins so, or one within a third of the letters, or undefined: a far-fetched suggestion is worse than none. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const lower = name.trim().toLowerCase();
  if (known.length === 0 || lower.length < 2) return undefined;
  const begun = known.find((one) => one.toLowerCase().startsWith(lower));
  if (begun !== undefined) return begun;
  const near = closest(lower, [...known]);
  // One letter of a short word must be right.
  const most = Math.min(lower.length - 1, Math.max(2, Math.floor(near.length / 3)));
  return distance(lower, near) <= most ? near : known.find((one) => one.includes(lower));
}

export interface Explanation {
  readonly line: string;
  readonly exitCode: number;
}

/** The line and the exit code for an error of any kind. Never a stack trace. */
export function explain(error: unknown): Explanation {
  if (!(error instanceof Error)) return { line: `unexpected error: ${oneLine(String(error))}`, exitCode: ExitCode.bug };
  if (error.name === "AbortError") return { line: "stopped, nothing was written", exitCode: ExitCode.interrupted };
  if (isExpected(error)) return { line: `${oneLine(error.message)}${traceHint(error)}`, exitCode: ExitCode.badInput };
  const system = systemErrorLine(error);
  if (system !== undefined) return { line: system, exitCode: ExitCode.badInput };
  return {
    line: `unexpected error: ${oneLine(error.message)} (run again with --debug for the stack trace)`,
    exitCode: ExitCode.bug,
  };
}

/** What to do where a line of a trace is bad, or no format has its columns: every command that reads traces has the flags. */
function traceHint(error: Error): string {
  const { isOneRecord, isUnknownFormat } = error as { isOneRecord?: boolean; isUnknownFormat?: boolean };
  if (isOneRecord === true) return "; --skip-invalid leaves such lines out";
  return isUnknownFormat === true ? "; --columns names those of a log of your own" : "";
}

/**
 * Errors that our packages throw on purpose carry a name of their own; JavaScript's (TypeError, RangeError, …) are bugs.
 * Names, not classes: an error may come from another copy of a package, and the CUDA package may be absent.
 */
function isExpected(error: Error): boolean {
  return error.name !== "Error" && !BUILT_IN_ERRORS.has(error.name) && !isSystemError(error);
}

const BUILT_IN_ERRORS = new Set([
  "AggregateError",
  "AssertionError",
  "DataCloneError",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "SystemError",
  "TypeError",
  "URIError",
]);

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "is a directory, expected a file",
  ENOTDIR: "a part of the path is a file, expected a directory",
  EEXIST: "exists and is not a directory",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the device",
  EDQUOT: "no space left in the quota",
  EFBIG: "the file is larger than may be written here",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  EADDRINUSE: "the address is in use",
};

/** What Node throws for a refusal of the operating system. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && typeof error.code === "string" && "syscall" in error;
}

function systemErrorLine(error: Error): string | undefined {
  if (!isSystemError(error)) return undefined;
  return error.path === undefined ? systemReason(error) : `${error.path}: ${systemReason(error)}`;
}

/** Why the operating system refused, in words and without the path. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return SYSTEM_ERRORS[code ?? ""] ?? oneLine(message);
}

/** Line breaks and control characters of foreign text become spaces; very long text is cut. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const flat = text.replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, " ").trim();
  return flat.length > MAX_LINE ? `${flat.slice(0, MAX_LINE - 1)}…` : flat;
}

/** Chosen: because a line of an error must fit a log line; the field and what was expected come first. */
const MAX_LINE = 600;
