// Beside a replay's charts: the selected request, steps that open, the worst requests, every metric.

import { isRejected, REQUEST_STATUS } from "../documents/report.ts";
import { duration, integer, milliseconds, percent, times } from "../format.ts";
import {
  aboveBoundUs,
  LATENCIES,
  LATENCY_LABELS,
  type Latency,
  type OpenableStep,
  type Replay,
} from "../model/replay.ts";
import { h } from "../ui/dom.ts";
import { Choice, dataTable, type Fact, factList } from "../ui/facts.ts";
import type { Viewer } from "../viewer.ts";
import type { Span } from "./gestures.ts";

// Chosen: one screen of rows.
const WORST_COUNT = 15;

export class ReplayTables {
  readonly selection: HTMLElement = h("div", {});
  readonly steps: HTMLElement;
  readonly worst: HTMLElement;
  readonly metrics: HTMLElement;
  readonly #app: Viewer;
  readonly #replay: Replay;
  readonly #steps: readonly OpenableStep[];
  readonly #open: (step: OpenableStep) => void;
  readonly #zoom: (span: Span) => void;
  #selected = -2;
  #latency: Latency = "ttft";

  constructor(
    app: Viewer,
    replay: Replay,
    steps: readonly OpenableStep[],
    open: (step: OpenableStep) => void,
    zoom: (span: Span) => void,
  ) {
    this.#app = app;
    this.#replay = replay;
    this.#steps = steps;
    this.#open = open;
    this.#zoom = zoom;
    this.steps = h(
      "section",
      { class: "steps", hidden: steps.length === 0 },
      h("h2", {}, "Steps to look into"),
      this.#stepList(steps),
    );
    this.worst = h("section", { class: "worst" });
    this.metrics = h("section", {}, h("h2", {}, "All metrics"), ...metricTables(replay));
    this.#showWorst();
  }

  update(selected: number): void {
    if (selected === this.#selected) return;
    this.#selected = selected;
    this.selection.replaceChildren(...(selected < 0 ? [] : [this.#requestCard(selected)]));
  }

  #stepList(steps: readonly OpenableStep[]): HTMLElement {
    const { deployment } = this.#replay.report;
    return h(
      "ul",
      { class: "step-list" },
      ...steps.map((step) => {
        const imbalance = step.attentionImbalance;
        const name = deployment.replicas > 1 ? `Replica ${step.replica}, step ${step.step}` : `Step ${step.step}`;
        const notes = [
          `${integer(step.requests.length)} req`,
          milliseconds(step.durationUs / 1e3),
          // What the step is in the list for, in the unit in which it costs.
          ...(step.reason.includes("above bound")
            ? [`${milliseconds(aboveBoundUs(step) / 1e3)} over the bound`]
            : imbalance === null
              ? []
              : [times(imbalance)]),
        ];
        return h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              class: "step-row",
              disabled: step.doc < 0,
              title:
                step.doc < 0
                  ? "Its timeline is not open"
                  : "Open its SM occupancy (requests, duration of the step, attention over its bound)",
              onclick: () => this.#open(step),
            },
            h("span", { class: "step-name" }, name, h("span", { class: "step-reason" }, step.reason)),
            h("span", { class: "muted" }, notes.join(" · ")),
          ),
        );
      }),
    );
  }

  requestFacts(row: number): Fact[] {
    const requests = this.#replay.report.requests!;
    const { latencies } = this.#replay;
    const ms = (values: Float64Array): string => (Number.isNaN(values[row]!) ? "–" : milliseconds(values[row]!));
    const cached = requests.cachedTokens[row]!;
    const replica = requests.replica[row]!;
    const isAnswered = !Number.isNaN(latencies!.ttft[row]!);
    return [
      ["Status", `${REQUEST_STATUS[requests.status[row]!]!}${replica < 0 ? "" : `, replica ${replica}`}`],
      [
        "Tokens",
        `${integer(requests.inputTokens[row]!)} in, ${integer(requests.outputTokens[row]!)} out${cached > 0 ? `, ${integer(cached)} cached` : ""}`,
      ],
      ["Arrival", duration(requests.arrivalUs[row]!)],
      ["Queued", ms(latencies!.queue)],
      ["First token", isAnswered ? `${ms(latencies!.ttft)} after arrival` : "–"],
      ["Per token", ms(latencies!.tpot)],
      ["End to end", ms(latencies!.e2e)],
      ["Preemptions", integer(requests.preemptions[row]!)],
      ["Steps", requests.firstStep[row]! < 0 ? "–" : `${requests.firstStep[row]} – ${requests.lastStep[row]}`],
    ];
  }

  /** Life of the selected request, with a little air. */
  requestSpan(): Span | null {
    const row = this.#selected;
    const { requests } = this.#replay.report;
    if (row < 0 || requests === undefined || isRejected(requests, row)) return null;
    const from = requests.arrivalUs[row]!;
    const to = requests.endUs[row]! >= 0 ? requests.endUs[row]! : this.#replay.endUs;
    const air = Math.max((to - from) * 0.08, 1);
    return [from - air, to + air];
  }

