// The cells of one line of CSV. A request is one line in every published trace, so cells with line ends in them are refused.

import { parse } from "csv-parse/sync";
import { LineError } from "./trace-error.ts";

/** @throws LineError where a quote is not closed */
export function cellsOf(text: string): readonly string[] {
  // Most lines have no quotes, and then commas are all there is to know.
  if (!text.includes('"')) return text.split(",");
  try {
    const [cells = []] = parse(text, { relax_quotes: true }) as string[][];
    return cells;
  } catch {
    throw new LineError("", text, "cells whose quotes are closed on the line");
  }
}
