// Two partitions of one line of chunks: the same tree, finished from other nodes.

import { canonicalNodeSize } from "../../packages/planner/dist/canonical-tree.js";
import { WIDTH } from "./plans.mjs";
import { COLOURS, drawing, rect, text } from "./svg.mjs";

export function invariance() {
  const chunks = 11;
  const levels = 4;
  const x = (chunk) => 40 + chunk * 73;
  const y = (level, top) => top + (levels - level) * 36;
  const tree = (top, cuts) => {
    const owned = new Map();
    cuts.slice(0, -1).forEach((from, worker) => {
      for (let at = from; at < cuts[worker + 1]; ) {
        const size = canonicalNodeSize(at, cuts[worker + 1]);
        owned.set(`${Math.log2(size)}/${at}`, worker);
        at += size;
      }
    });
    // A node that has no chunk on its right is its left half: it costs nothing and is not drawn.
    const draw = (level, from, owner) => {
      const size = 2 ** level;
      if (from >= chunks) return [];
      if (level > 0 && from + size / 2 >= chunks) return draw(level - 1, from, owner);
      const holder = owner ?? owned.get(`${level}/${from}`);
      const isState = owner === undefined && holder !== undefined;
      const [fill, ink] = holder === undefined ? [undefined, undefined] : COLOURS[[0, 1, 3, 2, 5][holder]];
      const to = Math.min(chunks, from + size);
      const [left, width] = [x(from) + 2, x(to) - x(from) - 4];
      const label = level === 0 ? String(from) : `${from} – ${to - 1}`;
      const box =
        fill === undefined
          ? rect(left, y(level, top), width, 26, "box", ' rx="3" stroke-dasharray="4 3"')
          : rect(left, y(level, top), width, 26, "bar", ` fill="${fill}" fill-opacity="${isState ? 1 : 0.3}" rx="3"`);
      const words = isState
        ? `  <text x="${left + width / 2}" y="${y(level, top) + 17.5}" text-anchor="middle" class="strong" style="fill: ${ink}">${label}</text>`
        : text(left + width / 2, y(level, top) + 17.5, label, { anchor: "middle", of: "quiet" });
      if (level === 0) return [box, words];
      return [box, words, draw(level - 1, from, holder), draw(level - 1, from + size / 2, holder)];
    };
    return draw(levels, 0, undefined);
  };
  return drawing(WIDTH, 530, "Two partitions finish the same canonical tree", [
    text(24, 32, "Three workers: cuts after chunks 3 and 8", { of: "title" }),
    tree(44, [0, 4, 9, 11]),
    text(24, 264, "Five workers: other cuts, the same tree, the same bits", { of: "title" }),
    tree(276, [0, 1, 3, 6, 8, 11]),
    rect(24, 496, 26, 16, "bar", ` fill="${COLOURS[0][0]}" rx="3"`),
    text(58, 509, "state that a worker leaves", { of: "quiet" }),
    rect(262, 496, 26, 16, "bar", ` fill="${COLOURS[0][0]}" fill-opacity="0.3" rx="3"`),
    text(296, 509, "computed inside it, in the tree's own order", { of: "quiet" }),
    rect(594, 496, 26, 16, "box", ' rx="3" stroke-dasharray="4 3"'),
    text(628, 509, "finished by the merge", { of: "quiet" }),
  ]);
}
