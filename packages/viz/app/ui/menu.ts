// A button with a menu, reachable by keyboard: Enter or ↓ opens, arrows move, Escape closes.

import type { ExportChoice } from "../viewer.ts";
import { h } from "./dom.ts";

export class MenuButton {
  readonly element: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #list: HTMLElement;
  readonly #choices: () => readonly ExportChoice[];
  readonly #failed: (error: unknown, label: string) => void;

  constructor(label: string, choices: () => readonly ExportChoice[], failed: (error: unknown, label: string) => void) {
    this.#choices = choices;
    this.#failed = failed;
    this.#button = h(
      "button",
      { type: "button", class: "plain", "aria-haspopup": "menu", "aria-expanded": "false" },
      `${label} ▾`,
    );
    this.#list = h("div", { class: "menu", role: "menu", "aria-label": label, hidden: true });
    this.element = h("div", { class: "menu-button" }, this.#button, this.#list);
    this.#button.addEventListener("click", () => (this.#list.hidden ? this.open() : this.close()));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget as Node | null)) this.close();
    });
  }

  open(): void {
    const items = this.#choices().map((choice) =>
      h(
        "button",
        {
          type: "button",
          role: "menuitem",
          tabindex: -1,
          onclick: () => {
            this.close();
            void this.#run(choice);
          },
        },
        choice.label,
      ),
    );
    this.#list.replaceChildren(...items);
    this.#list.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    items[0]?.focus();
  }

  close(): void {
    this.#list.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
  }

  async #run(choice: ExportChoice): Promise<void> {
    try {
      await choice.run();
    } catch (error) {
      this.#failed(error, choice.label);
    }
  }

  #key(event: KeyboardEvent): void {
    if (this.#list.hidden) {
      if (event.key === "ArrowDown") {
        this.open();
        event.preventDefault();
      }
      return;
    }
    const items = [...this.#list.children] as HTMLElement[];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const move: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: items.length - 1,
    };
    if (event.key === "Escape") {
      this.close();
      this.#button.focus();
    } else if (event.key in move) {
      items[(move[event.key]! + items.length) % items.length]?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
