// Colour where the reader has a terminal and did not say NO_COLOR.

import { styleText } from "node:util";
import type { Output } from "../context.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** Dresses text, or leaves it as it is. */
export type Painter = (style: Style, text: string) => string;

/** NO_COLOR (no-color.org) and TERM=dumb turn colour off, FORCE_COLOR turns it on. */
export function painterFor(output: Output, env: Readonly<Record<string, string | undefined>>): Painter {
  const refused = (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
  const forced = (env["FORCE_COLOR"] ?? "0") !== "0";
  const isColoured = !refused && (forced || output.isTTY === true);
  return (style, text) => (isColoured ? styleText(style, text, { validateStream: false }) : text);
}
