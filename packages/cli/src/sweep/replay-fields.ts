// Fields of a sweep ↔ options of `isochron replay`. The command's own table of options is asked, so that an option that is
// added there can be swept: `tp` is --tp, `maxBatchedTokens` is --max-batched-tokens, `slo.ttft` is the ttft of --slo.

import { existsSync } from "node:fs";
import { type Fields, type FieldValue, leavesOf, type SweepDocument } from "@isochron/simulator";
import { Command, CommanderError, type Option } from "commander";
import { checkedOptions, type ReplayOptions, replayCommand } from "../commands/replay-options.ts";
import type { Context } from "../context.ts";
import { InputError, oneLine, unknownName } from "../errors.ts";
import { findGpu, findServedModel } from "../inputs.ts";
import { quote } from "../quote.ts";
import { traceFile } from "../trace-files.ts";

/** Options that say where a replay goes, not what it is. */
const OUTPUTS = new Set(["json", "debug", "out", "html", "traceEvents"]);
const TRACE = "trace";

/** A replay as the command would take it. */
export interface Replay {
  readonly trace: string;
  readonly options: ReplayOptions;
}

/** Writes nothing and is never stopped, unless `interrupt` says so. */
export function quietContext(commandLine: string, interrupt: AbortSignal = new AbortController().signal): Context {
  const nowhere = { write: () => true };
  return { stdout: nowhere, stderr: nowhere, env: process.env, commandLine, interrupt, exitCode: 0 };
}

function newReplayCommand(): Command {
  const program = new Command();
  return replayCommand(program, quietContext("isochron replay"))
    .exitOverride()
    .configureOutput({ outputError: () => {} });
}

const options: ReadonlyMap<string, Option> = new Map(
  newReplayCommand()
    .options.filter((option) => !OUTPUTS.has(option.attributeName()))
    .map((option) => [option.attributeName(), option] as const),
);

/** What a field is where no configuration says it. */
export function defaultOf(field: string): unknown {
  return options.get(field)?.defaultValue;
}

/** The command line that replays a configuration alone. */
export function commandOf(fields: Fields): string {
  return ["isochron", "replay", ...argumentsOf(fields)].map(quote).join(" ");
}

/** Whether a configuration may say this of a replay. */
export function isField(name: string): boolean {
  return options.has(name);
}

/** What the command that parses configurations found last; making the command takes longer than using it. */
let found: Replay | undefined;
const parsingCommand = newReplayCommand().action((trace: string, parsed: ReplayOptions) => {
  found = { trace, options: checkedOptions(parsingCommand, parsed) };
});

/** Throws InputError where options contradict one another. */
export function replayOf(fields: Fields): Replay {
  try {
    // Forgets what it parsed before.
    parsingCommand.parse(argumentsOf(fields), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new InputError(oneLine(error.message.replace(/^error: /, "")));
  }
  return found!;
}

/** Everything that each value alone can be wrong in. Throws InputError that names file, field, value and expectation. */
export function checkFields({ base, axes }: SweepDocument, file: string): void {
  const check = (path: string, value: FieldValue, at: string): void => {
    try {
      checkField(path, value);
    } catch (error) {
      throw new InputError(`${file}: field ${at}: ${(error as Error).message.replace(/^--[\w-]+(?: \w+)?: /, "")}`);
    }
  };
  for (const [path, value] of leavesOf(base)) check(path, value, `base.${path}`);
  for (const [axis, values] of Object.entries(axes)) {
    values.forEach((value, i) => {
      const at = `axes.${axis}[${i}]`;
      if (value === null || typeof value !== "object") check(axis, value, at);
      else for (const [path, inner] of leavesOf(value)) check(path, inner, `${at}.${path}`);
    });
  }
  const paths = [base, ...Object.values(axes).flat()].flatMap((tree) =>
    tree !== null && typeof tree === "object" ? leavesOf(tree).map(([path]) => path) : [],
  );
  if (!paths.includes(TRACE) && !Object.hasOwn(axes, TRACE)) {
    throw new InputError(`${file}: field base.${TRACE}: found nothing, expected the name or the file of a trace`);
  }
}

/** Names → what must be there. */
const NAMED: Readonly<Record<string, (name: string) => unknown>> = {
  model: findServedModel,
  gpu: findGpu,
  [TRACE]: (name) => {
    const { file } = traceFile(name);
    if (!existsSync(file)) throw new InputError(`found ${JSON.stringify(name)}, expected a trace: no such file`);
  },
};

function checkField(path: string, value: FieldValue): void {
  const [name = "", ...inner] = path.split(".");
  const option = options.get(name);
  if (option === undefined && name !== TRACE) {
    throw unknownName("unknown field", name, [TRACE, ...options.keys()]);
  }
  if (value === null) return;
  if (option?.isBoolean() === true || option?.negate === true) {
    if (typeof value === "boolean" && inner.length === 0) return;
    throw new InputError(`found ${JSON.stringify(value)}, expected true or false`);
  }
  if (typeof value === "boolean") throw new InputError(`found ${value}, expected a text or a number`);
  if (name === "stepTimer" && value === "cuda") {
    throw new InputError(`found "cuda", expected a simulated step timer: replays of a sweep run side by side`);
  }
  option?.parseArg?.(textOf(inner, value), undefined);
  NAMED[path]?.(String(value));
}

/** The value of an option, or `ttft=500` for a field inside one. */
function textOf(inner: readonly string[], value: string | number): string {
  return inner.length === 0 ? String(value) : `${inner.join(".")}=${value}`;
}

/** In the order of the fields; fields inside one option are joined where the first of them stands. */
function argumentsOf(fields: Fields): string[] {
  const texts = new Map<string, string[]>();
  for (const [path, value] of Object.entries(fields)) {
    const [name = "", ...inner] = path.split(".");
    if (name === TRACE) continue;
    const option = options.get(name)!;
    if (typeof value === "boolean") {
      if (value !== option.negate) texts.set(option.long!, []);
    } else texts.set(option.long!, [...(texts.get(option.long!) ?? []), textOf(inner, value)]);
  }
  const flags = [...texts].map(([flag, values]) => (values.length === 0 ? flag : `${flag}=${values.join(",")}`));
  return [String(fields[TRACE]), ...flags];
}
