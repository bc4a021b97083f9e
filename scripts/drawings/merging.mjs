// A split job: pieces, slots, merges, output.

import { Merge, MergeSource } from "@isochron/planner";
import { piecesByWorker, planOf, WIDTH } from "./plans.mjs";
import { bar, COLOURS, drawing, line, rect, text } from "./svg.mjs";

export function merging() {
  const batch = { qoLens: [8], kvLens: [64 * 60] };
  const plan = planOf("balanced", batch, 5);
  const pieces = piecesByWorker(plan).flat();
  const x = (tile) => 40 + tile * 5;
  const body = [
    text(24, 32, "A job cut in pieces", { of: "title" }),
    text(24, 52, "32 rows (8 query tokens × 4 heads) × 60 KV tiles", { of: "quiet" }),
    text(404, 32, "Partial slots", { of: "title" }),
    text(404, 52, "32 rows, one writer each", { of: "quiet" }),
    text(606, 32, "Merges", { of: "title" }),
    text(606, 52, "16 rows, in KV order", { of: "quiet" }),
    text(776, 32, "Output", { of: "title" }),
  ];
  const top = (i) => 74 + i * 50;
  pieces.forEach(({ from, to, slot }, i) => {
    body.push(rect(x(0), top(i), x(60) - x(0), 34, "track"));
    body.push(bar(x(from), top(i), x(to) - x(from), 34, i, 0, `${to - from}`));
    body.push(line(x(60) + 8, top(i) + 17, 400, top(slot) + 17, "line", ' marker-end="url(#arrow)"'));
    body.push(text(x(60) + 12, top(i) + 11, `worker ${i}`, { of: "quiet small" }));
    const [fill] = COLOURS[i];
    body.push(rect(404, top(slot), 96, 34, "box", ' rx="3"'), rect(404, top(slot), 8, 34, "bar", ` fill="${fill}"`));
    body.push(text(422, top(slot) + 22, `slot ${slot}`, { of: "mono" }));
  });
  const middle = (m) => 74 + 25 + m * 150 + 17;
  for (let m = 0; m < plan.mergeCount; m++) {
    const field = (index) => plan.merges[m * Merge.stride + index];
    for (let s = field(Merge.sourceStart); s < field(Merge.sourceEnd); s++) {
      const slot = plan.mergeSources[s * MergeSource.stride + MergeSource.slot];
      body.push(
        line(500, top(slot) + 11 + 12 * m, 600, middle(m) - 12 + 6 * slot, "line", ' marker-end="url(#arrow)"'),
      );
    }
    const rowStart = field(Merge.rowStart);
    body.push(rect(606, middle(m) - 24, 116, 48, "box", ' rx="3"'));
    body.push(text(664, middle(m) - 4, `merge ${m}`, { anchor: "middle", of: "mono" }));
    body.push(
      text(664, middle(m) + 14, `rows ${rowStart} – ${rowStart + field(Merge.rowCount) - 1}`, {
        anchor: "middle",
        of: "mono",
      }),
    );
    body.push(line(722, middle(m), 772, middle(m), "line", ' marker-end="url(#arrow)"'));
  }
  body.push(rect(778, middle(0) - 24, 72, middle(1) - middle(0) + 48, "box", ' rx="3"'));
  body.push(text(814, (middle(0) + middle(1)) / 2 + 4, "32 rows", { anchor: "middle", of: "mono" }));
  body.push(
    text(
      24,
      346,
      "A job that is not cut has no slot and no merge: its piece writes the output itself (write-through).",
      { of: "quiet" },
    ),
  );
  return drawing(WIDTH, 364, "Pieces write partial slots, merges combine them", body);
}
