// Draws docs/images/architecture.svg: boxes on a grid, and the arrows between them.
//
//   node scripts/draw-architecture.mjs

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const COLUMN = 260;
const ROW = 104;
const WIDTH = 184;
const HEIGHT = 64;
const MARGIN = 32;

/** [column, row], package that owns it, title, line below. Rows may be halves. */
const BOXES = {
  trace: { at: [0, 1.5], owner: "data", title: "trace", text: "requests of a service" },
  serving: { at: [1, 1.5], owner: "simulator", title: "serving level", text: "batching, KV, routing" },
  planner: { at: [2, 1.5], owner: "planner", title: "PLANNER", text: "batch → plan" },
  verify: { at: [3, 0], owner: "planner", title: "verify", text: "is it correct? how good?" },
  reference: { at: [3, 1], owner: "planner", title: "reference", text: "what does it compute?" },
  kernel: { at: [3, 2], owner: "simulator", title: "kernel level", text: "how long, on which SM?" },
  cuda: { at: [3, 3], owner: "cuda-executor", title: "CUDA", text: "the same, on hardware" },
  viz: { at: [4, 2.5], owner: "viz", title: "viewer", text: "why was it slow?" },
};
const ARROWS = [
  ["trace", "serving", ""],
  ["serving", "planner", "batch"],
  ["planner", "verify", "plan"],
  ["planner", "reference", ""],
  ["planner", "kernel", ""],
  ["planner", "cuda", ""],
  ["kernel", "viz", "timeline"],
  ["cuda", "viz", ""],
];
/** Fill and stroke of each owner. Text stays dark on all of them: contrast above 7:1. */
const COLOURS = {
  data: ["#f3f4f6", "#6b7280"],
  planner: ["#dbeafe", "#1d4ed8"],
  simulator: ["#dcfce7", "#15803d"],
  "cuda-executor": ["#fef3c7", "#b45309"],
  viz: ["#fce7f3", "#be185d"],
};

const left = ([column]) => MARGIN + column * COLUMN;
const top = ([, row]) => MARGIN + row * ROW;
const middle = (at) => top(at) + HEIGHT / 2;

function box({ at, owner, title, text }) {
  const [fill, stroke] = COLOURS[owner];
  const centre = left(at) + WIDTH / 2;
  return `<rect x="${left(at)}" y="${top(at)}" width="${WIDTH}" height="${HEIGHT}" rx="8" fill="${fill}" stroke="${stroke}" stroke-width="1.5"/>
<text x="${centre}" y="${top(at) + 28}" class="title">${title}</text>
<text x="${centre}" y="${top(at) + 48}">${text}</text>`;
}

function arrow([from, to, label]) {
  const start = BOXES[from].at;
  const end = BOXES[to].at;
  const x1 = left(start) + WIDTH;
  const x2 = left(end) - 7;
  const half = (x1 + x2) / 2;
  const path = `<path d="M${x1} ${middle(start)} C${half} ${middle(start)} ${half} ${middle(end)} ${x2} ${middle(end)}" class="arrow"/>`;
  const above = Math.min(middle(start), middle(end)) + Math.abs(middle(start) - middle(end)) / 2 - 7;
  return label === "" ? path : `${path}\n<text x="${half}" y="${above}" class="label">${label}</text>`;
}

/** The serving level asks how long a step takes: from the kernel level back, below everything between them. */
function stepTime() {
  const from = left(BOXES.kernel.at) + WIDTH / 2 - 40;
  const to = left(BOXES.serving.at) + WIDTH / 2;
  const bottom = top(BOXES.kernel.at) + HEIGHT + 22;
  return `<path d="M${from} ${bottom - 22} V${bottom} H${to} V${top(BOXES.serving.at) + HEIGHT + 7}" class="arrow"/>
<text x="${(from + to) / 2}" y="${bottom + 16}" class="label">step time</text>`;
}

const width = MARGIN * 2 + 4 * COLUMN + WIDTH;
const height = MARGIN * 2 + 3 * ROW + HEIGHT + 34;
const legend = Object.entries(COLOURS)
  .filter(([owner]) => owner !== "data")
  .map(([owner, [fill, stroke]], i) => {
    const x = MARGIN + i * 190;
    return `<rect x="${x}" y="${height - 40}" width="14" height="14" rx="3" fill="${fill}" stroke="${stroke}"/>
<text x="${x + 22}" y="${height - 28}" class="legend">packages/${owner}</text>`;
  });

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">A trace becomes batches, the planner turns a batch into a plan, and verifier, reference interpreter, simulator and GPU all read the same plan; timelines go to the viewer.</title>
<style>text{font:13px system-ui,sans-serif;fill:#111827;text-anchor:middle}.title{font-weight:600;font-size:15px}.label{font-style:italic;fill:#374151;paint-order:stroke;stroke:#fff;stroke-width:5px}.legend{text-anchor:start}.arrow{fill:none;stroke:#4b5563;stroke-width:1.5;marker-end:url(#head)}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#4b5563"/></marker></defs>
<rect width="${width}" height="${height}" fill="#ffffff"/>
${ARROWS.map(arrow).join("\n")}
${stepTime()}
${Object.values(BOXES).map(box).join("\n")}
${legend.join("\n")}
</svg>
`;
writeFileSync(fileURLToPath(new URL("../docs/images/architecture.svg", import.meta.url)), svg);
