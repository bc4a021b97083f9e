// Beside a sweep's pictures: the selected configuration, the front as a table, what did not run, and everything as a table.

import type { Point, Row } from "../documents/sweep.ts";
import type { MarkClass } from "../draw/point-marks.ts";
import { integer, milliseconds, plural, times } from "../format.ts";
import { type Measure, metricName, metricText, type Sweep, valueText, type Workload } from "../model/sweep.ts";
import { h } from "../ui/dom.ts";
import { dataTable, type Fact, factList, type TableColumn } from "../ui/facts.ts";
import { markSample } from "../ui/mark-sample.ts";
import type { Viewer } from "../viewer.ts";

// Chosen: enough to read, few enough to lay out at once; CSV export has everything.
const MAX_ROWS = 1000;
const MAX_OTHERS = 20;

const STATUS: Readonly<Record<Row["status"], string>> = {
  completed: "completed",
  "does-not-fit": "does not fit",
  impossible: "impossible",
  failed: "failed",
};

export class SweepTables {
  readonly selection: HTMLElement = h("div", {});
  readonly front: HTMLElement = h("section", { class: "sweep-front" });
  readonly others: HTMLElement = h("section", {});
  readonly all: HTMLElement = h("div", {
    class: "text-table",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "Table of the same data",
  });
  readonly #app: Viewer;
  readonly #sweep: Sweep;
  readonly #pick: (configuration: number) => void;
  #listed: unknown[] = [];
  #tabled: unknown = null;
  #selected = -2;

  constructor(app: Viewer, sweep: Sweep, pick: (configuration: number) => void) {
    this.#app = app;
    this.#sweep = sweep;
    this.#pick = pick;
  }

  title({ configuration, fields }: Row): string {
    const text = this.#sweep.describe(fields);
    return text === "" ? `Configuration ${configuration}` : text;
  }

