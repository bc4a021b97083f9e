// The cells of one line of CSV. A request is one line in every published trace, so cells with line ends in them are refused.

import { parse } from "csv-parse/sync";
import { LineError } from "./trace-error.ts";

/** What stands between cells: spreadsheets write semicolons where a comma is the decimal point, and databases tabs. */
export const SEPARATORS = [",", ";", "\t"] as const;
export type Separator = (typeof SEPARATORS)[number];

/** @throws LineError where a quote is not closed */
export function cellsOf(text: string, separator: Separator = ","): readonly string[] {
  // Most lines have no quotes, and then separators are all there is to know.
  if (!text.includes('"')) return text.split(separator);
  try {
    const [cells = []] = parse(text, { relax_quotes: true, delimiter: separator }) as string[][];
    return cells;
  } catch {
    throw new LineError("", text, "cells whose quotes are closed on the line");
  }
}
