// What all commands have in common: an example first in the help, --json and --debug, and our way with errors.

import type { Command } from "commander";
import { type Context, terminalWidth } from "./context.ts";
import { toJson } from "./documents/to-json.ts";
import { type Painter, painterFor } from "./terminal/style.ts";

/** Adds one command to the program. */
export type AddCommand = (program: Command, context: Context) => void;

/** The flags that every command has. */
export interface CommonOptions {
  readonly json?: true;
  readonly debug?: true;
}

interface CommandText {
  /** Name and arguments, such as "plan <batch>". */
  readonly usage: string;
  readonly summary: string;
  /** What stands for each argument, by its name in `usage`. */
  readonly about?: Readonly<Record<string, string>>;
  /** Complete lines that can be typed as they stand. */
  readonly examples: readonly string[];
}

/** A subcommand of `parent` with its help and the common flags. */
export function newCommand(parent: Command, text: CommandText): Command {
  const command = parent.command(text.usage).summary(text.summary).description(text.summary);
  for (const argument of command.registeredArguments) argument.description = text.about?.[argument.name()] ?? "";
  return dress(command, text.examples);
}

/** Puts the examples before everything else in the help, and adds the common flags. */
function dress(command: Command, examples: readonly string[]): Command {
  return command
    .addHelpText("before", `${examples.map((example) => `  $ ${example}`).join("\n")}\n`)
    .option("--json", "print one JSON document and nothing else")
    .option("--debug", "show the stack trace of an error");
}

/** Prints the document with --json, and the text for people without it. */
export function print(
  context: Context,
  options: CommonOptions,
  document: unknown,
  text: (paint: Painter, width: number | undefined) => string,
): void {
  if (options.json === true) context.stdout.write(toJson(document));
  else context.stdout.write(text(painterFor(context.stdout, context.env), terminalWidth(context.stdout)));
}

/** Whether the user gave an option, rather than its default. */
export function isGiven(command: Command, option: string): boolean {
  return command.getOptionValueSource(option) === "cli";
}

/** A remark that is neither result nor error. */
export function warn(context: Context, message: string): void {
  const paint = painterFor(context.stderr, context.env);
  context.stderr.write(`${paint("yellow", "warning:")} ${message}\n`);
}
