// What a command may touch of the world: where it writes, what stops it, and how it ends. Tests pass their own.

/** The part of a Node stream that commands use. */
export interface Output {
  write(text: string): unknown;
  /** Present and true on a terminal. */
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface Context {
  /** Results: tables, or one JSON document. */
  readonly stdout: Output;
  /** Everything else: progress (on a terminal), warnings, errors. */
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The command as typed, for the documents that it makes. */
  readonly commandLine: string;
  /** Aborted when the user presses Ctrl-C. Reading it promises to stop soon: nothing else stops the process then. */
  readonly interrupt: AbortSignal;
  /** What the process will exit with; a command that fails a check sets it. */
  exitCode: number;
}

/** Characters in a line of a terminal; undefined where the reader is a file or a program. */
export function terminalWidth(output: Output): number | undefined {
  return output.isTTY === true ? output.columns : undefined;
}

/** Exit codes, in the order of the documentation. */
export const ExitCode = {
  success: 0,
  failedCheck: 1,
  badInput: 2,
  /** EX_SOFTWARE of sysexits.h: a bug of ours, never the user's input. */
  bug: 70,
  /** 128 + SIGINT, as shells report it. */
  interrupted: 130,
} as const;
