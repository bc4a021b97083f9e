// Work that P workers must hold against what they can hold, by the length T of the schedule.

import { A, planOf, TILES, WIDTH, WORKERS } from "./plans.mjs";
import { drawing, line, path, text } from "./svg.mjs";

export function lowerBoundCurve() {
  const plan = planOf("balanced");
  const none = planOf("none");
  const bound = plan.stats.lowerBoundUs;
  const need = (T) => TILES.reduce((sum, n) => sum + n + A * Math.ceil(n / (T - A)), 0);
  const from = 12;
  const to = 64;
  const x = (T) => 84 + (T - from) * 14.6;
  const y = (work) => 330 - (work - 60) * 0.86;
  const points = [];
  for (let T = from; T <= to; T++) points.push([T, need(T)]);
  // A step function: need(T) holds from T to T + 1.
  const steps = points.map(
    ([T, work], i) =>
      `${i === 0 ? "M" : "L"}${x(T).toFixed(1)} ${y(work).toFixed(1)}H${x(Math.min(to, T + 1)).toFixed(1)}`,
  );
  const found = points.find(([T, work]) => work <= WORKERS * T)[0];
  if (found !== bound) throw new Error(`the drawing finds LB* ${found}, the planner ${bound}`);
  const area = TILES.reduce((sum, n) => sum + n + A, 0) / WORKERS;
  return drawing(WIDTH, 386, "The lower bound is where capacity meets need", [
    text(24, 32, "LB*: the smallest T at which all pieces that a schedule must have fit", { of: "title" }),
    line(x(from), 330, x(to), 330),
    [15, 20, 25, 30, 35, 40, 45, 50, 55, 60].map((T) => [
      line(x(T), 330, x(T), 335),
      text(x(T), 348, T, { anchor: "middle", of: "quiet small" }),
    ]),
    text(x(to), 366, "length of the schedule T, in tiles", { anchor: "end", of: "quiet" }),
    [100, 200, 300].map((work) => [
      line(x(from), y(work), x(to), y(work), "thin"),
      text(x(from) - 8, y(work) + 4, work, { anchor: "end", of: "quiet small" }),
    ]),
    text(24, 64, "tiles of work", { of: "quiet" }),
    path(steps.join(""), "curve"),
    text(x(47), y(need(47)) + 24, "need: Σ n + A·⌈n / (T − A)⌉", { of: "curve-text" }),
    line(x(from), y(WORKERS * from), x(55), y(WORKERS * 55), "line", ' stroke-width="2"'),
    text(x(42) - 10, y(WORKERS * 42) - 6, `capacity: P·T = ${WORKERS} T`, { anchor: "end", of: "strong" }),
    line(x(area), 330, x(area), y(need(area)) + 30, "line", ' stroke-dasharray="4 3"'),
    text(x(area) - 8, 316, `area ${area.toFixed(1)}`, { anchor: "end", of: "quiet" }),
    line(x(bound), 330, x(bound), y(WORKERS * bound) - 40, "bound"),
    text(x(bound) - 8, y(WORKERS * bound) - 34, `LB* = ${bound}`, { anchor: "end", of: "bound-text" }),
    line(x(plan.stats.makespanUs), 322, x(plan.stats.makespanUs), 338, "line", ' stroke-width="3"'),
    text(x(plan.stats.makespanUs) + 8, 321, `balanced: ${plan.stats.makespanUs}`, { of: "strong" }),
    line(x(none.stats.makespanUs), 322, x(none.stats.makespanUs), 338, "line", ' stroke-width="3"'),
    text(x(none.stats.makespanUs), 316, `none: ${none.stats.makespanUs}`, { anchor: "middle", of: "strong" }),
  ]);
}
