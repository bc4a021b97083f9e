// The bar at the top: what is open, which view, search, open, export, theme, help.

import type { ViewerDocument } from "../documents/read.ts";
import { titleOf } from "../documents/title.ts";
import { VIEWS, type ViewName } from "../state.ts";
import type { Viewer } from "../viewer.ts";
import { h } from "./dom.ts";
import { showHelp } from "./help.ts";
import { MenuButton } from "./menu.ts";
import { openFiles } from "./open.ts";
import { SearchBox } from "./search.ts";

const VIEW_LABELS: Readonly<Record<ViewName, string>> = {
  occupancy: "SM occupancy",
  plan: "Plan",
  compare: "Compare",
  replay: "Replay",
  sweep: "Sweep",
};

export class Header {
  readonly element: HTMLElement;
  readonly search: SearchBox;
  readonly #app: Viewer;
  readonly #picker: HTMLSelectElement;
  readonly #tabs: Map<ViewName, HTMLButtonElement>;
  readonly #theme: HTMLButtonElement;
  readonly #export: MenuButton;
  #listed: unknown = null;

  constructor(app: Viewer) {
    this.#app = app;
    this.search = new SearchBox(app);
    this.#picker = h("select", { class: "picker", "aria-label": "Document" });
    this.#picker.addEventListener("change", () => app.open(Number(this.#picker.value)));
    this.#tabs = new Map(
      VIEWS.map((view) => [
        view,
        h("button", { type: "button", class: "tab", onclick: () => app.show(view) }, VIEW_LABELS[view]),
      ]),
    );
    this.#theme = h("button", { type: "button", class: "icon", onclick: () => app.toggleTheme() });
    this.#export = new MenuButton(
      "Export",
      () => [{ label: "Copy link to this view", run: () => copyLink(app) }, ...(app.view?.exports ?? [])],
      (error, label) => app.notices.problem(error, label, "Cannot export"),
    );
    this.element = h(
      "header",
      { class: "bar" },
      h("span", { class: "brand" }, mark(), h("span", {}, "Isochron")),
      this.#picker,
      h("nav", { class: "tabs", "aria-label": "Views" }, ...this.#tabs.values()),
      h("span", { class: "grow" }),
      this.search.element,
      h("button", { type: "button", class: "plain", onclick: () => openFiles(app) }, "Open"),
      this.#export.element,
      this.#theme,
      h(
        "button",
        { type: "button", class: "icon", "aria-label": "Keys and help", title: "Keys and help (?)", onclick: showHelp },
        "?",
      ),
    );
  }

  update(): void {
    const app = this.#app;
    if (this.#listed !== app.documents) {
      this.#listed = app.documents;
      const options = app.documents.map((document, i) => h("option", { value: i }, titleOf(document)));
      this.#picker.replaceChildren(...options);
    }
    this.#picker.value = String(app.state.doc);
    this.#picker.hidden = app.documents.length === 0;
    const count = (type: ViewerDocument["type"]): number =>
      app.documents.filter((document) => document.type === type).length;
    const timelines = count("timeline");
    const possible: Readonly<Record<ViewName, boolean>> = {
      occupancy: timelines > 0,
      plan: timelines > 0,
      compare: timelines > 1,
      replay: count("report") > 0,
      sweep: count("sweep") > 0,
    };
    for (const [view, tab] of this.#tabs) {
      const current = app.documents.length > 0 && app.state.view === view;
      tab.hidden = !possible[view];
      tab.classList.toggle("current", current);
      if (current) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    this.search.element.hidden = app.documents.length === 0;
    this.#export.element.hidden = app.documents.length === 0;
    const next = app.theme === "dark" ? "light" : "dark";
    this.#theme.textContent = app.theme === "dark" ? "☀" : "☾";
    this.#theme.setAttribute("aria-label", `Switch to the ${next} theme`);
    this.#theme.title = `Switch to the ${next} theme`;
  }
}

export async function copyLink(app: Viewer): Promise<void> {
  try {
    await navigator.clipboard.writeText(app.link);
    app.notices.info("The link is in the clipboard.");
  } catch {
    prompt("Link to this view", app.link);
  }
}

/** Four bars that end at the same moment. */
function mark(): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  for (const [y, x] of [
    [1, 5],
    [5, 1],
    [9, 7],
    [13, 3],
  ] as const) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x, y, width: 15 - x, height: 2.4, rx: 0.6 })) {
      rect.setAttribute(name, String(value));
    }
    svg.append(rect);
  }
  return svg;
}
