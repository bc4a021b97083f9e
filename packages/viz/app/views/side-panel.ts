// Beside the picture: why it is slow, what is selected, and who the work belongs to.

import { requestName } from "../draw/classes.ts";
import { integer, percent } from "../format.ts";
import { rangeFacts } from "../model/aggregate.ts";
import { jobFacts, sliceFacts, sliceTitle } from "../model/describe-slice.ts";
import { laneOf } from "../model/jobs.ts";
import type { Prepared } from "../model/prepared.ts";
import { stepOf } from "../model/replay.ts";
import { stepFacts } from "../model/step-facts.ts";
import { h, meter, swatch } from "../ui/dom.ts";
import { factList } from "../ui/facts.ts";
import type { Viewer } from "../viewer.ts";

// Chosen: what fits without scrolling at 1280 × 720.
const SHOWN_REQUESTS = 40;

export class SidePanel {
  readonly element: HTMLElement = h("aside", { class: "side", "aria-label": "Details" });
  readonly #app: Viewer;
  readonly #prepared: Prepared;
  #key = "";

  constructor(app: Viewer, prepared: Prepared) {
    this.#app = app;
    this.#prepared = prepared;
  }

  update(): void {
    const { pin, range, request, color } = this.#app.state;
    const key = JSON.stringify([pin, range, request, color, this.#app.theme]);
    if (key === this.#key) return;
    this.#key = key;
    const focused = document.activeElement?.getAttribute("data-request") ?? null;
    this.element.replaceChildren(...this.#selection(), ...this.#step(), this.#why(), this.#requests());
    if (focused !== null) this.element.querySelector<HTMLElement>(`[data-request="${CSS.escape(focused)}"]`)?.focus();
  }

  #selection(): HTMLElement[] {
    const { pin, range } = this.#app.state;
    const sections: HTMLElement[] = [];
    if (pin >= 0 && pin < this.#prepared.document.slices.count) {
      const { document } = this.#prepared;
      sections.push(
        h(
          "section",
          { class: "selection" },
          this.#heading(sliceTitle(document, pin), "Unpin", () => this.#app.set({ pin: -1 })),
          factList([...sliceFacts(document, pin, laneOf(document, pin)), ...jobFacts(document, pin)]),
        ),
      );
    }
    if (range !== null) {
      sections.push(
        h(
          "section",
          { class: "selection" },
          this.#heading("Selected range", "Clear the range", () => this.#app.set({ range: null })),
          factList(rangeFacts(this.#prepared, range)),
          h("button", { type: "button", class: "plain", onclick: () => this.#app.set({ time: range }) }, "Zoom to it"),
        ),
      );
    }
    return sections;
  }

  #heading(text: string, action: string, run: () => void): HTMLElement {
    return h(
      "div",
      { class: "side-heading" },
      h("h2", {}, text),
      h("button", { type: "button", class: "icon small", "aria-label": action, title: action, onclick: run }, "×"),
    );
  }

  /** The step of a replay that the launch belongs to. */
  #step(): HTMLElement[] {
    const step = stepOf(this.#app.documents, this.#prepared.document);
    if (step === undefined) return [];
    const note = h("p", { class: "muted" }, "The picture is its attention launch in one layer.");
    return [h("section", { class: "step" }, h("h2", {}, `Step ${step.step}`), factList(stepFacts(step)), note)];
  }

  #why(): HTMLElement {
    const { verdict, document } = this.#prepared;
    const rows = verdict.findings.map((finding) => {
      const { request, span } = finding;
      if (request === undefined && span === undefined) return h("li", {}, finding.text);
      const show = (): void =>
        this.#app.set(
          request === undefined ? { range: span! } : { request: this.#app.state.request === request ? null : request },
        );
      return h("li", {}, h("button", { type: "button", class: "finding", onclick: show }, finding.text));
    });
    const warnings = document.warnings.map((warning) => h("li", { class: "warning" }, warning));
    return h(
      "section",
      {},
      h("h2", {}, verdict.severity === "good" ? "What it shows" : "Why it is slow"),
      h("ul", { class: "findings" }, ...rows, ...warnings),
    );
  }

  #requests(): HTMLElement {
    const { work } = this.#prepared;
    const { palette, state } = this.#app;
    const colors = new Map<number, string>();
    if (state.color === "request") {
      for (const entry of this.#prepared.classes("request").legend(palette)) {
        if (entry.request !== undefined) colors.set(entry.request, entry.color);
      }
    }
    const most = work.requests[0]?.busyUs ?? 1;
    const rows = work.requests.slice(0, SHOWN_REQUESTS).map((row) => {
      const color = colors.get(row.request) ?? palette.others[0];
      return h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: "request-row",
            "data-request": row.request,
            "aria-pressed": String(state.request === row.request),
            title: `${integer(row.qoLen)} query tokens, ${integer(row.pieces)} pieces, ${integer(row.merges)} merges`,
            onclick: () => this.#app.set({ request: state.request === row.request ? null : row.request, pin: -1 }),
          },
          swatch(color),
          h("span", { class: "request-name" }, requestName(row.request)),
          h("span", { class: "number" }, integer(row.kvLen)),
          h("span", { class: "number" }, integer(row.lanes)),
          meter(row.busyUs / most, color),
          h("span", { class: "number" }, percent(work.busyUs > 0 ? row.busyUs / work.busyUs : 0)),
        ),
      );
    });
    const hidden = work.requests.length - rows.length;
    return h(
      "section",
      { class: "requests" },
      h("h2", {}, "Work by request"),
      h(
        "div",
        { class: "request-head", "aria-hidden": "true" },
        h("span", {}),
        h("span", {}, "request"),
        h("span", { class: "number" }, "KV"),
        h("span", { class: "number" }, "workers"),
        h("span", { class: "number wide" }, "share of work"),
      ),
      h("ul", { class: "request-list" }, ...rows),
      hidden > 0 ? h("p", { class: "muted" }, `… and ${integer(hidden)} more (T shows all)`) : null,
    );
  }
}
