// View 3, a replay: everything over one time axis, distributions and tables beside it. A drag zooms all charts; a marked
// step opens its SM occupancy; a percentile selects its request, and the request its steps.

import type { Deployment } from "@isochron/simulator";
import { replayExports } from "../export/replay-exports.ts";
import { integer, milliseconds, percent, times } from "../format.ts";
import { diagnoseReplay } from "../model/diagnose-replay.ts";
import { type Latency, type OpenableStep, Replay } from "../model/replay.ts";
import { h } from "../ui/dom.ts";
import { factList, keyFigure } from "../ui/facts.ts";
import { Tooltip } from "../ui/tooltip.ts";
import type { SearchResult, View, Viewer } from "../viewer.ts";
import { CdfChart, type Distribution, distributionOf } from "./cdf-chart.ts";
import { clampSpan, type Span, zoomSpan } from "./gestures.ts";
import { replayCharts } from "./replay-charts.ts";
import { ReplayTables } from "./replay-tables.ts";
import { RequestRows } from "./request-rows.ts";
import type { TimeChart } from "./time-chart.ts";

export function replayView(app: Viewer): View {
  const replay = new Replay(app.report!);
  const { report } = replay;
  const steps = replay.openable(app.documents);
  const limits: Span = [0, replay.endUs];
  const tooltip = new Tooltip();
  let hover: number | null = null;

  const time = (): Span => {
    const { brush } = app.state;
    return brush === null ? limits : clampSpan(brush, limits);
  };
  const setTime = (span: Span): void => {
    const next = clampSpan(span, limits);
    const all = next[1] - next[0] >= (limits[1] - limits[0]) * 0.9999;
    app.set({ brush: all ? null : next });
  };
  const onHover = (timeUs: number | null): void => {
    hover = timeUs;
    app.refresh();
  };
  const openStep = (step: OpenableStep): void => {
    if (step.doc >= 0) app.open(step.doc);
    else app.notices.info(`The timeline of this step is not open: simulate its batch, or replay with --html.`);
  };

  const charts = replayCharts(replay, steps, {
    time,
    limits: () => limits,
    onTime: setTime,
    onHover,
    onReset: () => app.set({ brush: null }),
    onClick: (timeUs: number, chart: TimeChart, _y: number) => {
      const near = nearestStep(timeUs, chart);
      if (near !== null) openStep(near);
    },
  });

  /** The marked step within a few pixels of a time. */
  function nearestStep(timeUs: number, chart: TimeChart): OpenableStep | null {
    const [from, to] = time();
    const reach = ((to - from) / Math.max(chart.canvas.clientWidth, 1)) * 8;
    let best: OpenableStep | null = null;
    let distance = reach;
    for (const step of steps) {
      if (step.nearRow < 0) continue;
      const start = report.steps.startUs[step.nearRow]!;
      const away = Math.abs(start + report.steps.durationUs[step.nearRow]! / 2 - timeUs);
      if (away <= distance) {
        best = step;
        distance = away;
      }
    }
    return best;
  }

  const pickRow = (row: number): void => {
    app.set({ request: row < 0 ? null : report.requests!.id[row]! });
  };
  const rows =
    report.requests === undefined
      ? null
      : new RequestRows(app, replay, {
          time,
          limits: () => limits,
          onTime: setTime,
          onHover,
          onPick: pickRow,
          onRequest: (row, x, y) => {
            if (row < 0) tooltip.hide();
            else
              tooltip.show(
                [
                  h("p", { class: "tooltip-title" }, `Request ${report.requests!.id[row]}`),
                  factList(tables.requestFacts(row)),
                ],
                x,
                y,
              );
          },
        });
  const tables = new ReplayTables(app, replay, steps, openStep, setTime);
  const cdfs = distributions(replay).map((distribution) => new CdfChart(distribution, pickRow));
  const verdict = diagnoseReplay(replay);

  const element = h(
    "div",
    { class: "replay view" },
    summary(),
    h(
      "div",
      { class: "replay-body" },
      h(
        "section",
        { class: "replay-charts", "aria-label": "Over time" },
        ...charts.map((chart) => chart.element),
        rows?.element,
      ),
      h(
        "aside",
        { class: "side replay-side", "aria-label": "Details" },
        tables.selection,
        h(
          "section",
          {},
          h("h2", {}, "Why"),
          h(
            "ul",
            { class: "findings" },
            ...verdict.sentences.map((text) => h("li", {}, text)),
            ...report.warnings.map((text) => h("li", { class: "warning" }, text)),
          ),
        ),
        tables.steps,
        h(
          "section",
          {},
          h("h2", {}, "Latency distributions"),
          h("div", { class: "cdfs" }, ...cdfs.map((cdf) => cdf.element)),
        ),
        tables.worst,
        tables.metrics,
      ),
    ),
    tooltip.element,
  );

  function summary(): HTMLElement {
    const { metrics, deployment } = report;
    const { slo } = deployment;
    const tone = (value: number | null, limit: number | undefined): string =>
      limit === undefined || value === null ? "" : value <= limit ? "good" : "bad";
    const imbalance = metrics.attentionImbalance;
    return h(
      "section",
      { class: `summary ${verdict.severity}`, "aria-label": "Summary" },
      h(
        "div",
        { class: "summary-text" },
        h("h1", {}, verdict.headline, report.partial ? h("span", { class: "badge" }, "stopped before its end") : null),
        h(
          "p",
          { class: "muted" },
          [
            `${report.trace.name}, ${integer(report.trace.requestsUsed)} requests at ${deployment.rate}× rate`,
            `${deployment.model} on ${deployment.replicas} × ${deployment.gpu} (${parallelism(deployment)})`,
            `${deployment.asyncScheduling === true ? "asynchronous " : ""}${deployment.batching} batching`,
            `attention ${deployment.attention}, ${deployment.stepTimer} timer`,
          ].join("  ·  "),
        ),
      ),
      h(
        "div",
        { class: "figures" },
        keyFigure(
          "TTFT p50 / p99",
          `${milliseconds(metrics.ttftMs.median)} / ${milliseconds(metrics.ttftMs.p99)}`,
          "",
          tone(metrics.ttftMs.p99, slo.ttftMs),
        ),
        keyFigure(
          "TPOT p50 / p99",
          `${milliseconds(metrics.tpotMs.median)} / ${milliseconds(metrics.tpotMs.p99)}`,
          "",
          tone(metrics.tpotMs.p99, slo.tpotMs),
        ),
        keyFigure("Output tokens/s", integer(metrics.outputTokenThroughput)),
        keyFigure("KV max", percent(metrics.kvUsage.max)),
        imbalance === null
          ? keyFigure("Steps", integer(metrics.steps))
          : keyFigure("Attention / bound", times(imbalance.mean)),
      ),
    );
  }

  function update(): void {
    const { palette, state } = app;
    for (const chart of charts) chart.draw(palette, hover);
    const selected = state.request === null ? -1 : (replay.rowOfRequest.get(state.request) ?? -1);
    rows?.draw(palette, selected);
    for (const cdf of cdfs) cdf.draw(palette);
    tables.update(selected);
  }

  const observer = new ResizeObserver(() => app.refresh());
  observer.observe(element);

  return {
    element,
    update,
    destroy: () => observer.disconnect(),
    exports: replayExports(replay),
    search,
    searchable: steps.length === 0 ? "request 3" : `request 3 or step ${steps[0]!.step}`,
    key,
  };

  function search(text: string): SearchResult[] {
    const number = /(\d+)\s*$/.exec(text);
    if (number === null) return [];
    const wanted = Number(number[1]);
    const word = text.replace(/\d+\s*$/, "").trim();
    const results: SearchResult[] = [];
    const row = replay.rowOfRequest.get(wanted) ?? -1;
    if (row >= 0 && "request".startsWith(word)) {
      results.push({
        label: `request ${wanted}`,
        note: `${integer(report.requests!.inputTokens[row]!)} input tokens`,
        go: () => pickRow(row),
      });
    }
    if ("step".startsWith(word)) {
      for (const step of steps.filter((entry) => entry.step === wanted)) {
        results.push({ label: `step ${wanted}, replica ${step.replica}`, note: step.reason, go: () => openStep(step) });
      }
    }
    return results;
  }

  function key(event: KeyboardEvent): boolean {
    const [from, to] = time();
    const length = to - from;
    switch (event.key.toLowerCase()) {
      case "w":
      case "s":
        setTime(
          zoomSpan([from, to], hover ?? from + length / 2, event.key.toLowerCase() === "w" ? 1 / 1.3 : 1.3, limits),
        );
        return true;
      case "a":
      case "d": {
        const shift = length * 0.12 * (event.key.toLowerCase() === "a" ? -1 : 1);
        setTime([from + shift, to + shift]);
        return true;
      }
      case "f": {
        const span = tables.requestSpan();
        app.set({ brush: span === null ? null : clampSpan(span, limits) });
        return true;
      }
      case "escape":
        if (app.notices.closeLast()) return true;
        if (app.state.request !== null) app.set({ request: null });
        else if (app.state.brush !== null) app.set({ brush: null });
        else return false;
        return true;
    }
    return false;
  }
}

