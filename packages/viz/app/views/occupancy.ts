// View 1, SM occupancy: one row per SM or worker, time across; the lower bound is a line and everything right of it is
// waste. The verdict stands above, details beside.

import { laneLabel } from "../../src/lanes.ts";
import { KINDS } from "../documents/timeline.ts";
import { requestName } from "../draw/classes.ts";
import type { RowMode } from "../draw/lane-layout.ts";
import { timelineExports } from "../export/timeline-exports.ts";
import { duration, integer, percent, plural, times } from "../format.ts";
import { sliceFacts, sliceTitle } from "../model/describe-slice.ts";
import { jobOf, laneOf, type PiecePlace, placesOf } from "../model/jobs.ts";
import { prepare } from "../model/prepared.ts";
import { reportOf } from "../model/replay.ts";
import { busyFraction } from "../model/work.ts";
import { h, swatch } from "../ui/dom.ts";
import { Choice, factList, keyFigure } from "../ui/facts.ts";
import { Tooltip } from "../ui/tooltip.ts";
import type { SearchResult, View, Viewer } from "../viewer.ts";
import { chartKey } from "./chart-keys.ts";
import { fullSpan, LaneChart } from "./lane-chart.ts";
import { colorChoice, orderChoice } from "./lane-choices.ts";
import { SidePanel } from "./side-panel.ts";
import { TextTable } from "./text-table.ts";

