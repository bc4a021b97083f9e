// The batch, a plan that splits nothing and the balanced one.

import { A, axis, lanes, planOf, TILES, WIDTH, WORKERS } from "./plans.mjs";
import { bar, COLOURS, drawing, line, nameOf, rect, text } from "./svg.mjs";

export function problem() {
  const none = planOf("none");
  const balanced = planOf("balanced");
  const bound = balanced.stats.lowerBoundUs;
  const end = 64;
  const x = (t) => 100 + t * 11.6;
  const body = [text(24, 32, "A ragged batch: KV tiles that each request has to read", { of: "title" })];
  let left = 24;
  TILES.forEach((tiles, request) => {
    const width = tiles * 5.5;
    body.push(bar(left, 46, width, 26, request));
    body.push(text(left + width / 2, 88, tiles, { anchor: "middle", of: "quiet small" }));
    left += width + 9;
  });
  const chart = (plan, top, title) => {
    const { makespanUs, imbalance } = plan.stats;
    const bottom = top + 14 + WORKERS * 25;
    return [
      text(24, top, title, { of: "title" }),
      lanes(plan, x, top + 14, 25, end, line(x(bound), top + 6, x(bound), bottom, "bound")),
      axis(x, bottom, end, 10),
      text(x(makespanUs) - 4, bottom + 34, `makespan ${makespanUs}, imbalance ${imbalance.toFixed(2)}`, {
        anchor: "end",
        of: "strong",
      }),
      line(x(makespanUs), bottom + 22, x(makespanUs), bottom + 38),
    ];
  };
  body.push(chart(none, 128, `Not split: everybody waits for ${nameOf(TILES.indexOf(Math.max(...TILES)))}`));
  body.push(text(x(bound) + 8, 231, `lower bound LB* = ${bound}`, { of: "bound-text" }));
  body.push(chart(balanced, 366, "Split and balanced: all finish together, one tile above the bound"));
  body.push(
    rect(24, 580, 26, 14, "bar", ` fill="${COLOURS[0][0]}"`),
    rect(24, 580, 26, 14, "bar", ' fill="url(#start)"'),
  );
  body.push(text(58, 592, `start-up and write-out of a piece, A = ${A} tiles`, { of: "quiet" }));
  body.push(text(WIDTH - 24, 592, "time, in KV tiles", { anchor: "end", of: "quiet" }));
  return drawing(WIDTH, 610, "A ragged batch, planned without and with splitting", body);
}
