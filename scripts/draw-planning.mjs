// Draws docs/images/planning-*.svg from plans that the planner makes here and now.
//
//   node scripts/draw-planning.mjs [--check]      (after npm run build)
//
// Costs are in tiles: one KV tile takes 1 µs, the start and end of a piece A = 3 µs.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { budgetFor, createPlanner, Header, Merge, MergeSource, Piece, verifyPlan } from "@isochron/planner";
import { canonicalNodeSize } from "../packages/planner/dist/canonical-tree.js";
import { bar, COLOURS, drawing, line, nameOf, path, rect, text } from "./svg.mjs";

const IMAGES = new URL("../docs/images/", import.meta.url);
const A = 3;
const WIDTH = 880;

/** One KV head of four query heads: a job for each request, so that a drawing can show all of them. */
const ATTENTION = {
  queryHeads: 4,
  kvHeads: 1,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

function deviceOf(workers) {
  return {
    name: `${workers} workers`,
    smCount: workers,
    ctasPerSm: 1,
    costModel: {
      kvTileTokens: 64,
      queryTiles: [16, 64].map((rows) => ({ rows, pieceNs: A * 1000, kvTileNs: 1000 })),
      mergeNs: 1000,
      mergePartialNs: 100,
      surchargeTiles: 0,
    },
  };
}

/** Eight decodes whose KV lines are this many tiles long. */
const TILES = [9, 58, 30, 4, 17, 14, 6, 3];
const BATCH = { qoLens: TILES.map(() => 1), kvLens: TILES.map((tiles) => tiles * 64) };
const WORKERS = 6;

function planOf(policy, batch = BATCH, workers = WORKERS, budget = undefined) {
  const device = deviceOf(workers);
  const plan = createPlanner({ attention: ATTENTION, device, policy, ...(budget && { budget }) }).plan(batch);
  verifyPlan(plan, batch, device);
  return plan;
}

/** Pieces of a plan by worker: request, tiles from and to, slot. */
function piecesByWorker(plan) {
  return Array.from({ length: plan.workers }, (_, w) => {
    const pieces = [];
    for (let i = plan.workerPieceIndptr[w]; i < plan.workerPieceIndptr[w + 1]; i++) {
      const field = (index) => plan.pieces[i * Piece.stride + index];
      const from = Math.floor(field(Piece.kvStart) / 64);
      const to = Math.ceil(field(Piece.kvEnd) / 64);
      pieces.push({ request: field(Piece.request), from, to, tiles: to - from, slot: field(Piece.slot) });
    }
    return pieces;
  });
}

/** Workers as lanes; x(0) is the start of the launch. `under` lies between the tracks and the pieces. */
function lanes(plan, x, y, laneHeight, end, under = []) {
  const workers = piecesByWorker(plan);
  return [
    workers.map((_, w) => [
      text(x(0) - 10, y + (w + 0.5) * laneHeight + 3, `worker ${w}`, { anchor: "end", of: "quiet" }),
      rect(x(0), y + w * laneHeight, x(end) - x(0), laneHeight - 5, "track"),
    ]),
    under,
    workers.map((pieces, w) => {
      let at = 0;
      return pieces.map(({ request, tiles }) => {
        const left = x(at);
        at += A + tiles;
        return bar(left, y + w * laneHeight, x(at) - left - 1, laneHeight - 5, request, x(A) - x(0));
      });
    }),
  ];
}

function axis(x, y, end, step) {
  const ticks = [];
  for (let t = 0; t <= end; t += step) {
    ticks.push(line(x(t), y, x(t), y + 5), text(x(t), y + 18, t, { anchor: "middle", of: "quiet small" }));
  }
  return [line(x(0), y, x(end), y), ticks];
}

/** The batch, a plan that splits nothing and the balanced one. */
function problem() {
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

/** The line of all jobs and where it is cut, then the same pieces on their workers. */
function wrapAround() {
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

/** Work that P workers must hold against what they can hold, by T. */
function lowerBoundCurve() {
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

/** Three batches in buffers of one budget: sections do not move. */
function budgetBuffers() {
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

/** A split job: pieces, slots, merges, output. */
function merging() {
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

/** Two partitions of one line of chunks: the same tree, finished from other nodes. */
function invariance() {
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

const DRAWINGS = {
  "planning-problem.svg": problem,
  "planning-wrap-around.svg": wrapAround,
  "planning-lower-bound.svg": lowerBoundCurve,
  "planning-budget.svg": budgetBuffers,
  "planning-merge.svg": merging,
  "planning-invariance.svg": invariance,
};

/** Drawings by file name. */
export function drawAll() {
  return Object.fromEntries(Object.entries(DRAWINGS).map(([name, draw]) => [name, draw()]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, svg] of Object.entries(drawAll())) {
    const file = new URL(name, IMAGES);
    if (!process.argv.includes("--check")) writeFileSync(file, svg);
    else if (readFileSync(file, "utf8") !== svg) {
      console.error(`docs/images/${name} is out of date: run node scripts/draw-planning.mjs`);
      process.exitCode = 1;
    }
  }
}
