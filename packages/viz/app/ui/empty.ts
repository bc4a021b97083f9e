// What the page says while nothing is open.

import { h } from "./dom.ts";

export function emptyState(): HTMLElement {
  return h(
    "section",
    { class: "empty" },
    h("h1", {}, "Open a timeline, a report or a sweep"),
    h("p", {}, "Drop files anywhere on this page, or use ", h("strong", {}, "Open"), ". Nothing leaves this computer."),
    h(
      "dl",
      { class: "empty-list" },
      h("dt", {}, "A plan on every SM"),
      h("dd", {}, h("code", {}, "isochron simulate batch.json --out timeline.json")),
      h("dt", {}, "A whole replay"),
      h("dd", {}, h("code", {}, "isochron replay azure-conv-2023 --limit 2000 --out out")),
      h("dt", {}, "Many deployments"),
      h("dd", {}, h("code", {}, "isochron sweep sweep.json --out sweep-results")),
      h("dt", {}, "All of them, in this viewer"),
      h("dd", {}, h("code", {}, "isochron view out timeline.json sweep-results")),
    ),
    h(
      "p",
      { class: "muted" },
      "Reads timeline/1, report/1 and sweep-results/1 documents (JSON, gzip or binary) and trace-event files exported here.",
    ),
  );
}
