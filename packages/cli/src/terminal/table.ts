// Tables of text: a header, a rule, aligned columns. Numbers to the right, words to the left.

import { stripVTControlCharacters } from "node:util";
import type { Painter } from "./style.ts";

export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  readonly value: (row: Row) => string;
}

/** One line for each row, below a header and a rule. Ends with a line break. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], paint: Painter): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  const widths = columns.map((column, c) => Math.max(column.title.length, ...cells.map((line) => width(line[c]!))));
  const layOut = (line: readonly string[]): string =>
    line
      .map((cell, c) => {
        const padding = " ".repeat(widths[c]! - width(cell));
        return columns[c]!.align === "right" ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd();
  const header = paint("bold", layOut(columns.map((column) => column.title)));
  const rule = paint("dim", widths.map((one) => "─".repeat(one)).join("  "));
  return `${[header, rule, ...cells.map(layOut)].join("\n")}\n`;
}

function width(cell: string): number {
  return stripVTControlCharacters(cell).length;
}
