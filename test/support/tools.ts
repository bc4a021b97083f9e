// Compilers and interpreters of other languages for tests. Looks for one, tries to install it, else says how; never skips.

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A tool that tests run and that is neither on this machine nor to be installed on it. */
export class MissingToolError extends Error {
  override readonly name = "MissingToolError";
  readonly tool: string;

  constructor(tool: string, names: readonly string[], variable: string, packages: readonly string[]) {
    super(
      `no ${tool} was found (looked for ${names.join(", ")}). Install one ("apt-get install ${packages.join(" ")}") or name one in ${variable}.`,
    );
    this.tool = tool;
  }
}

/** Path of a C compiler (CC, cc, gcc or clang). Throws MissingToolError. */
export function findCCompiler(): string {
  return findTool("C compiler", ["cc", "gcc", "clang"], "CC", ["gcc", "libc6-dev"]);
}

/** Path of a Python 3 (PYTHON, python3). Throws MissingToolError. */
export function findPython(): string {
  return findTool("Python 3", ["python3"], "PYTHON", ["python3"]);
}

function findTool(tool: string, names: readonly string[], variable: string, packages: readonly string[]): string {
  const found = onPath(process.env[variable] === undefined ? names : [process.env[variable], ...names]);
  if (found !== undefined) return found;
  if (process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    try {
      const arguments_ = ["install", "-y", "--no-install-recommends", ...packages];
      execFileSync("/usr/bin/apt-get", arguments_, { stdio: "ignore", timeout: 300_000 });
    } catch {
      // The error below says what to do.
    }
    const installed = onPath(names);
    if (installed !== undefined) return installed;
  }
  throw new MissingToolError(tool, names, variable, packages);
}

function onPath(names: readonly string[]): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const candidates = names.flatMap((name) =>
    name.includes("/") ? [name] : folders.map((folder) => join(folder, name)),
  );
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
