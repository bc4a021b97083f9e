// What a report can be saved as.

import type { Replay } from "../model/replay.ts";
import { download } from "../ui/dom.ts";
import type { ExportChoice } from "../viewer.ts";
import { csv } from "./csv.ts";

export function replayExports(replay: Replay): ExportChoice[] {
  const { report } = replay;
  const stem =
    report.title
      .replace(/[^A-Za-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 80) || "replay";
  const choices: ExportChoice[] = [
    { label: "Steps (CSV)", run: () => download(`${stem}-steps.csv`, columnsCsv(report.steps), "text/csv") },
  ];
  if (report.requests !== undefined) {
    const { requests } = report;
    choices.push({
      label: "Requests (CSV)",
      run: () => download(`${stem}-requests.csv`, columnsCsv(requests), "text/csv"),
    });
  }
  choices.push({
    label: "Metrics (JSON)",
    run: () => download(`${stem}-metrics.json`, `${JSON.stringify(report.metrics, null, 2)}\n`, "application/json"),
  });
  return choices;
}

function columnsCsv(columns: Readonly<Record<string, ArrayLike<number | null>>>): string {
  const names = Object.keys(columns);
  const length = columns[names[0]!]!.length;
  return csv(
    names,
    Array.from({ length }, (_, row) => names.map((name) => columns[name]![row]!)),
  );
}
