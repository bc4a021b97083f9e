// View 2, two timelines on one time axis: two policies, or the simulated and the measured run of one plan. Zoom and
// selection are linked; the table beside names the differences.

import type { TimelineDocument } from "../documents/timeline.ts";
import { titleOf } from "../documents/title.ts";
import { requestName } from "../draw/classes.ts";
import { csv } from "../export/csv.ts";
import { fileStem } from "../export/timeline-exports.ts";
import { duration, integer, percent, times } from "../format.ts";
import { type Comparison, compare } from "../model/compare.ts";
import { sliceFacts, sliceTitle } from "../model/describe-slice.ts";
import { jobOf, type PiecePlace, placesOf } from "../model/jobs.ts";
import { type Prepared, prepare } from "../model/prepared.ts";
import { download, h } from "../ui/dom.ts";
import { dataTable, factList } from "../ui/facts.ts";
import { Tooltip } from "../ui/tooltip.ts";
import type { SearchResult, View, Viewer } from "../viewer.ts";
import { chartKey } from "./chart-keys.ts";
import { fullSpan, LaneChart } from "./lane-chart.ts";
import { colorChoice, orderChoice } from "./lane-choices.ts";

export function compareView(app: Viewer): View {
  const first = prepare(app.timeline!);
  const second = prepare(app.documents[app.state.other] as TimelineDocument);
  const both = [first, second] as const;
  const all: readonly [number, number] = [0, Math.max(fullSpan(first), fullSpan(second))];
  const comparison = compare(first, second);
  const tooltip = new Tooltip();
  const hover = [-1, -1];
  let bright: readonly [PiecePlace[] | null, PiecePlace[] | null] = [null, null];
  let brightKey = "";

  const charts = both.map(
    (prepared, side) =>
      new LaneChart(
        {
          onTime: (time) => app.set({ time }),
          onRows: (rows) => app.set({ rows }),
          onRange: (range) => app.set({ range }),
          onPick: (slice) => pick(side, slice),
          onOpen: (slice) => {
            if (slice >= 0) {
              const { start, end } = prepared.document.slices;
              const air = (end[slice]! - start[slice]!) / 2;
              app.set({ time: [Math.max(0, start[slice]! - air), Math.min(end[slice]! + air, all[1])] });
            }
          },
          onHover: (slice, lane, _timeUs, x, y) => {
            hover[side] = slice;
            hover[1 - side] = -1;
            if (slice < 0) tooltip.hide();
            else {
              const title = h("p", { class: "tooltip-title" }, sliceTitle(prepared.document, slice));
              tooltip.show([title, factList(sliceFacts(prepared.document, slice, lane))], x, y);
            }
            app.refresh();
          },
          onLeave: () => {
            hover.fill(-1);
            tooltip.hide();
            app.refresh();
          },
        },
        `${side === 0 ? "First" : "Second"} timeline: ${titleOf(prepared.document)}`,
      ),
  );

  /** A pick in either picture selects the same job in both; the state names it by its bar in the first. */
  function pick(side: number, slice: number): void {
    if (slice < 0) app.set({ pin: -1, request: null });
    else if (side === 0) app.set({ pin: slice, request: null });
    else {
      const { key } = jobOf(second.document, slice);
      const twin = findJob(first, key.request, key.kvHead, key.qTile);
      if (twin >= 0) app.set({ pin: twin, request: null });
      else app.set({ pin: -1, request: key.request });
    }
  }

  const color = colorChoice(app);
  const sort = orderChoice(app);
  const picker = h("select", { class: "picker", "aria-label": "Second timeline" });
  app.documents.forEach((document, i) => {
    if (document.type === "timeline" && i !== app.state.doc) {
      picker.append(h("option", { value: i, selected: i === app.state.other }, titleOf(document)));
    }
  });
  picker.addEventListener("change", () => app.set({ other: Number(picker.value) }));

  const element = h(
    "div",
    { class: "compare view" },
    h(
      "section",
      { class: `summary ${comparison.severity}`, "aria-label": "Summary" },
      h(
        "div",
        { class: "summary-text" },
        h("h1", {}, comparison.headline),
        h("p", { class: "muted" }, comparison.note),
      ),
    ),
    h("div", { class: "toolbar" }, color.element, sort.element, h("span", { class: "muted" }, "Both on one time axis")),
    h(
      "div",
      { class: "chart-and-side" },
      h(
        "div",
        { class: "compare-charts" },
        ...charts.map((chart, side) =>
          h(
            "div",
            { class: "chart-box" },
            h(
              "div",
              { class: "compare-name" },
              h("span", { class: "badge-letter" }, side === 0 ? "A" : "B"),
              h("b", {}, titleOf(both[side]!.document)),
            ),
            chart.element,
          ),
        ),
      ),
      h(
        "aside",
        { class: "side", "aria-label": "Differences" },
        h("section", {}, h("h2", {}, "B"), picker, h("h2", {}, "Differences"), differenceTable(comparison)),
        comparison.errors === null ? null : errorSection(comparison.errors),
        comparison.requests.length === 0 ? null : requestSection(),
      ),
    ),
    h("p", { id: "chart-keys", class: "visually-hidden" }, "Arrow keys walk along the bars of the first timeline."),
    tooltip.element,
  );

  function requestSection(): HTMLElement {
    return h(
      "section",
      {},
      h("h2", {}, "When requests finish"),
      dataTable(
        "When requests finish",
        [
          { name: "Request", text: (row) => requestName(row.request), left: true },
          { name: "A", text: (row) => duration(row.first) },
          { name: "B", text: (row) => duration(row.second) },
          { name: "B − A", text: (row) => signed(row.second - row.first) },
        ],
        comparison.requests,
        {
          label: (row) => `Show ${requestName(row.request)} in both`,
          run: (row) => app.set({ request: app.state.request === row.request ? null : row.request, pin: -1 }),
        },
      ),
    );
  }

  function select(): void {
    const { pin, request } = app.state;
    const key = `${pin}/${request}`;
    if (key === brightKey) return;
    brightKey = key;
    if (pin >= 0 && pin < first.document.slices.count) {
      const job = jobOf(first.document, pin);
      const { request: wanted, kvHead, qTile } = job.key;
      const twin = findJob(second, wanted, kvHead, qTile);
      bright = [job.members, twin < 0 ? [] : jobOf(second.document, twin).members];
    } else if (request !== null) bright = [placesOf(first.document, request), placesOf(second.document, request)];
    else bright = [null, null];
  }

  const time = (): readonly [number, number] => app.state.time ?? all;

  function update(): void {
    const { state, palette } = app;
    select();
    color.show(state.color);
    sort.show(state.sort);
    charts.forEach((chart, side) => {
      chart.update({
        prepared: both[side]!,
        palette,
        time: time(),
        limits: all,
        rows: state.rows,
        color: state.color,
        group: state.group,
        sort: state.sort,
        bright: bright[side]!,
        linked: state.pin >= 0 ? bright[side]! : null,
        pin: side === 0 ? state.pin : -1,
        hover: hover[side]!,
        range: state.range,
      });
    });
  }

  return {
    element,
    update,
    destroy: () => {
      for (const chart of charts) chart.destroy();
    },
    key: (event) =>
      chartKey(event, {
        app,
        prepared: first,
        chart: charts[0]!,
        limits: all,
        time,
        fit: () => app.state.range,
        say: () => {},
      }),
    searchable: "request 3",
    search: (text): SearchResult[] => {
      const number = /^(?:request\s*)?(\d+)$/.exec(text);
      const request = number === null ? -1 : Number(number[1]);
      const row = first.work.byRequest.get(request);
      if (row === undefined) return [];
      return [
        {
          label: requestName(request),
          note: `${integer(row.kvLen)} KV tokens`,
          go: () => app.set({ request, pin: -1 }),
        },
      ];
    },
    exports: [
      {
        label: "Differences (CSV)",
        run: () => {
          const rows = comparison.rows.map((row) => [row.name, row.first, row.second]);
          const name = `${fileStem(first.document)}-and-${fileStem(second.document)}.csv`;
          download(name, csv(["figure", "A", "B"], rows), "text/csv");
        },
      },
    ],
  };
}

