// Binds the command to this process: its streams, Ctrl-C and broken pipes.

import { fstatSync, writeSync } from "node:fs";
import { ExitCode } from "./context.ts";
import { cannotWrite } from "./documents/write.ts";
import { explain, isSystemError } from "./errors.ts";
import { main } from "./main.ts";
import { quote } from "./quote.ts";

export async function runProcess(): Promise<void> {
  // `isochron … | head` closes the pipe when it has seen enough: that is no error.
  for (const [stream, name] of [
    [process.stdout, "standard output"],
    [process.stderr, "standard error"],
  ] as const) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw isSystemError(error) ? cannotWrite(name, error) : error;
      process.exit(process.exitCode ?? ExitCode.success);
    });
  }
  // An error that no promise or callback took is a bug of ours; it ends the process like every other error, in one line.
  process.on("uncaughtException", (error) => {
    process.stderr.write(`isochron: ${explain(error).line}\n`);
    if (process.argv.includes("--debug")) process.stderr.write(`${error.stack}\n`);
    process.exit(explain(error).exitCode);
  });
  // The first Ctrl-C, or the SIGTERM of a batch system, asks a command that listens to finish what can be kept; the second
  // one ends the process. A command that does not listen (it computes without a pause) is ended by the first one.
  let interrupt: AbortController | undefined;
  const listen = (): AbortSignal => {
    if (interrupt === undefined) {
      const controller = new AbortController();
      const stop = (): void => {
        for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, stop);
        controller.abort();
      };
      for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
      interrupt = controller;
    }
    return interrupt.signal;
  };

  const args = process.argv.slice(2);
  process.exitCode = await main(args, {
    stdout: fstatSync(1).isFile() ? { write: writeAll } : process.stdout,
    stderr: process.stderr,
    env: process.env,
    commandLine: ["isochron", ...args].map(quote).join(" "),
    get interrupt() {
      return listen();
    },
    exitCode: ExitCode.success,
  });
}

/** To a file that stands for standard output. Node's own stream takes a write that a full disk cut short for a whole one. */
function writeAll(text: string): void {
  const bytes = Buffer.from(text);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
  } catch (error) {
    throw cannotWrite("standard output", error);
  }
}