export function occupancyView(app: Viewer): View {
  const prepared = prepare(app.timeline!);
  const { document } = prepared;
  const tooltip = new Tooltip();
  let hover = -1;
  let selected: { key: string; bright: PiecePlace[] | null; linked: PiecePlace[] | null } = {
    key: "",
    bright: null,
    linked: null,
  };

  const chart = new LaneChart(
    {
      onTime: (time) => app.set({ time }),
      onRows: (rows) => app.set({ rows }),
      onRange: (range) => app.set({ range }),
      onPick: (slice) => app.set({ pin: slice, request: null }),
      onOpen: (slice) => {
        if (slice >= 0) app.set({ time: around(slice) });
      },
      onHover: (slice, lane, _timeUs, x, y) => {
        hover = slice;
        if (slice < 0) tooltip.hide();
        else {
          const title = h("p", { class: "tooltip-title" }, sliceTitle(document, slice));
          tooltip.show([title, factList(sliceFacts(document, slice, lane))], x, y);
        }
        app.refresh();
      },
      onLeave: () => {
        hover = -1;
        tooltip.hide();
        app.refresh();
      },
    },
    `SM occupancy: ${prepared.verdict.headline}`,
  );
  const side = new SidePanel(app, prepared);
  const table = new TextTable(app, prepared);
  const color = colorChoice(app);
  const group = new Choice<RowMode>(
    "Rows",
    [
      ["sm", "SM"],
      ["worker", "Worker"],
    ],
    (mode) => app.set({ group: mode, rows: [1, 0] }),
  );
  const sort = orderChoice(app);
  const legend = h("ul", { class: "legend", "aria-label": "Colours" });
  const live = h("p", { class: "visually-hidden", "aria-live": "polite" });

  const element = h(
    "div",
    { class: "occupancy view" },
    summary(),
    h(
      "div",
      { class: "toolbar" },
      color.element,
      group.element,
      sort.element,
      h("span", { class: "grow" }),
      overviewNote(),
      legend,
    ),
    h("div", { class: "chart-and-side" }, h("div", { class: "chart-box" }, chart.element, table.element), side.element),
    h(
      "p",
      { id: "chart-keys", class: "visually-hidden" },
      "Arrow keys walk along the bars and pin them, W A S D move, question mark lists all keys.",
    ),
    live,
    tooltip.element,
  );

  function overviewNote(): HTMLElement | null {
    if (document.overview === undefined) return null;
    const slices = integer(document.overview.sliceCount);
    return h("span", { class: "badge overview-note" }, `overview, while ${slices} slices are read`);
  }

  function summary(): HTMLElement {
    const { verdict, work } = prepared;
    const { stats, device, lowerBoundUs, durationUs } = document;
    const ratio = lowerBoundUs > 0 ? durationUs / lowerBoundUs : 1;
    return h(
      "section",
      { class: `summary ${verdict.severity}`, "aria-label": "Summary" },
      h(
        "div",
        { class: "summary-text" },
        h("h1", {}, verdict.headline, backToReplay()),
        h(
          "p",
          { class: "muted" },
          [
            document.title === "" ? document.file : document.title,
            `policy ${document.policy}`,
            `${document.source} on ${device.name}`,
            `${integer(device.smCount)} SMs × ${device.ctasPerSm}`,
            `${plural(document.kvLens.length, "request")}, ${document.attention.queryHeads}/${document.attention.kvHeads} heads`,
          ].join("  ·  "),
        ),
      ),
      h(
        "div",
        { class: "figures" },
        keyFigure("Duration", duration(durationUs)),
        keyFigure("Lower bound", lowerBoundUs > 0 ? duration(lowerBoundUs) : "–"),
        keyFigure("Ratio", times(ratio), "", verdict.severity),
        keyFigure("Busy", percent(busyFraction(document, work))),
        keyFigure("Pieces", integer(stats.pieces)),
        keyFigure("Merged rows", integer(stats.mergeRows)),
      ),
    );
  }

  /** The way back for a step that was opened from a replay. */
  function backToReplay(): HTMLElement | null {
    const report = reportOf(app.documents, document);
    if (report < 0) return null;
    return h("button", { type: "button", class: "plain back", onclick: () => app.open(report) }, "← Replay");
  }

  /** A slice with as much time on both sides. */
  function around(slice: number): readonly [number, number] {
    const start = document.slices.start[slice]!;
    const end = document.slices.end[slice]!;
    const air = Math.max((end - start) / 2, 1e-3);
    return [Math.max(0, start - air), Math.min(end + air, fullSpan(prepared))];
  }

  function select(): void {
    const { pin, request } = app.state;
    const key = `${pin}/${request}`;
    if (selected.key === key) return;
    if (pin >= 0 && pin < document.slices.count) {
      const { members } = jobOf(document, pin);
      selected = { key, bright: members, linked: members };
    } else if (request !== null) selected = { key, bright: placesOf(document, request), linked: null };
    else selected = { key, bright: null, linked: null };
  }

  function time(): readonly [number, number] {
    return app.state.time ?? [0, fullSpan(prepared)];
  }

  function update(): void {
    const { state, palette } = app;
    select();
    color.show(state.color);
    group.show(state.group);
    sort.show(state.sort);
    legend.replaceChildren(
      ...prepared
        .classes(state.color)
        .legend(palette)
        .map((entry) =>
          h(
            "li",
            {},
            swatch(entry.color),
            entry.label,
            entry.note === "" ? null : h("span", { class: "muted" }, ` ${entry.note}`),
          ),
        ),
    );
    chart.update({
      prepared,
      palette,
      time: time(),
      limits: [0, fullSpan(prepared)],
      rows: state.rows,
      color: state.color,
      group: state.group,
      sort: state.sort,
      bright: selected.bright,
      linked: selected.linked,
      pin: state.pin,
      hover,
      range: state.range,
    });
    side.update();
    table.update();
  }

  function search(text: string): SearchResult[] {
    const results: SearchResult[] = [];
    const number = /(\d+)\s*$/.exec(text);
    const wanted = number === null ? -1 : Number(number[1]);
    const word = text.replace(/\d+\s*$/, "").trim();
    if (wanted >= 0 && "request".startsWith(word)) {
      const row = prepared.work.byRequest.get(wanted);
      if (row !== undefined) {
        results.push({
          label: requestName(wanted),
          note: `${integer(row.kvLen)} KV tokens`,
          go: () => app.set({ request: wanted, pin: -1 }),
        });
      }
    }
    const lane = (label: string, k: number): SearchResult => ({
      label,
      note: `${percent(prepared.work.lanes.busyUs[k]! / (document.durationUs || 1))} busy`,
      go: () => focusLane(k),
    });
    if (wanted >= 0 && "sm".startsWith(word)) {
      const k = document.lanes.sm.indexOf(wanted);
      if (k >= 0) results.push(lane(`SM ${wanted}`, k));
    }
    if (wanted >= 0 && wanted < document.lanes.count && "worker".startsWith(word)) {
      results.push(lane(laneLabel(document.lanes, wanted), wanted));
    }
    KINDS.forEach((name, kind) => {
      const slices = prepared.work.kinds[kind]!.slices;
      if (word !== "" && name.startsWith(word) && slices > 0) {
        results.push({ label: `${name} (longest)`, note: `${integer(slices)} bars`, go: () => pinLongest(kind) });
      }
    });
    return results;
  }

  function pinLongest(kind: number): void {
    const { slices } = document;
    let best = -1;
    for (let i = 0; i < slices.count; i++) {
      if (slices.kind[i] !== kind) continue;
      if (best === -1 || slices.end[i]! - slices.start[i]! > slices.end[best]! - slices.start[best]!) best = i;
    }
    app.set({ pin: best, request: null });
  }

  /** Zooms the rows so that a lane is tall enough to read, and pins its first bar. */
  function focusLane(lane: number): void {
    const { rows, rowOfLane } = prepared.rows(app.state.group, app.state.sort);
    const zoom = Math.max(1, rows.length / 24);
    const first = Math.max(0, Math.min(rowOfLane[lane]! - 12, rows.length - rows.length / zoom));
    const slice = document.lanes.offset[lane]!;
    app.set({ rows: [zoom, first], pin: slice < document.lanes.offset[lane + 1]! ? slice : -1, request: null });
  }

  return {
    element,
    update,
    destroy: () => chart.destroy(),
    search,
    searchable: "request 3, SM 7, worker 4 or merge",
    exports: timelineExports(app, prepared, chart),
    key: (event) =>
      chartKey(event, {
        app,
        prepared,
        time,
        limits: [0, fullSpan(prepared)],
        chart,
        fit: () => {
          const { pin, range, request } = app.state;
          if (range !== null) return range;
          if (pin >= 0) return around(pin);
          const row = request === null ? undefined : prepared.work.byRequest.get(request);
          return row === undefined || row.pieces === 0 ? null : spanOf(placesOf(document, request!));
        },
        say: (slice) => {
          const facts = sliceFacts(document, slice, laneOf(document, slice));
          live.textContent = `${sliceTitle(document, slice)}. ${facts.map((fact) => fact.join(" ")).join(". ")}`;
        },
      }),
  };

  function spanOf(places: readonly PiecePlace[]): readonly [number, number] {
    let from = Number.POSITIVE_INFINITY;
    let to = 0;
    for (const { slice } of places) {
      from = Math.min(from, document.slices.start[slice]!);
      to = Math.max(to, document.slices.end[slice]!);
    }
    const air = (to - from) * 0.03;
    return [Math.max(from - air, 0), Math.min(to + air, fullSpan(prepared))];
  }
}