function distributions(replay: Replay): Distribution[] {
  const { latencies, report } = replay;
  const { slo } = report.deployment;
  const limits: Readonly<Record<Latency, number | undefined>> = { ttft: slo.ttftMs, tpot: slo.tpotMs, e2e: slo.e2eMs };
  const one = (name: string, key: Latency): Distribution =>
    latencies === null
      ? fromSummary(name, report.metrics[`${key}Ms`], limits[key])
      : distributionOf(name, latencies[key], limits[key]);
  return [
    one("Time to first token", "ttft"),
    one("Time per output token", "tpot"),
    betweenTokens(report, slo.tpotMs),
    one("End to end", "e2e"),
  ];
}

/** The report's curve; an older report has seven percentiles alone, and the title says so. */
function betweenTokens({ itlCurveMs, metrics }: Replay["report"], limit: number | undefined): Distribution {
  const name = "Between tokens (ITL)";
  if (itlCurveMs === undefined) return fromSummary(`${name}, 7 percentiles`, metrics.itlMs, limit);
  return { name, ...itlCurveMs, rows: null, limit };
}

/** Where single samples are not in the report: the percentiles that are, joined by lines. */
function fromSummary(
  name: string,
  summary: Replay["report"]["metrics"]["itlMs"],
  limit: number | undefined,
): Distribution {
  const points = (
    [
      [summary.min, 0],
      [summary.median, 0.5],
      [summary.p75, 0.75],
      [summary.p90, 0.9],
      [summary.p95, 0.95],
      [summary.p99, 0.99],
      [summary.max, 1],
    ] as const
  ).filter((point): point is readonly [number, (typeof point)[1]] => point[0] !== null);
  return { name, values: points.map(([value]) => value), shares: points.map(([, share]) => share), rows: null, limit };
}

function parallelism({ tensorParallel, pipelineParallel, expertParallel }: Deployment): string {
  const parts: [string, number | undefined][] = [
    ["TP", tensorParallel],
    ["PP", pipelineParallel],
    ["EP", expertParallel],
  ];
  return parts.flatMap(([name, count]) => (count === undefined ? [] : [`${name} ${count}`])).join(", ");
}