  facts(row: Row): Fact[] {
    const { misses, metrics } = row;
    const { cost, document } = this.#sweep;
    const excess = ({ metric, value, limit }: NonNullable<Row["misses"]>[number]): string =>
      value === null ? "" : ` (${limit === 0 ? metricText(metric, value) : times(value / limit)})`;
    return [
      ...(cost.key === "gpus" ? [] : [[cost.name, shown(cost, row)] as const]),
      ["GPUs", row.gpus === null ? "–" : integer(row.gpus)],
      ...document.objectives.map(
        (metric): Fact => [metricName(metric), shown(this.#sweep.measure(metric, metric), row)],
      ),
      ...(metrics === undefined ? [] : [["Output tokens/s", integer(metrics.outputTokenThroughput)] as const]),
      ...(misses ?? []).map(
        (miss): Fact => [
          "Misses",
          `${metricName(miss.metric)} ≤ ${metricText(miss.metric, miss.limit)}${excess(miss)}`,
        ],
      ),
      ...(misses !== null && misses.length === 0 ? [["Limits", "kept"] as const] : []),
    ];
  }

  update(workload: Workload, classOf: (row: Row) => MarkClass): void {
    const { point, table } = this.#app.state;
    const key = [workload, classOf, point];
    if (key.some((part, i) => part !== this.#listed[i])) {
      this.#listed = key;
      this.front.replaceChildren(...this.#front(workload, classOf));
      this.others.replaceChildren(...this.#others(workload));
      this.others.hidden = workload.others.length === 0;
    }
    if (point !== this.#selected) {
      this.#selected = point;
      const row = this.#sweep.rowOf.get(point);
      this.selection.replaceChildren(...(row === undefined ? [] : [this.#card(row)]));
    }
    this.all.hidden = !table;
    if (table && this.#tabled !== workload) {
      this.#tabled = workload;
      this.all.replaceChildren(...this.#whole(workload));
    }
  }

  #card(row: Row): HTMLElement {
    const { metrics, command, report } = row;
    const copy = (): void => {
      navigator.clipboard.writeText(command).then(
        () => this.#app.notices.info("The command is in the clipboard."),
        () => prompt("Command", command),
      );
    };
    const latencies =
      metrics === undefined
        ? null
        : dataTable(
            "Latencies",
            [
              { name: "Latency", text: ([name]) => name, left: true },
              { name: "p50", text: ([, one]) => milliseconds(one.median) },
              { name: "p90", text: ([, one]) => milliseconds(one.p90) },
              { name: "p99", text: ([, one]) => milliseconds(one.p99) },
              { name: "max", text: ([, one]) => milliseconds(one.max) },
            ],
            [
              ["TTFT", metrics.ttftMs],
              ["TPOT", metrics.tpotMs],
              ["E2E", metrics.e2eMs],
              ["Queue", metrics.queueMs],
            ] as const,
          );
    return h(
      "section",
      { class: "selection" },
      h(
        "div",
        { class: "side-heading" },
        h("h2", {}, `Configuration ${row.configuration}`),
        h(
          "button",
          { type: "button", class: "icon small", "aria-label": "Unselect", onclick: () => this.#pick(-1) },
          "×",
        ),
      ),
      h("p", { class: "sweep-fields" }, this.title(row)),
      factList(this.facts(row)),
      latencies,
      h("h3", {}, "Replays it alone"),
      h("p", {}, h("code", { class: "command" }, command)),
      ...(report === undefined
        ? []
        : [
            h("h3", {}, "Opens its report, from the folder of the results"),
            h("p", {}, h("code", { class: "command" }, `isochron view ${report}`)),
          ]),
      h("button", { type: "button", class: "plain", onclick: copy }, "Copy the command"),
    );
  }

  #front({ smallest, group }: Workload, classOf: (row: Row) => MarkClass): Node[] {
    const { cost, document, rowOf } = this.#sweep;
    const measures = [cost, ...document.objectives.map((metric) => this.#sweep.measure(metric, metric))];
    const entry = (configurations: readonly number[]): HTMLElement | null => {
      const rows = configurations.map((configuration) => rowOf.get(configuration)).filter((row) => row !== undefined);
      const [row] = rows;
      if (row === undefined) return null;
      const missed = new Set(rows.flatMap(({ misses }) => (misses ?? []).map(({ metric }) => metricName(metric))));
      const keeps = missed.size === 0;
      const notes = [
        ...(rows.length > 1 ? [`worst of ${integer(rows.length)}`] : []),
        ...(smallest.has(row.configuration)
          ? ["smallest within limits"]
          : keeps
            ? []
            : [`misses ${[...missed].join(", ")}`]),
      ];
      return h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: "sweep-row",
            "aria-pressed": String(configurations.includes(this.#app.state.point)),
            onclick: () => this.#pick(row.configuration),
          },
          markSample(classOf(row), 5, keeps),
          h("span", {}, this.title(row)),
          h(
            "span",
            { class: "sweep-values muted" },
            h("span", {}, measures.map((measure) => textOf(measure, this.#sweep.worst(measure, rows))).join(" · ")),
            h("span", {}, notes.join(", ")),
          ),
        ),
      );
    };
    return [
      h("h2", {}, `The front: ${integer(group.front.length)} of ${plural(group.deployments, "deployment")}`),
      h(
        "p",
        { class: "muted" },
        `No other is as good in all of ${measures.map(({ name }) => name).join(", ")}, and better in one.`,
      ),
      ...(group.mostGoodput === null ? [] : [this.#goodput(group.mostGoodput)]),
      h("ul", { class: "sweep-list" }, ...group.front.map(({ configurations }) => entry(configurations))),
    ];
  }

  #goodput({ configurations, fields }: Point): HTMLElement {
    const select = (): void => this.#pick(configurations[0]!);
    const name = this.#sweep.describe(fields);
    return h(
      "p",
      { class: "muted" },
      "Most goodput for its cost: ",
      h("button", { type: "button", class: "link", onclick: select }, name === "" ? "the only one" : name),
    );
  }

  #others({ others: all }: Workload): Node[] {
    // Repetitions fail alike.
    const others = [...new Map(all.map((row) => [`${this.title(row)} ${row.error}`, row])).values()];
    return [
      h("h2", {}, `Without a result: ${integer(all.length)}`),
      h(
        "ul",
        { class: "findings" },
        ...others
          .slice(0, MAX_OTHERS)
          .map((row) =>
            h(
              "li",
              {},
              h("b", {}, this.title(row)),
              ` ${STATUS[row.status]}: `,
              h("span", { class: "muted" }, row.error ?? ""),
            ),
          ),
      ),
      ...(others.length > MAX_OTHERS
        ? [h("p", { class: "muted" }, `and ${integer(others.length - MAX_OTHERS)} more in the table`)]
        : []),
    ];
  }

  #whole({ completed, others }: Workload): Node[] {
    const rows = [...completed, ...others].sort((a, b) => a.configuration - b.configuration);
    const { cost, document, paths } = this.#sweep;
    const measures = [
      ...(cost.key === "gpus" ? [] : [cost]),
      this.#sweep.measure("gpus", "gpus"),
      ...document.objectives.map((metric) => this.#sweep.measure(metric, metric)),
      this.#sweep.measure("tokensPerGpu", "gpus"),
    ];
    const columns: TableColumn<Row>[] = [
      { name: "#", text: ({ configuration }) => String(configuration) },
      ...paths.map(
        (path): TableColumn<Row> => ({ name: path, text: ({ fields }) => valueText(fields, path), left: true }),
      ),
      ...measures.map((measure): TableColumn<Row> => ({ name: measure.name, text: (row) => shown(measure, row) })),
      {
        name: "Result",
        left: true,
        text: ({ status, misses, error }) =>
          status !== "completed"
            ? `${STATUS[status]}: ${error ?? ""}`
            : misses === null
              ? STATUS.completed
              : misses.length === 0
                ? "keeps the limits"
                : `misses ${misses.map(({ metric }) => metricName(metric)).join(", ")}`,
      },
    ];
    const caption =
      rows.length > MAX_ROWS
        ? `The first ${integer(MAX_ROWS)} of ${integer(rows.length)} configurations`
        : "All configurations";
    return [
      h(
        "button",
        { type: "button", class: "plain", onclick: () => this.#app.set({ table: false }) },
        "Close the table",
      ),
      dataTable(caption, columns, rows.slice(0, MAX_ROWS), {
        label: ({ configuration }) => `Select configuration ${configuration}`,
        run: ({ configuration }) => this.#app.set({ table: false, point: configuration }),
      }),
    ];
  }
}

function shown(measure: Measure, row: Row): string {
  return textOf(measure, measure.of(row));
}

function textOf(measure: Measure, value: number | null): string {
  return value === null ? "–" : measure.text(value);
}
