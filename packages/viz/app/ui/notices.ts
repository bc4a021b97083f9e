// Short messages, above all about files that could not be opened. They stay until they are closed.

import { DocumentProblem } from "../documents/problem.ts";
import { bytes } from "../format.ts";
import { h } from "./dom.ts";

export class Notices {
  readonly element: HTMLElement = h("div", { class: "notices", role: "status", "aria-live": "polite" });
  #progress: HTMLElement | null = null;

  /** A file that cannot be shown: what was found, and what was expected. */
  problem(error: unknown, file: string, what = "Cannot open"): void {
    const rows =
      error instanceof DocumentProblem
        ? [
            h("p", { class: "notice-title" }, `Cannot open ${error.file}`),
            h("p", {}, capital(error.found), "."),
            h("p", { class: "muted" }, "Expected: ", error.expected, "."),
          ]
        : [
            h("p", { class: "notice-title" }, `${what} ${file}`),
            h("p", {}, error instanceof Error ? error.message : String(error)),
          ];
    this.#add("problem", rows, null);
  }

  /** Something that went well; it leaves by itself. */
  info(text: string): void {
    this.#add("info", [h("p", {}, text)], 4000);
  }

  /** How much of a large file is there; one line, until progressDone. */
  progress(file: string, doneBytes: number, allBytes: number): void {
    if (this.#progress === null) {
      this.#progress = h("div", { class: "notice info progress" }, h("p", {}));
      this.element.append(this.#progress);
    }
    const share = doneBytes < allBytes ? `${bytes(doneBytes)} of ${bytes(allBytes)}` : "checking it";
    this.#progress.firstElementChild!.textContent = `Reading ${file}: ${share}…`;
  }

  progressDone(): void {
    this.#progress?.remove();
    this.#progress = null;
  }

  #add(kind: string, rows: HTMLElement[], lifeMs: number | null): void {
    const close = h("button", { class: "icon", type: "button", "aria-label": "Close message" }, "×");
    const notice = h("div", { class: `notice ${kind}` }, h("div", {}, ...rows), close);
    close.addEventListener("click", () => notice.remove());
    // Chosen: more than four messages hide what they are about.
    while (this.element.children.length >= 4) this.element.firstElementChild!.remove();
    this.element.append(notice);
    if (lifeMs !== null) setTimeout(() => notice.remove(), lifeMs);
  }

  /** Closes the newest message; false where there is none. */
  closeLast(): boolean {
    const last = this.element.lastElementChild;
    last?.remove();
    return last !== null;
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
