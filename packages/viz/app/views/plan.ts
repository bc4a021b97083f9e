// View 4, the plan: every job as a line of KV tiles with its cuts and the workers of its pieces; the merge of a chosen job
// as a tree beside it.

import { MERGE } from "../documents/timeline.ts";
import { requestName } from "../draw/classes.ts";
import { jobsCsv, jobsJson } from "../export/plan-exports.ts";
import { fileStem } from "../export/timeline-exports.ts";
import { duration, integer, microseconds, percent, plural } from "../format.ts";
import type { Job } from "../model/jobs.ts";
import { prepare } from "../model/prepared.ts";
import type { JobScale, JobSort } from "../state.ts";
import { download, h } from "../ui/dom.ts";
import { Choice, dataTable, factList, keyFigure } from "../ui/facts.ts";
import { Tooltip } from "../ui/tooltip.ts";
import type { SearchResult, View, Viewer } from "../viewer.ts";
import { stepBack, takesArrows } from "./chart-keys.ts";
import { JobList } from "./job-list.ts";
import { mergeTree } from "./merge-tree.ts";

// Chosen: beyond this, collecting jobs takes seconds, and no one reads a hundred thousand lines.
const MAX_SLICES = 2_000_000;

export function planView(app: Viewer): View {
  const prepared = prepare(app.timeline!);
  if (prepared.document.slices.count > MAX_SLICES) return tooLarge(app, prepared.document.slices.count);
  const { document } = prepared;
  const { slices, lanes } = document;
  const { jobs } = prepared;
  const orders = new Map<JobSort, readonly number[]>();
  const tooltip = new Tooltip();

  const finish = (job: Job): number => job.members.reduce((last, { slice }) => Math.max(last, slices.end[slice]!), 0);
  const piecesOf = (job: Job): number => job.members.filter(({ slice }) => slices.kind[slice] !== MERGE).length;

  function order(sort: JobSort): readonly number[] {
    let found = orders.get(sort);
    if (found === undefined) {
      const all = jobs.map((_, i) => i);
      if (sort !== "request") {
        const key = new Map(all.map((i) => [i, sort === "pieces" ? piecesOf(jobs[i]!) : finish(jobs[i]!)]));
        all.sort((a, b) => key.get(b)! - key.get(a)! || a - b);
      }
      found = all;
      orders.set(sort, found);
    }
    return found;
  }

  const list = new JobList(prepared, {
    onPick: (job) => app.set({ job: app.state.job === job ? -1 : job }),
    onHover: (slice, lane, x, y) => {
      if (slice < 0) tooltip.hide();
      else {
        tooltip.show(
          [
            h("p", { class: "tooltip-title" }, `Worker ${slices.worker[slice]}, SM ${lanes.sm[lane]}`),
            factList([
              ["KV tokens", `${integer(slices.kvStart[slice]!)} – ${integer(slices.kvEnd[slice]!)}`],
              ["Time", `${microseconds(slices.start[slice]!)} – ${microseconds(slices.end[slice]!)}`],
            ]),
          ],
          x,
          y,
        );
      }
    },
  });
  const scale = new Choice<JobScale>(
    "Width",
    [
      ["tokens", "KV tokens"],
      ["share", "Same width"],
    ],
    (value) => app.set({ jobScale: value }),
  );
  const sort = new Choice<JobSort>(
    "Order",
    [
      ["request", "Request"],
      ["pieces", "Pieces"],
      ["finish", "Finish"],
    ],
    (value) => app.set({ jobSort: value }),
  );
  const side = h("aside", { class: "side", "aria-label": "Job" });
  let shown = -2;

  const element = h(
    "div",
    { class: "plan view" },
    summary(),
    h(
      "div",
      { class: "toolbar" },
      scale.element,
      sort.element,
      h("span", { class: "muted" }, "One line per job (request × KV head × query tile); numbers are workers"),
    ),
    h("div", { class: "plan-body" }, h("div", { class: "chart-box" }, list.element), side),
    tooltip.element,
  );

  function summary(): HTMLElement {
    const { stats, policy, device } = document;
    const used = prepared.work.lanes.slices.reduce((count, n) => count + (n > 0 ? 1 : 0), 0);
    const split = jobs.length > 0 ? stats.splitJobs / jobs.length : 0;
    return h(
      "section",
      { class: "summary", "aria-label": "Summary" },
      h(
        "div",
        { class: "summary-text" },
        h(
          "h1",
          {},
          `${plural(jobs.length, "job")} in ${plural(stats.pieces, "piece")} on ${integer(used)} of ${integer(lanes.count)} workers`,
        ),
        h(
          "p",
          { class: "muted" },
          `policy ${policy}  ·  ${device.name}  ·  ${document.title === "" ? document.file : document.title}`,
        ),
      ),
      h(
        "div",
        { class: "figures" },
        keyFigure("Split jobs", `${integer(stats.splitJobs)} (${percent(split)})`),
        keyFigure("Partial slots", integer(stats.partialSlots)),
        keyFigure("Merged rows", integer(stats.mergeRows)),
        keyFigure("Planned makespan", duration(stats.makespanUs)),
        keyFigure("Imbalance", `${stats.imbalance.toFixed(3)}`),
      ),
    );
  }

  function showJob(index: number): void {
    if (index === shown) return;
    shown = index;
    const job = jobs[index];
    if (job === undefined) {
      side.replaceChildren(
        h(
          "section",
          {},
          h("h2", {}, "A job"),
          h("p", { class: "muted" }, "Choose a line to see its pieces and how their partial states are merged."),
        ),
        h("section", {}, h("h2", {}, "Jobs by pieces"), pieceHistogram()),
      );
      return;
    }
    const pieces = job.members.filter(({ slice }) => slices.kind[slice] !== MERGE);
    side.replaceChildren(
      h(
        "section",
        { class: "selection" },
        h("h2", {}, `${requestName(job.request)} · KV head ${job.kvHead}`),
        factList([
          ["First query row", integer(job.qTile)],
          ["Pieces", integer(pieces.length)],
          ["Workers", integer(new Set(pieces.map(({ slice }) => slices.worker[slice])).size)],
          ["Finishes", microseconds(finish(job))],
        ]),
        h(
          "button",
          {
            type: "button",
            class: "plain",
            onclick: () => app.set({ view: "occupancy", pin: job.members[0]!.slice, request: null }),
          },
          "Show on the SMs",
        ),
      ),
      h("section", {}, h("h2", {}, "Merge"), mergeTree(document, job)),
      h(
        "section",
        {},
        h("h2", {}, "Pieces"),
        dataTable(
          "Pieces",
          [
            { name: "KV from", text: ({ slice }) => integer(slices.kvStart[slice]!) },
            { name: "to", text: ({ slice }) => integer(slices.kvEnd[slice]!) },
            { name: "SM", text: ({ lane }) => String(lanes.sm[lane]) },
            { name: "Worker", text: ({ slice }) => String(slices.worker[slice]) },
            { name: "Start", text: ({ slice }) => microseconds(slices.start[slice]!) },
            { name: "End", text: ({ slice }) => microseconds(slices.end[slice]!) },
          ],
          pieces,
        ),
      ),
    );
  }

  function pieceHistogram(): HTMLElement {
    const counts = new Map<number, number>();
    for (const job of jobs) counts.set(piecesOf(job), (counts.get(piecesOf(job)) ?? 0) + 1);
    return dataTable(
      "Jobs by pieces",
      [
        { name: "Pieces", text: ([pieces]) => integer(pieces), left: true },
        { name: "Jobs", text: ([, count]) => integer(count) },
        { name: "Share", text: ([, count]) => percent(count / jobs.length) },
      ],
      [...counts].sort((a, b) => b[0] - a[0]).slice(0, 40),
    );
  }

  return {
    element,
    update: () => {
      const { state, palette } = app;
      scale.show(state.jobScale);
      sort.show(state.jobSort);
      list.update({ order: order(state.jobSort), scale: state.jobScale, selected: state.job, palette });
      showJob(state.job);
    },
    destroy: () => list.destroy(),
    key: (event) => {
      if (event.key === "Escape" && app.state.job >= 0) {
        app.set({ job: -1 });
        return true;
      }
      if (event.key === "Escape") return stepBack(app);
      if (event.key === "o" || event.key === "O") {
        const sorts: readonly JobSort[] = ["request", "pieces", "finish"];
        app.set({ jobSort: sorts[(sorts.indexOf(app.state.jobSort) + 1) % sorts.length]! });
        return true;
      }
      const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      if (step === 0 || !takesArrows(list.canvas)) return false;
      const all = order(app.state.jobSort);
      const at = Math.min(Math.max(all.indexOf(app.state.job) + step, 0), all.length - 1);
      app.set({ job: all[at] ?? -1 });
      list.reveal(at);
      return true;
    },
    searchable: "request 3",
    search: (text): SearchResult[] => {
      const number = /^(?:request\s*)?(\d+)$/.exec(text);
      const request = number === null ? Number.NaN : Number(number[1]);
      return jobs.flatMap((job, i) =>
        job.request === request
          ? [
              {
                label: `${requestName(request)} · KV head ${job.kvHead}`,
                note: `row ${integer(job.qTile)}`,
                go: () => {
                  app.set({ job: i });
                  list.reveal(order(app.state.jobSort).indexOf(i));
                },
              },
            ]
          : [],
      );
    },
    exports: [
      {
        label: "Jobs and pieces (CSV)",
        run: () => download(`${fileStem(document)}-plan.csv`, jobsCsv(document, jobs), "text/csv"),
      },
      {
        label: "Jobs and pieces (JSON)",
        run: () => download(`${fileStem(document)}-plan.json`, jobsJson(document, jobs), "application/json"),
      },
    ],
  };
}

function tooLarge(app: Viewer, count: number): View {
  const back = h(
    "button",
    { type: "button", class: "plain", onclick: () => app.set({ view: "occupancy" }) },
    "Show the SMs",
  );
  return {
    element: h(
      "section",
      { class: "plan view empty" },
      h("h1", {}, "Too many pieces for one plan"),
      h(
        "p",
        {},
        `${integer(count)} slices are more than one launch has; jobs are collected up to ${integer(MAX_SLICES)}.`,
      ),
      h("p", {}, back),
    ),
    update: () => {},
    destroy: () => {},
    key: () => false,
    search: () => [],
    searchable: "",
    exports: [],
  };
}
