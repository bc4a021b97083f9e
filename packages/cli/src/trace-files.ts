// Trace names and paths that users type → files.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BUNDLED_TRACES, findTrace, tracesDirectory } from "@isochron/simulator";
import { InputError, unknownName } from "./errors.ts";

/** The copy that an installed package brings along; in the repository the traces lie at its top. */
const PACKED = fileURLToPath(new URL("../traces/", import.meta.url));

/** What help says of an argument that names a trace. */
export const ABOUT_TRACE = "bundled trace (see `isochron traces`), or a log: CSV or JSON lines, plain or gzip";

/** Undefined when the bundled traces are missing. */
export function bundledTracesDirectory(): string | undefined {
  return existsSync(PACKED) ? PACKED : tracesDirectory();
}

/** The file of a bundled name or a path, and what reports call it. Throws InputError for a word that is neither. */
export function traceFile(nameOrPath: string): { readonly file: string; readonly name?: string } {
  if (nameOrPath === "-") {
    throw new InputError("-: found standard input, expected a file: a trace is read more than once");
  }
  const found = findTrace(nameOrPath, bundledTracesDirectory());
  // A bare word that is no file was meant as a name; anything that looks like a path is reported as a missing file.
  if (found.name === undefined && !existsSync(nameOrPath) && !/[./\\]/.test(nameOrPath)) {
    throw unknownName("unknown trace", nameOrPath, Object.keys(BUNDLED_TRACES));
  }
  return found;
}
