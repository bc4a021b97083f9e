// Search in the view that is open: request, SM, worker, kind. Arrows and Enter choose.

import type { SearchResult, Viewer } from "../viewer.ts";
import { h } from "./dom.ts";

export class SearchBox {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #list: HTMLElement;
  readonly #app: Viewer;
  #results: SearchResult[] = [];
  #chosen = 0;

  constructor(app: Viewer) {
    this.#app = app;
    this.#input = h("input", {
      type: "search",
      placeholder: "Search  /",
      role: "combobox",
      "aria-label": "Search for a request, SM, worker or kind",
      "aria-expanded": "false",
      "aria-controls": "search-results",
      "aria-autocomplete": "list",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.#list = h("div", {
      class: "menu search-results",
      id: "search-results",
      role: "listbox",
      "aria-label": "Matches",
      hidden: true,
    });
    this.element = h("div", { class: "search" }, this.#input, this.#list);
    this.#input.addEventListener("input", () => this.#find());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("blur", () => setTimeout(() => this.#close(), 150));
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  #find(): void {
    const text = this.#input.value.trim().toLowerCase();
    // Chosen: what fits below the box without scrolling.
    this.#results = text === "" ? [] : (this.#app.view?.search(text) ?? []).slice(0, 12);
    this.#chosen = 0;
    this.#show(text);
  }

  #show(text: string): void {
    const options = this.#results.map((result, i) =>
      h(
        "div",
        {
          role: "option",
          id: `search-result-${i}`,
          class: i === this.#chosen ? "chosen" : "",
          "aria-selected": String(i === this.#chosen),
          onpointerdown: () => this.#go(i),
        },
        h("span", {}, result.label),
        h("span", { class: "muted" }, result.note),
      ),
    );
    const examples = this.#app.view?.searchable ?? "";
    const none = [
      h(
        "div",
        { class: "muted", role: "option", "aria-disabled": "true", "aria-selected": "false" },
        examples === "" ? "No match" : `No match; try ${examples}`,
      ),
    ];
    this.#list.replaceChildren(...(options.length > 0 ? options : none));
    this.#list.hidden = text === "";
    this.#input.setAttribute("aria-expanded", String(text !== ""));
    if (options.length > 0) this.#input.setAttribute("aria-activedescendant", `search-result-${this.#chosen}`);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #key(event: KeyboardEvent): void {
    const { length } = this.#results;
    if (event.key === "Escape") {
      this.#input.value = "";
      this.#close();
      this.#input.blur();
    } else if (event.key === "Enter") this.#go(this.#chosen);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (length === 0) return;
      this.#chosen = (this.#chosen + (event.key === "ArrowDown" ? 1 : length - 1)) % length;
      this.#show(this.#input.value);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #go(i: number): void {
    this.#results[i]?.go();
    this.#close();
    this.#input.blur();
  }

  #close(): void {
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
  }
}
