// The walk of wrap-around.ts for lines that are cut on the grid of the canonical merge tree alone.
//
// A worker takes as many whole jobs as fit, then of the next one as many tiles as fit up to the end of a chunk. That is as
// much as any worker with this payload can take from there, so greedy stays optimal and feasibility monotone. A worker closes
// with less than A + G idle, G the dearest chunk of any job, where the free walk has less than A + c.

import { chunkEnd, chunkStart } from "./canonical-tree.ts";
import type { Jobs } from "./jobs.ts";
import { endWalk, setBoundary, type Walk } from "./wrap-around.ts";

/** Where the jobs of a batch may be cut. */
export class CutGrid {
  private readonly jobs: Jobs;
  private readonly gridTokens: number;
  private readonly rowsOf: (owner: number) => number;

  /** `gridTokens`: unit of the grid, a multiple of a KV tile; `rowsOf`: packed rows of a request, or of a member of group −1 − g. */
  constructor(jobs: Jobs, gridTokens: number, rowsOf: (owner: number) => number) {
    this.jobs = jobs;
    this.gridTokens = gridTokens;
    this.rowsOf = rowsOf;
  }

  /** The last chunk end at or before tile `tile` of a job, in tiles of the job; 0 or less where there is none. */
  cutBefore(job: number, tile: number): number {
    const { jobs, gridTokens } = this;
    const origin = Math.floor(jobs.kvStart[job]! / jobs.kvTileTokens);
    const rows = this.rowsOf(jobs.request[job]!);
    const token = (origin + tile) * jobs.kvTileTokens;
    return chunkStart(token, gridTokens, rows) / jobs.kvTileTokens - origin;
  }

  /** Cost of the dearest chunk of any job, in nanoseconds; its last chunk is its largest. */
  dearestChunkNs(): number {
    const { jobs, gridTokens } = this;
    let dearestNs = 0;
    for (let j = 0; j < jobs.count; j++) {
      if (jobs.tiles[j] === 0) continue;
      const rows = this.rowsOf(jobs.request[j]!);
      const last = jobs.kvEnd[j]! - 1;
      const tokens = chunkEnd(last, gridTokens, rows) - chunkStart(last, gridTokens, rows);
      const tiles = Math.min(jobs.tiles[j]!, tokens / jobs.kvTileTokens);
      dearestNs = Math.max(dearestNs, tiles * jobs.kvTileNs[j]!);
    }
    return dearestNs;
  }
}

/** As walkAnyKind of wrap-around.ts, with cuts where `grid` has them. */
export function walkOnGrid(grid: CutGrid): Walk {
  return (jobs, workers, surchargeTiles, payloadNs, outcome, boundaries) => {
    const { count, headCount, tiles, kvTileNs, pieceNs, wholeNs } = jobs;
    let closed = 0;
    let leftNs = payloadNs;
    let leastIdleNs = payloadNs;
    let leastStepNs = Number.POSITIVE_INFINITY;
    /** Ends the open worker at a tile of a job, with so much left; `stepNs` more might let it take more. */
    const close = (row: number, head: number, tile: number, idleNs: number, stepNs: number): void => {
      leastIdleNs = Math.min(leastIdleNs, idleNs);
      leastStepNs = Math.min(leastStepNs, stepNs);
      if (closed < workers) setBoundary(boundaries, closed, row, head, tile);
      closed++;
      leftNs = payloadNs;
    };
    for (let j = 0; j < count; j++) {
      const n = tiles[j]!;
      const c = kvTileNs[j]!;
      const a = pieceNs[j]! + surchargeTiles * c;
      const jobNs = wholeNs[j]! + surchargeTiles * c;
      for (let heads = headCount; heads > 0; ) {
        const fit = jobNs <= leftNs ? Math.min(heads, jobNs === 0 ? heads : Math.floor(leftNs / jobNs)) : 0;
        leftNs -= fit * jobNs;
        heads -= fit;
        if (heads === 0) break;
        const head = headCount - heads;
        for (let from = 0; ; ) {
          const restNs = a + (n - from) * c;
          if (from > 0 && restNs <= leftNs) {
            leftNs -= restNs;
            heads--;
            break;
          }
          const fitting = n === 0 ? 0 : Math.floor((leftNs - a) / c);
          const to = fitting > 0 ? Math.max(0, grid.cutBefore(j, Math.min(from + fitting, n - 1))) : 0;
          if (to <= from && leftNs === payloadNs) {
            // Not even one chunk fits a whole worker.
            endWalk(
              2 * workers,
              workers,
              payloadNs,
              0,
              0,
              c - Math.max(0, leftNs - a - fitting * c),
              count,
              outcome,
              boundaries,
            );
            return;
          }
          const stepNs = n === 0 ? a - leftNs : fitting > 0 ? c - (leftNs - a - fitting * c) : a + c - leftNs;
          close(j, head, to, to > 0 ? leftNs - a - (to - from) * c : leftNs, stepNs);
          if (to <= 0) break;
          from = to;
        }
      }
    }
    endWalk(closed, workers, payloadNs, leftNs, Math.min(leftNs, leastIdleNs), leastStepNs, count, outcome, boundaries);
  };
}
