// What goes into every document that this command makes: with it the document can be made again.

import type { Generator } from "@isochron/planner";
import type { Context } from "./context.ts";
import { VERSION } from "./version.ts";

export function generatorOf(context: Context, seed?: number): Generator {
  return { version: VERSION, command: context.commandLine, ...(seed === undefined ? {} : { seed }) };
}