function findJob(prepared: Prepared, request: number, kvHead: number, qTile: number): number {
  const { slices } = prepared.document;
  for (let i = 0; i < slices.count; i++) {
    if (slices.request[i] === request && slices.kvHead[i] === kvHead && slices.qTile[i] === qTile) return i;
  }
  return -1;
}

function signed(us: number): string {
  return `${us < 0 ? "−" : "+"}${duration(Math.abs(us))}`;
}

function differenceTable(comparison: Comparison): HTMLElement {
  return dataTable(
    "Differences",
    [
      { name: "Figure", text: (row) => row.name, left: true },
      { name: "A", text: (row) => row.format(row.first) },
      { name: "B", text: (row) => row.format(row.second) },
      { name: "B / A", text: (row) => (row.first > 0 ? times(row.second / row.first) : "–") },
    ],
    comparison.rows,
  );
}

function errorSection(errors: NonNullable<Comparison["errors"]>): HTMLElement {
  return h(
    "section",
    {},
    h("h2", {}, "Simulated against measured"),
    h("p", { class: "muted" }, "The same plan: every piece has its twin. Error of the simulation:"),
    factList([
      ["Launch", `${signed(errors.durationUs)} (${percent(Math.abs(errors.durationShare))})`],
      ["Piece, mean of sizes", percent(errors.meanPieceShare)],
      ["Worker's end, mean of sizes", duration(errors.meanFinishUs)],
      ["Worker's end, largest", duration(errors.maxFinishUs)],
    ]),
    h("h3", {}, "Workers with the largest error"),
    dataTable(
      "Workers with the largest error",
      [
        { name: "Worker", text: (row) => String(row.worker), left: true },
        { name: "Simulated", text: (row) => duration(row.simulatedUs) },
        { name: "Measured", text: (row) => duration(row.measuredUs) },
        { name: "Error", text: (row) => signed(row.simulatedUs - row.measuredUs) },
      ],
      errors.workers,
    ),
  );
}
