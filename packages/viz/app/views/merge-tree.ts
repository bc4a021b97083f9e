// How a job's partial states come together: pieces on the left, merges on the right, time downwards by KV range.

import { MERGE, type TimelineDocument } from "../documents/timeline.ts";
import { duration, integer, plural } from "../format.ts";
import type { Job } from "../model/jobs.ts";
import { h, s } from "../ui/dom.ts";

const ROW = 20;
const WIDTH = 354;
// Chosen: more leaves than this are a list, and the list stands below.
const MAX_LEAVES = 64;

export function mergeTree(document: TimelineDocument, job: Job): Element {
  const { slices } = document;
  const pieces = job.members.filter(({ slice }) => slices.kind[slice] !== MERGE);
  const merges = job.members.filter(({ slice }) => slices.kind[slice] === MERGE);
  if (merges.length === 0) {
    const text =
      job.request < 0
        ? "A shared prefix: its partial states are merged in the jobs of the requests that share it."
        : pieces.length === 1
          ? "Written through: the one piece writes the final output."
          : "No merge is in the timeline: it ran in a launch of its own, or the pieces write different rows.";
    return h("p", { class: "muted" }, text);
  }
  const leaves = pieces.slice(0, MAX_LEAVES);
  const height = Math.max(leaves.length, merges.length) * ROW + 8;
  const svg = s("svg", {
    class: "merge-tree",
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: "img",
    "aria-label": `${plural(pieces.length, "piece")} merged by ${plural(merges.length, "merge")}`,
  });
  const middle = (count: number, i: number): number => ((i + 0.5) * height) / count;
  merges.slice(0, MAX_LEAVES).forEach((merge, m) => {
    const y1 = middle(Math.min(merges.length, MAX_LEAVES), m);
    leaves.forEach((_, i) => {
      const y0 = middle(leaves.length, i);
      svg.append(s("path", { d: `M158,${y0}C200,${y0} 196,${y1} 236,${y1}` }));
    });
    const start = slices.start[merge.slice]!;
    const end = slices.end[merge.slice]!;
    svg.append(
      s("rect", { class: "merge-box", x: 236, y: y1 - 9, width: 114, height: 18, rx: 3 }),
      s("text", { x: 242, y: y1 + 4 }, `worker ${slices.worker[merge.slice]}, ${duration(end - start)}`),
    );
  });
  leaves.forEach(({ slice }, i) => {
    const y = middle(leaves.length, i);
    svg.append(
      s("rect", { class: "piece-box", x: 0.5, y: y - 8, width: 157, height: 16, rx: 3 }),
      s("text", { x: 5, y: y + 4 }, `w ${slices.worker[slice]}`),
      s(
        "text",
        { class: "muted-text", x: 153, y: y + 4, "text-anchor": "end" },
        `${integer(slices.kvStart[slice]!)}–${integer(slices.kvEnd[slice]!)}`,
      ),
    );
  });
  return svg;
}
