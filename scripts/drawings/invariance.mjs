// One job, planned by `invariant` on three and on four workers: the same tree, finished from other nodes.

import { Header } from "@isochron/planner";
import { canonicalNodeSize, chunkUnits } from "../../packages/planner/dist/canonical-tree.js";
import { piecesByWorker, planOf, WIDTH } from "./plans.mjs";
import { COLOURS, drawing, rect, text } from "./svg.mjs";

/** Eleven chunks: eight of a unit and three of two units. */
const UNITS = 14;
const ROWS = 4;

const chunkAt = (unit) => (unit < 8 ? unit : 4 + unit / 2);

/** Ranges of units of the plan's pieces, in KV order. */
function unitRanges(workers) {
  const plan = planOf("invariant", { qoLens: [1], kvLens: [UNITS * 128] }, workers);
  const grid = plan.header[Header.mergeGridTokens];
  if (grid !== 128) throw new Error(`the drawing is made for units of 128 tokens, the planner has ${grid}`);
  const ranges = piecesByWorker(plan)
    .flat()
    .map(({ from, to }) => [(from * 64) / grid, (to * 64) / grid]);
  return { ranges: ranges.sort((a, b) => a[0] - b[0]), slots: plan.partialSlotCount };
}

export function invariance() {
  const levels = 4;
  const x = (unit) => 40 + unit * 57;
  const y = (level, top) => top + (levels - level) * 36;
  const tree = (top, workers) => {
    const { ranges, slots } = unitRanges(workers);
    const owned = new Map();
    ranges.forEach(([from, to], worker) => {
      for (let at = from; at < to; ) {
        const size = canonicalNodeSize(at, to, ROWS);
        owned.set(`${Math.log2(size)}/${at}`, worker);
        at += size;
      }
    });
    if (owned.size !== slots) throw new Error(`the drawing has ${owned.size} states, the plan ${slots}`);
    // A node that has no chunk on its right is its left half: it costs nothing and is not drawn.
    const draw = (level, from, owner) => {
      const size = 2 ** level;
      if (from >= UNITS) return [];
      if (level > 0 && from + size / 2 >= UNITS) return draw(level - 1, from, owner);
      const holder = owner ?? owned.get(`${level}/${from}`);
      const isState = owner === undefined && holder !== undefined;
      const [fill, ink] = holder === undefined ? [undefined, undefined] : COLOURS[[0, 1, 3, 2, 5][holder]];
      const to = Math.min(UNITS, from + size);
      const [left, width] = [x(from) + 2, x(to) - x(from) - 4];
      const isChunk = size === chunkUnits(from, ROWS);
      const label = isChunk ? String(chunkAt(from)) : `${chunkAt(from)} – ${Math.floor(chunkAt(to - 1))}`;
      const box =
        fill === undefined
          ? rect(left, y(level, top), width, 26, "box", ' rx="3" stroke-dasharray="4 3"')
          : rect(left, y(level, top), width, 26, "bar", ` fill="${fill}" fill-opacity="${isState ? 1 : 0.3}" rx="3"`);
      const words = isState
        ? `  <text x="${left + width / 2}" y="${y(level, top) + 17.5}" text-anchor="middle" class="strong" style="fill: ${ink}">${label}</text>`
        : text(left + width / 2, y(level, top) + 17.5, label, { anchor: "middle", of: "quiet" });
      if (isChunk) return [box, words];
      return [box, words, draw(level - 1, from, holder), draw(level - 1, from + size / 2, holder)];
    };
    return draw(levels, 0, undefined);
  };
  return drawing(WIDTH, 530, "Two partitions finish the same canonical tree", [
    text(24, 32, "Eleven chunks on three workers", { of: "title" }),
    tree(44, 3),
    text(24, 264, "On four workers: other cuts, the same tree, the same bits", { of: "title" }),
    tree(276, 4),
    rect(24, 496, 26, 16, "bar", ` fill="${COLOURS[0][0]}" rx="3"`),
    text(58, 509, "state that a worker leaves", { of: "quiet" }),
    rect(262, 496, 26, 16, "bar", ` fill="${COLOURS[0][0]}" fill-opacity="0.3" rx="3"`),
    text(296, 509, "computed inside it, in the tree's own order", { of: "quiet" }),
    rect(594, 496, 26, 16, "box", ' rx="3" stroke-dasharray="4 3"'),
    text(628, 509, "finished by the merge", { of: "quiet" }),
  ]);
}
