// Which CTA of a launch each lane (a place for a resident CTA) runs first.
//
// A persistent worker is a lane. The first CTAs of a grid take their places in order before any of them is over, one on each
// SM in turn; those that find that they have nothing to do then make room for the next ones that have. So the idle CTAs of a
// padded grid leave gaps: some SMs get more of the work than others.

import type { Plan } from "@isochron/planner";

/**
 * Writes the first worker with work of each lane, −1 where there is none, and how many idle CTAs the lane runs before it.
 * @returns the next worker of a grid to be placed
 */
export function placeFirstWave(plan: Plan, laneCount: number, laneWorker: Int32Array, laneIdle: Int32Array): number {
  const { workers, workerPieceIndptr } = plan;
  const isIdle = (worker: number): boolean => workerPieceIndptr[worker] === workerPieceIndptr[worker + 1];
  let next = Math.min(workers, laneCount);
  for (let lane = 0; lane < laneCount; lane++) {
    laneWorker[lane] = lane < next && !isIdle(lane) ? lane : -1;
    laneIdle[lane] = 0;
  }
  if (plan.isPersistent) return workers;
  for (let lane = 0; lane < laneCount && next < workers; lane++) {
    if (laneWorker[lane]! >= 0) continue;
    const first = next;
    while (next < workers && isIdle(next)) next++;
    if (next === workers) break;
    laneWorker[lane] = next++;
    // Those that were passed over, and its own first one.
    laneIdle[lane] = next - first;
  }
  return next;
}
