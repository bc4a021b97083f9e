// The same data as text: one row per SM or worker, and the bars of what is selected.

import { KINDS } from "../documents/timeline.ts";
import { requestName } from "../draw/classes.ts";
import { integer, microseconds, percent } from "../format.ts";
import { jobOf, type PiecePlace, placesOf } from "../model/jobs.ts";
import type { Prepared } from "../model/prepared.ts";
import { h } from "../ui/dom.ts";
import { dataTable } from "../ui/facts.ts";
import type { Viewer } from "../viewer.ts";

// Chosen: enough to read, few enough to lay out at once; CSV export has everything.
const MAX_BARS = 500;
const MAX_REQUESTS = 1000;

export class TextTable {
  readonly element: HTMLElement = h("div", {
    class: "text-table",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "Table of the same data",
  });
  readonly #app: Viewer;
  readonly #prepared: Prepared;
  #key = "";

  constructor(app: Viewer, prepared: Prepared) {
    this.#app = app;
    this.#prepared = prepared;
  }

  update(): void {
    const { table, pin, request, group, sort } = this.#app.state;
    this.element.hidden = !table;
    const key = JSON.stringify([pin, request, group, sort]);
    if (!table || key === this.#key) return;
    this.#key = key;
    this.element.replaceChildren(
      h(
        "button",
        { type: "button", class: "plain", onclick: () => this.#app.set({ table: false }) },
        "Close the table",
      ),
      ...this.#bars(),
      this.#rows(),
      this.#requests(),
    );
  }

  #requests(): HTMLElement {
    const { work } = this.#prepared;
    return dataTable(
      work.requests.length > MAX_REQUESTS
        ? `The ${integer(MAX_REQUESTS)} heaviest of ${integer(work.requests.length)} requests`
        : "Requests, heaviest first",
      [
        { name: "Request", text: (row) => requestName(row.request), left: true },
        { name: "Query tokens", text: (row) => integer(row.qoLen) },
        { name: "KV tokens", text: (row) => integer(row.kvLen) },
        { name: "Pieces", text: (row) => integer(row.pieces) },
        { name: "Merges", text: (row) => integer(row.merges) },
        { name: "Workers", text: (row) => integer(row.lanes) },
        { name: "Work", text: (row) => microseconds(row.busyUs) },
        { name: "Longest piece", text: (row) => microseconds(row.longestUs) },
        { name: "Finishes", text: (row) => microseconds(row.finishUs) },
      ],
      work.requests.slice(0, MAX_REQUESTS),
    );
  }

  #rows(): HTMLElement {
    const { group, sort } = this.#app.state;
    const { document, work } = this.#prepared;
    const { rows } = this.#prepared.rows(group, sort);
    const duration = document.durationUs || 1;
    return dataTable(
      group === "sm" ? "Streaming multiprocessors" : "Workers",
      [
        { name: group === "sm" ? "SM" : "Worker", text: (row) => row.label, left: true },
        { name: "Bars", text: (row) => integer(row.lanes.reduce((sum, lane) => sum + work.lanes.slices[lane]!, 0)) },
        { name: group === "sm" ? "Busy, all workers" : "Busy", text: (row) => microseconds(row.busyUs) },
        { name: "Busy share", text: (row) => percent(row.busyUs / (duration * Math.max(row.lanes.length, 1))) },
        {
          name: "Finishes",
          text: (row) => microseconds(row.lanes.reduce((last, lane) => Math.max(last, work.lanes.finishUs[lane]!), 0)),
        },
      ],
      rows,
    );
  }

  #bars(): HTMLElement[] {
    const { pin, request } = this.#app.state;
    const { document } = this.#prepared;
    const { slices, lanes } = document;
    let places: PiecePlace[] = [];
    if (pin >= 0 && pin < slices.count) places = jobOf(document, pin).members;
    else if (request !== null) places = placesOf(document, request);
    if (places.length === 0) return [];
    const note = places.length > MAX_BARS ? ` (first ${integer(MAX_BARS)} of ${integer(places.length)})` : "";
    return [
      dataTable(
        `Bars of the selection${note}`,
        [
          { name: "Request", text: ({ slice }) => requestName(slices.request[slice]!), left: true },
          { name: "Kind", text: ({ slice }) => KINDS[slices.kind[slice]!]!, left: true },
          { name: "SM", text: ({ lane }) => String(lanes.sm[lane]) },
          { name: "Worker", text: ({ slice }) => String(slices.worker[slice]) },
          { name: "Head", text: ({ slice }) => String(slices.kvHead[slice]) },
          { name: "KV from", text: ({ slice }) => integer(slices.kvStart[slice]!) },
          { name: "to", text: ({ slice }) => integer(slices.kvEnd[slice]!) },
          { name: "Start", text: ({ slice }) => microseconds(slices.start[slice]!) },
          { name: "End", text: ({ slice }) => microseconds(slices.end[slice]!) },
        ],
        places.slice(0, MAX_BARS),
      ),
    ];
  }
}
