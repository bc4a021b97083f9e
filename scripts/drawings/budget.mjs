// Three batches in buffers of one budget: sections do not move.

import { budgetFor, Header } from "@isochron/planner";
import { ATTENTION, BATCH, deviceOf, planOf, WIDTH, WORKERS } from "./plans.mjs";
import { COLOURS, drawing, line, rect, text } from "./svg.mjs";

export function budgetBuffers() {
  const limits = { maxRequests: 8, maxQueryTokens: 8 };
  const budget = budgetFor({ ...limits, attention: ATTENTION, device: deviceOf(WORKERS) });
  const { layout } = budget;
  const sections = [
    ["header", 0, layout.requests],
    ["requests", layout.requests, layout.workerPieceIndptr],
    ["ranges", layout.workerPieceIndptr, layout.merges],
    ["merges", layout.merges, layout.mergeSources],
    ["sources", layout.mergeSources, layout.pieces],
    ["pieces", layout.pieces, layout.totalBytes],
  ];
  const batches = [
    ["one request of 640 tokens", { qoLens: [1], kvLens: [640] }],
    ["the eight requests above", BATCH],
    [
      "one of 10,000,000 tokens, seven of 64",
      { qoLens: [1, 1, 1, 1, 1, 1, 1, 1], kvLens: [10_000_000, 64, 64, 64, 64, 64, 64, 64] },
    ],
  ];
  const x = (bytes) => 24 + (bytes * (WIDTH - 48)) / layout.totalBytes;
  const body = [
    text(24, 32, `One budget, any batch: ${layout.totalBytes.toLocaleString("en")} bytes, sections that never move`, {
      of: "title",
    }),
  ];
  sections.forEach(([name, from, to]) => {
    body.push(text((x(from) + x(to)) / 2, 62, name, { anchor: "middle", of: "strong small" }));
    body.push(text(x(from), 78, from, { of: "quiet small" }));
    body.push(line(x(from), 82, x(from), 88, "line"));
  });
  const fingerprints = new Set();
  batches.forEach(([name, batch], row) => {
    const plan = planOf("balanced", batch, WORKERS, budget);
    const { header } = plan;
    fingerprints.add(plan.fingerprint);
    const top = 92 + row * 62;
    const used = [
      256,
      plan.requestCount * 16,
      layout.merges - layout.workerPieceIndptr,
      plan.mergeCount * 32,
      header[Header.mergeSourceCount] * 8,
      plan.pieceRecordCount * 32,
    ];
    sections.forEach(([, from, to], s) => {
      body.push(rect(x(from) + 1, top, x(to) - x(from) - 2, 24, "track"));
      if (used[s] > 0) {
        body.push(
          rect(
            x(from) + 1,
            top,
            x(from + used[s]) - x(from) - 2,
            24,
            "bar",
            ` fill="${COLOURS[[9, 8, 3, 2, 1, 0][s]][0]}"`,
          ),
        );
      }
    });
    const { pieces, partialSlots } = plan.stats;
    body.push(text(24, top + 41, name, { of: "strong" }));
    body.push(
      text(
        WIDTH - 24,
        top + 41,
        `${pieces} pieces, ${partialSlots} of ${budget.capacities.partialSlots} partial slots, ${plan.usedBytes.toLocaleString("en")} bytes used`,
        {
          anchor: "end",
          of: "quiet",
        },
      ),
    );
  });
  if (fingerprints.size !== 1) throw new Error("plans of one budget have several fingerprints");
  const print = ([...fingerprints][0] >>> 0).toString(16).padStart(8, "0");
  body.push(
    text(24, 296, `The same fingerprint, ${print}: the graph captured with one of them replays all of them.`, {
      of: "quiet",
    }),
  );
  return drawing(WIDTH, 314, "Plans of three batches in the buffer of one budget", body);
}
