// Tables of text: a header, a rule, aligned columns. Numbers to the right, words to the left. On a narrow terminal a table
// says less in its columns, gives up its extra ones, and then breaks the last one into lines.

import { stripVTControlCharacters } from "node:util";
import type { Painter } from "./style.ts";
import { wrap } from "./wrap.ts";

export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Left out where the table does not fit; the last one goes first. */
  readonly isExtra?: true;
  readonly value: (row: Row) => string;
  /** What is said instead where the table does not fit. */
  readonly brief?: (row: Row) => string;
}

const GAP = "  ";
/** Chosen: because narrower columns of words are harder to read than lines that the terminal breaks. */
const NARROWEST = 24;

/** One line for each row, below a header and a rule; `width` is that of the terminal, if any. Ends with a line break. */
export function table<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  paint: Painter,
  width: number = Number.POSITIVE_INFINITY,
): string {
  let shown = columns;
  let widths = widthsOf(rows, shown);
  if (total(widths) > width && shown.some((column) => column.brief)) {
    shown = shown.map((column) => (column.brief === undefined ? column : { ...column, value: column.brief }));
    widths = widthsOf(rows, shown);
  }
  while (total(widths) > width && shown.some((column) => column.isExtra)) {
    const last = shown.findLastIndex((column) => column.isExtra);
    shown = shown.filter((_, c) => c !== last);
    widths = widthsOf(rows, shown);
  }
  const room = width - total(widths.slice(0, -1)) - GAP.length;
  const breaksLast = total(widths) > width && room >= NARROWEST && shown.at(-1)!.align !== "right";
  if (breaksLast) widths[widths.length - 1] = room;

  const layOut = (line: readonly string[]): string =>
    line
      .map((cell, c) => {
        const padding = " ".repeat(Math.max(0, widths[c]! - visible(cell)));
        return shown[c]!.align === "right" ? padding + cell : cell + padding;
      })
      .join(GAP)
      .trimEnd();
  const lines = rows.flatMap((row) => {
    const cells = shown.map((column) => column.value(row));
    if (!breaksLast) return [layOut(cells)];
    const [first, ...more] = wrap(cells.pop()!, room);
    return [layOut([...cells, first!]), ...more.map((text) => layOut([...cells.map(() => ""), text]))];
  });
  const header = paint("bold", layOut(shown.map((column) => column.title)));
  const rule = paint("dim", widths.map((one) => "─".repeat(one)).join(GAP));
  return `${[header, rule, ...lines].join("\n")}\n`;
}

function widthsOf<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): number[] {
  return columns.map((column) => Math.max(column.title.length, ...rows.map((row) => visible(column.value(row)))));
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, one) => sum + one, 0) + GAP.length * Math.max(0, widths.length - 1);
}

function visible(cell: string): number {
  return stripVTControlCharacters(cell).length;
}
