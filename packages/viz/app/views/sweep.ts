// View 5, a sweep: cost or throughput against two latencies with their limits, all fields as parallel axes, and beside them the
// front as a table and the configuration that is selected, with the command that replays it.

import type { Row } from "../documents/sweep.ts";
import { type MarkClass, markClasses } from "../draw/point-marks.ts";
import { sweepExports } from "../export/sweep-exports.ts";
import { integer, plural } from "../format.ts";
import { type Measure, metricName, metricText, Sweep, valueText, type Workload } from "../model/sweep.ts";
import { h } from "../ui/dom.ts";
import { factList, keyFigure } from "../ui/facts.ts";
import { markSample } from "../ui/mark-sample.ts";
import { Tooltip } from "../ui/tooltip.ts";
import type { SearchResult, View, Viewer } from "../viewer.ts";
import { ParallelAxes } from "./parallel-axes.ts";
import { Scatter } from "./scatter.ts";
import { SweepTables } from "./sweep-tables.ts";

export function sweepView(app: Viewer): View {
  const sweep = new Sweep(app.sweep!);
  const { document } = sweep;
  const tooltip = new Tooltip();
  let hover = -1;
  let summarised: Workload | undefined;
  let classes: { readonly key: unknown[]; readonly of: (row: Row) => MarkClass; readonly all: MarkClass[] } | undefined;

  const workload = (): Workload => sweep.workloads[app.state.workload] ?? sweep.workloads[0]!;
  const by = (): string => (sweep.paths.includes(app.state.by) ? app.state.by : (sweep.paths[0] ?? ""));
  const measures = (): { x: Measure; y: Measure; z: Measure } => {
    const { x, y, z } = app.state;
    // Where everything costs the same, latencies are held against one another.
    const [first, second, third] = [...(sweep.hasOneCost ? [] : [sweep.cost.key]), ...document.objectives, "e2eMs.p99"];
    return { x: sweep.measure(x, first!), y: sweep.measure(y, second!), z: sweep.measure(z, third ?? "e2eMs.p50") };
  };
  const keepsLimits = ({ misses }: Row): boolean => misses === null || misses.length === 0;
  const pick = (configuration: number): void => app.set({ point: configuration });
  const onHover = (configuration: number, x: number, y: number): void => {
    const row = sweep.rowOf.get(configuration);
    if (row === undefined) tooltip.hide();
    else tooltip.show([h("p", { class: "tooltip-title" }, tables.title(row)), factList(tables.facts(row))], x, y);
    if (hover === configuration) return;
    hover = configuration;
    app.refresh();
  };

  const chooser = (label: string, options: readonly Node[], choose: (value: string) => void): HTMLSelectElement => {
    const select = h("select", { class: "picker", "aria-label": label }, ...options);
    select.addEventListener("change", () => choose(select.value));
    return select;
  };
  const measureOptions = (): Node[] =>
    sweep.measureGroups.map(({ name, measures: own }) =>
      h("optgroup", { label: name }, ...own.map((measure) => h("option", { value: measure.key }, measure.name))),
    );
  const xChooser = chooser("Across", measureOptions(), (x) => app.set({ x }));
  const yChooser = chooser("Up, first picture", measureOptions(), (y) => app.set({ y }));
  const zChooser = chooser("Up, second picture", measureOptions(), (z) => app.set({ z }));
  const byChooser = chooser(
    "Marks by",
    sweep.paths.map((path) => h("option", { value: path }, path)),
    (path) => app.set({ by: path }),
  );
  const workloadChooser = chooser(
    "Workload",
    sweep.workloads.map(({ name }, i) => h("option", { value: i }, name)),
    (i) => app.set({ workload: Number(i), point: -1 }),
  );
  const [yNote, zNote] = [h("span", { class: "muted" }), h("span", { class: "muted" })];
  const legend = h("ul", { class: "legend", "aria-label": "Marks" });
  const scatters = [
    new Scatter("First picture", [yChooser, yNote], { onHover, onPick: pick }),
    new Scatter("Second picture", [zChooser, zNote], { onHover, onPick: pick }),
  ] as const;
  const axes = new ParallelAxes(sweep, onHover, pick);
  const tables = new SweepTables(app, sweep, pick);
  const summary = h("section", { class: "summary", "aria-label": "Summary" });
  const labelled = (label: string, control: HTMLElement): HTMLElement =>
    h("label", { class: "choice" }, h("span", { class: "choice-label" }, label), control);

  const element = h(
    "div",
    { class: "sweep view" },
    summary,
    h(
      "div",
      { class: "toolbar" },
      sweep.workloads.length > 1 ? labelled("Workload", workloadChooser) : null,
      labelled("Across", xChooser),
      sweep.paths.length === 0 ? null : labelled("Marks by", byChooser),
      legend,
    ),
    h(
      "div",
      { class: "sweep-body" },
      h(
        "section",
        { class: "sweep-charts", "aria-label": "Pictures" },
        h("div", { class: "scatters" }, ...scatters.map((scatter) => scatter.element)),
        axes.element,
        tables.all,
      ),
      h("aside", { class: "side", "aria-label": "Details" }, tables.selection, tables.front, tables.others),
    ),
    tooltip.element,
  );

  function showSummary(): void {
    if (summarised === workload()) return;
    summarised = workload();
    const { group, completed, smallest, onFront } = summarised;
    const { limits, counts } = document;
    const best = completed.find(({ configuration }) => smallest.has(configuration));
    const nearest = best ?? (limits === null ? undefined : sweep.nearest(completed));
    const turnsAway = completed.every(({ misses }) => misses?.some(({ metric }) => metric === "rejectedShare"));
    const tone = best !== undefined ? "good" : limits !== null ? "bad" : "";
    const headline =
      best !== undefined
        ? `Smallest within limits: ${sweep.describe(best.fields)}`
        : limits !== null
          ? `No deployment of ${integer(group.deployments)} keeps the limits${turnsAway ? ": each rejects requests" : ""}`
          : `${integer(group.front.length)} of ${plural(group.deployments, "deployment")} on the front`;
    const notes = [
      document.title,
      `${integer(counts.completed)} of ${plural(counts.total, "configuration")} replayed to the end`,
      ...(counts.missing > 0 ? [`${integer(counts.missing)} missing`] : []),
      ...(limits === null
        ? []
        : [[...limits].map(([metric, limit]) => `${metricName(metric)} ≤ ${metricText(metric, limit)}`).join(", ")]),
      ...(best === undefined && nearest !== undefined ? [`nearest: ${sweep.describe(nearest.fields)}`] : []),
      ...(best === undefined ? [] : [`${integer(onFront.size)} on the front`]),
    ];
    const cost = sweep.cost;
    summary.className = `summary ${tone}`;
    summary.replaceChildren(
      h("div", { class: "summary-text" }, h("h1", {}, headline), h("p", { class: "muted" }, notes.join("  ·  "))),
      h(
        "div",
        { class: "figures" },
        ...(nearest === undefined
          ? []
          : [
              ...(cost.key === "gpus" ? [] : [keyFigure(cost.name, cost.text(cost.of(nearest)!))]),
              keyFigure("GPUs", integer(nearest.gpus ?? 0)),
              ...document.objectives.map((metric) => {
                const measure = sweep.measure(metric, metric);
                const value = measure.of(nearest);
                const isMissed = value === null || (measure.limit !== undefined && value > measure.limit);
                const color = measure.limit === undefined ? "" : isMissed ? "bad" : "good";
                return keyFigure(measure.name, metricText(metric, value), "", color);
              }),
            ]),
      ),
    );
  }

  /** Made anew when what they depend on changes; charts compare them by identity. */
  function marks(): NonNullable<typeof classes> {
    const path = by();
    const key = [path, app.palette];
    if (classes !== undefined && key.every((part, i) => part === classes!.key[i])) return classes;
    const all = markClasses(path === "" ? ["all"] : sweep.valuesOf(path), app.palette);
    const found = new Map(all.map((one) => [one.label, one]));
    classes = { key, all, of: (row) => (path === "" ? all[0]! : found.get(valueText(row.fields, path))!) };
    legend.replaceChildren(
      ...all.map((one) => h("li", {}, markSample(one, 5, true), one.label)),
      h("li", { class: "muted" }, "large: on the front"),
      ...(document.limits === null ? [] : [h("li", { class: "muted" }, "hollow: misses a limit")]),
      h("li", { class: "muted" }, "line: front of the two alone"),
    );
    return classes;
  }

  function update(): void {
    const { palette, state } = app;
    const { x, y, z } = measures();
    const { completed, onFront, smallest } = workload();
    xChooser.value = x.key;
    yChooser.value = y.key;
    zChooser.value = z.key;
    yNote.textContent = y.better === "less" ? "↓ less is better" : "↑ more is better";
    zNote.textContent = z.better === "less" ? "↓ less is better" : "↑ more is better";
    byChooser.value = by();
    workloadChooser.value = String(sweep.workloads.indexOf(workload()));
    showSummary();
    const classOf = marks().of;
    const marked = [state.point, hover].filter((configuration) => configuration >= 0);
    const input = { palette, rows: completed, classOf, keepsLimits, onFront, smallest };
    scatters[0].draw({ ...input, x, y }, marked);
    scatters[1].draw({ ...input, x, y: z }, marked);
    axes.draw(
      { ...input, measures: [sweep.cost, ...document.objectives.map((metric) => sweep.measure(metric, metric))] },
      marked,
    );
    tables.update(workload(), classOf);
  }

  const observer = new ResizeObserver(() => app.refresh());
  observer.observe(element);

  return {
    element,
    update,
    destroy: () => observer.disconnect(),
    get exports() {
      const { y, z } = measures();
      return sweepExports(sweep, app.palette, [
        { label: "First picture", title: y.name, svg: scatters[0].svg },
        { label: "Second picture", title: z.name, svg: scatters[1].svg },
        { label: "Parallel axes", title: "", svg: axes.svg },
      ]);
    },
    search,
    searchable: "configuration 3, or values of fields",
    key,
  };

  function search(text: string): SearchResult[] {
    const words = text.toLowerCase().split(/\s+/);
    const matching = workload().completed.filter(({ configuration, fields }) => {
      const own = `configuration ${configuration} ${sweep.describe(fields)}`.toLowerCase();
      return words.every((word) => own.includes(word));
    });
    return matching.slice(0, 20).map((row) => ({
      label: sweep.describe(row.fields),
      note: `configuration ${row.configuration}`,
      go: () => pick(row.configuration),
    }));
  }

  /** Arrows walk along the front, cheapest first. */
  function key(event: KeyboardEvent): boolean {
    const { point, table } = app.state;
    const along = [...workload().onFront].filter((configuration) => sweep.rowOf.has(configuration));
    switch (event.key) {
      case "ArrowRight":
      case "ArrowLeft": {
        if (along.length === 0) return false;
        const step = event.key === "ArrowRight" ? 1 : -1;
        const at = along.indexOf(point);
        pick(along[at < 0 ? (step > 0 ? 0 : along.length - 1) : Math.min(Math.max(at + step, 0), along.length - 1)]!);
        return true;
      }
      case "c":
      case "C":
        if (sweep.paths.length === 0) return false;
        app.set({ by: sweep.paths[(sweep.paths.indexOf(by()) + 1) % sweep.paths.length]! });
        return true;
      case "t":
      case "T":
        app.set({ table: !table });
        return true;
      case "Escape":
        if (app.notices.closeLast()) return true;
        if (table) app.set({ table: false });
        else if (point >= 0) app.set({ point: -1 });
        else return false;
        return true;
    }
    return false;
  }
}
