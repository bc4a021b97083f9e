// Small building blocks that views share: rows of facts, key figures, segmented choices, tables.

import { h } from "./dom.ts";

export type Fact = readonly [name: string, value: string];

export function factList(facts: readonly Fact[]): HTMLElement {
  return h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** One big number with its name under it. */
export function keyFigure(name: string, value: string, note = "", tone = ""): HTMLElement {
  return h(
    "div",
    { class: `figure ${tone}` },
    h("span", { class: "figure-name" }, name),
    h("span", { class: "figure-value" }, value),
    note === "" ? null : h("span", { class: "figure-note" }, note),
  );
}

/** One of a few choices, as a row of buttons. */
export class Choice<T extends string> {
  readonly element: HTMLElement;
  readonly #buttons: Map<T, HTMLButtonElement>;

  constructor(label: string, options: readonly (readonly [T, string])[], choose: (value: T) => void) {
    this.#buttons = new Map(
      options.map(([value, text]) => [value, h("button", { type: "button", onclick: () => choose(value) }, text)]),
    );
    this.element = h(
      "div",
      { class: "choice", role: "group", "aria-label": label },
      h("span", { class: "choice-label" }, label),
      h("span", { class: "choice-buttons" }, ...this.#buttons.values()),
    );
  }

  show(value: T): void {
    for (const [option, button] of this.#buttons) button.setAttribute("aria-pressed", String(option === value));
  }
}

export interface TableColumn<Row> {
  readonly name: string;
  readonly text: (row: Row) => string;
  /** Numbers stand on the right. */
  readonly left?: boolean;
}

/** A table of rows; `choose` makes every row a button. */
export function dataTable<Row>(
  caption: string,
  columns: readonly TableColumn<Row>[],
  rows: readonly Row[],
  choose?: { readonly label: (row: Row) => string; readonly run: (row: Row) => void },
): HTMLTableElement {
  const cell = (row: Row, column: TableColumn<Row>, first: boolean): HTMLElement => {
    const text = column.text(row);
    if (!first) return h("td", { class: column.left === true ? "left" : "" }, text);
    const content =
      choose === undefined
        ? text
        : h(
            "button",
            { type: "button", class: "link", "aria-label": choose.label(row), onclick: () => choose.run(row) },
            text,
          );
    return h("th", { scope: "row", class: column.left === true ? "left" : "" }, content);
  };
  return h(
    "table",
    { class: "data" },
    h("caption", {}, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...columns.map((column) => h("th", { scope: "col", class: column.left === true ? "left" : "" }, column.name)),
      ),
    ),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...columns.map((column, i) => cell(row, column, i === 0))))),
  );
}
