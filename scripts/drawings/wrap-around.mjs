// The line of all jobs and where it is cut, then the same pieces on their workers.

import { A, axis, lanes, piecesByWorker, planOf, TILES, WIDTH, WORKERS } from "./plans.mjs";
import { bar, drawing, line, nameOf, rect, text } from "./svg.mjs";

export function wrapAround() {
  const plan = planOf("balanced");
  const payload = plan.stats.makespanUs;
  const workers = piecesByWorker(plan);
  const scale = (WIDTH - 48) / (WORKERS * payload);
  const body = [text(24, 32, `One line of all jobs, cut every T = ${payload} tiles`, { of: "title" })];
  workers.forEach((pieces, w) => {
    let at = w * payload;
    body.push(rect(24 + at * scale, 76, payload * scale, 30, "track"));
    for (const { request, tiles } of pieces) {
      body.push(bar(24 + at * scale, 76, (A + tiles) * scale - 1, 30, request, A * scale));
      at += A + tiles;
    }
    const middle = 24 + (w + 0.5) * payload * scale;
    body.push(text(middle, 128, `worker ${w}`, { anchor: "middle", of: "quiet" }));
    body.push(line(24 + w * payload * scale, 68, 24 + w * payload * scale, 114));
  });
  body.push(line(24 + WORKERS * payload * scale, 68, 24 + WORKERS * payload * scale, 114));
  workers.slice(0, -1).forEach((pieces, w) => {
    const isCut = pieces.at(-1)?.slot >= 0 && workers[w + 1][0]?.request === pieces.at(-1).request;
    body.push(
      text(24 + (w + 1) * payload * scale, 61, isCut ? `cut ${nameOf(pieces.at(-1).request)}: + A` : "between jobs", {
        anchor: "middle",
        of: isCut ? "bound-text small" : "quiet small",
      }),
    );
  });
  const x = (t) => 100 + t * 16;
  body.push(text(24, 168, "… wrapped around the workers", { of: "title" }));
  body.push(lanes(plan, x, 182, 25, payload));
  body.push(axis(x, 182 + WORKERS * 25, payload, 5));
  const right = x(payload) + 24;
  const { pieces, splitJobs, partialSlots } = plan.stats;
  [
    [`jobs`, TILES.length],
    [`pieces`, `${pieces}  ≤ jobs + P − 1 = ${TILES.length + WORKERS - 1}`],
    [`cut jobs`, `${splitJobs}  ≤ P − 1 = ${WORKERS - 1}`],
    [`partial slots`, `${partialSlots}  ≤ 2(P − 1) = ${2 * (WORKERS - 1)}`],
    [`LB*`, plan.stats.lowerBoundUs],
    [`makespan`, `${payload}  ≤ OPT + A`],
  ].forEach(([name, value], i) => {
    body.push(
      text(right, 200 + i * 25, name, { of: "quiet" }),
      text(right + 92, 200 + i * 25, value, { of: "strong" }),
    );
  });
  return drawing(WIDTH, 372, "The line of jobs is cut at every payload and wrapped around the workers", body);
}
