// Runs one command line: from arguments to an exit code, with every error as one line.

import { CommanderError } from "commander";
import { type Context, ExitCode } from "./context.ts";
import { explain, oneLine } from "./errors.ts";
import { createProgram } from "./program.ts";
import { painterFor } from "./terminal/style.ts";

export { type Context, ExitCode, type Output } from "./context.ts";

/** Runs `isochron …args` and returns the exit code. Never throws. */
export async function main(args: readonly string[], context: Context): Promise<number> {
  try {
    await createProgram(context).parseAsync([...args], { from: "user" });
    return context.exitCode;
  } catch (error) {
    // Help and version end here too, already printed.
    if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.success;
    if (error instanceof CommanderError && error.code === "commander.help") return ExitCode.badInput;
    const { line, exitCode } =
      error instanceof CommanderError ? { line: usageLine(error), exitCode: ExitCode.badInput } : explain(error);
    context.stderr.write(`${painterFor(context.stderr, context.env)("red", "isochron:")} ${line}\n`);
    if (args.includes("--debug")) context.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    return exitCode;
  }
}

/** "error: unknown option '--modl'\n(Did you mean --model?)" → one line. */
function usageLine(error: CommanderError): string {
  return oneLine(error.message.replace(/^error: /, ""));
}
