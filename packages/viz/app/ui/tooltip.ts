// The card beside the pointer.

import { h } from "./dom.ts";

export class Tooltip {
  readonly element: HTMLElement = h("div", { class: "tooltip", role: "tooltip", hidden: true });

  show(rows: readonly Node[], x: number, y: number): void {
    this.element.replaceChildren(...rows);
    this.element.hidden = false;
    const { offsetWidth, offsetHeight } = this.element;
    const left = x + 16 + offsetWidth > innerWidth ? x - 16 - offsetWidth : x + 16;
    const top = Math.min(y + 14, innerHeight - offsetHeight - 8);
    this.element.style.transform = `translate(${Math.max(left, 8)}px, ${Math.max(top, 8)}px)`;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