  #requestCard(row: number): HTMLElement {
    const { id, replica } = this.#replay.report.requests!;
    const own = this.#steps.filter((step) => step.replica === replica[row] && step.requests.includes(id[row]!));
    const close = (): void => this.#app.set({ request: null });
    return h(
      "section",
      { class: "selection" },
      h(
        "div",
        { class: "side-heading" },
        h("h2", {}, `Request ${id[row]}`),
        h("button", { type: "button", class: "icon small", "aria-label": "Unselect", onclick: close }, "×"),
      ),
      factList(this.requestFacts(row)),
      h(
        "button",
        { type: "button", class: "plain", onclick: () => this.#zoom(this.requestSpan()!) },
        "Zoom to its life",
      ),
      own.length === 0 ? null : h("h3", {}, "Its steps that open"),
      own.length === 0 ? null : this.#stepList(own),
    );
  }

  #showWorst(): void {
    const { requests } = this.#replay.report;
    if (requests === undefined) {
      this.worst.replaceChildren(
        h("h2", {}, "Worst requests"),
        h(
          "p",
          { class: "muted" },
          "The report holds no per-request records (they were written to a file of their own).",
        ),
      );
      return;
    }
    const choice = new Choice<Latency>(
      "By",
      LATENCIES.map((latency) => [latency, LATENCY_LABELS[latency]] as const),
      (latency) => {
        this.#latency = latency;
        this.#showWorst();
      },
    );
    choice.show(this.#latency);
    const latencies = this.#replay.latencies!;
    const rows = this.#replay.worst(this.#latency, WORST_COUNT);
    const ms =
      (values: Float64Array) =>
      (row: number): string =>
        Number.isNaN(values[row]!) ? "–" : milliseconds(values[row]!);
    this.worst.replaceChildren(
      h("div", { class: "side-heading" }, h("h2", {}, "Worst requests"), choice.element),
      dataTable(
        "Worst requests",
        [
          { name: "Request", text: (row) => String(requests.id[row]), left: true },
          { name: "In", text: (row) => integer(requests.inputTokens[row]!) },
          { name: "Out", text: (row) => integer(requests.outputTokens[row]!) },
          { name: "Queue", text: ms(latencies.queue) },
          { name: LATENCY_LABELS[this.#latency], text: ms(latencies[this.#latency]) },
        ],
        rows,
        {
          label: (row) => `Select request ${requests.id[row]}`,
          run: (row) => this.#app.set({ request: requests.id[row]! }),
        },
      ),
    );
  }
}

function metricTables(replay: Replay): HTMLElement[] {
  const { metrics } = replay.report;
  const latencies = [
    ["TTFT", metrics.ttftMs],
    ["TPOT", metrics.tpotMs],
    ["ITL", metrics.itlMs],
    ["E2E", metrics.e2eMs],
    ["Queue", metrics.queueMs],
  ] as const;
  const summary = dataTable(
    "Latencies",
    [
      { name: "Latency", text: ([name]) => name, left: true },
      { name: "mean", text: ([, entry]) => milliseconds(entry.mean) },
      { name: "p50", text: ([, entry]) => milliseconds(entry.median) },
      { name: "p90", text: ([, entry]) => milliseconds(entry.p90) },
      { name: "p99", text: ([, entry]) => milliseconds(entry.p99) },
      { name: "max", text: ([, entry]) => milliseconds(entry.max) },
    ],
    latencies,
  );
  const facts: Fact[] = [
    ["Completed", integer(metrics.completed)],
    ["Rejected, unfinished", `${integer(metrics.rejected)}, ${integer(metrics.unfinished)}`],
    ["Duration", duration(metrics.durationS * 1e6)],
    ["Requests/s", metrics.requestThroughput.toFixed(2)],
    ["Goodput", metrics.goodput === null ? "no limits given" : `${metrics.goodput.toFixed(2)} requests/s`],
    ["Output tokens/s", integer(metrics.outputTokenThroughput)],
    ["All tokens/s", integer(metrics.totalTokenThroughput)],
    ["Steps", integer(metrics.steps)],
    ["Tokens per step", `${metrics.tokensPerStep.mean.toFixed(1)} mean, ${integer(metrics.tokensPerStep.max)} max`],
    ["Batch size", `${metrics.batchSize.mean.toFixed(1)} mean, ${integer(metrics.batchSize.max)} max`],
    ["KV use", `${percent(metrics.kvUsage.mean)} mean, ${percent(metrics.kvUsage.max)} max`],
    ["Prefix hits", percent(metrics.prefixHitRatio)],
    ["Preemptions", integer(metrics.preemptions)],
    ["Recomputed tokens", integer(metrics.recomputedTokens)],
    ["SMs busy in attention", metrics.smBusyFraction === null ? "unknown" : percent(metrics.smBusyFraction)],
    ["MFU, MBU", `${percent(metrics.mfu)}, ${percent(metrics.mbu)}`],
  ];
  return [summary, factList(facts)];
}
