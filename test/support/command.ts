// Runs the isochron command: in this process (from sources, fast) or as a process of its own (from the build).

import { type ChildProcess, spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { main } from "isochron";

export const repository = resolve(import.meta.dirname, "../..");
export const binary = join(repository, "packages/cli/bin/isochron.js");

export interface Result {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly interrupt?: AbortSignal;
  /** Whether stderr is a terminal. */
  readonly isTerminal?: boolean;
  /** Width of the terminal that stdout is; no terminal unless given. */
  readonly columns?: number;
  readonly onStdout?: (text: string) => void;
  readonly onStderr?: (text: string) => void;
}

/** Runs `isochron …args` in this process. */
export async function isochron(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  let stdout = "";
  let stderr = "";
  const exitCode = await main(args, {
    stdout: {
      isTTY: options.columns !== undefined,
      columns: options.columns,
      write: (text) => {
        stdout += text;
        options.onStdout?.(text);
      },
    },
    stderr: {
      isTTY: options.isTerminal,
      columns: 120,
      write: (text) => {
        stderr += text;
        options.onStderr?.(text);
      },
    },
    env: options.env ?? (options.columns === undefined ? {} : { NO_COLOR: "1" }),
    commandLine: `isochron ${args.join(" ")}`,
    interrupt: options.interrupt ?? new AbortController().signal,
    exitCode: 0,
  });
  return { exitCode, stdout, stderr };
}

/** Runs it, expects success, and returns its JSON document. */
export async function isochronJson(args: readonly string[]): Promise<Record<string, unknown>> {
  const { exitCode, stdout, stderr } = await isochron([...args, "--json"]);
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Starts the built command. */
export function spawnIsochron(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [binary, ...args], { cwd: repository, stdio: ["ignore", "pipe", "pipe"] });
}
