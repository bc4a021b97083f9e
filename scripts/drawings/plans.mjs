// What the drawings of planning show: one batch, planned on few workers. Costs are in tiles: one KV tile takes 1 µs, the
// start and end of a piece A = 3 µs.

import { createPlanner, Piece, verifyPlan } from "@isochron/planner";
import { bar, line, rect, text } from "./svg.mjs";

export const A = 3;
export const WIDTH = 880;

/** One KV head of four query heads: a job for each request, so that a drawing can show all of them. */
export const ATTENTION = {
  queryHeads: 4,
  kvHeads: 1,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

export function deviceOf(workers) {
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
export const TILES = [9, 58, 30, 4, 17, 14, 6, 3];
export const BATCH = { qoLens: TILES.map(() => 1), kvLens: TILES.map((tiles) => tiles * 64) };
export const WORKERS = 6;

export function planOf(policy, batch = BATCH, workers = WORKERS, budget = undefined) {
  const device = deviceOf(workers);
  const plan = createPlanner({ attention: ATTENTION, device, policy, ...(budget && { budget }) }).plan(batch);
  verifyPlan(plan, batch, device);
  return plan;
}

/** Pieces of a plan by worker: request, tiles from and to, slot. */
export function piecesByWorker(plan) {
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
export function lanes(plan, x, y, laneHeight, end, under = []) {
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

export function axis(x, y, end, step) {
  const ticks = [];
  for (let t = 0; t <= end; t += step) {
    ticks.push(line(x(t), y, x(t), y + 5), text(x(t), y + 18, t, { anchor: "middle", of: "quiet small" }));
  }
  return [line(x(0), y, x(end), y), ticks];
}
