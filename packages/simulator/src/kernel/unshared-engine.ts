// Runs the pieces of a plan on lanes that share nothing: every piece takes what the planner's cost model charges for
// it. The longest lane of a persistent plan is then the planner's makespan exactly, and fluid times can be held
// against it.

import type { Plan } from "@isochron/planner";
import { Piece, partialStates } from "@isochron/planner";
import type { KernelCosts } from "./kernel-costs.ts";
import type { LaneTimes } from "./lanes.ts";
import type { PieceRecorder } from "./piece-recorder.ts";
import { StreamHeap } from "./stream-heap.ts";

export function runUnshared(
  plan: Plan,
  costs: KernelCosts,
  totalBytes: number,
  recorder: PieceRecorder | null,
): LaneTimes {
  const { laneCount, launchUs, kvTileTokens, unsharedPieceUs, unsharedTileUs } = costs;
  const { pieces, workerPieceIndptr } = plan;
  const lanes = {
    endUs: launchUs,
    hbmBytes: totalBytes,
    l2ServedBytes: 0,
    laneEndUs: new Float64Array(laneCount).fill(launchUs),
    laneBusyUs: new Float64Array(laneCount),
    laneLatencyUs: new Float64Array(laneCount),
    slotEndUs: new Float64Array(plan.partialSlotCount),
  };
  // The lane that is free first takes the next CTA of a grid; a persistent worker has a lane of its own.
  const free = new StreamHeap(laneCount);
  for (let lane = 0; lane < laneCount; lane++) free.push(lane, launchUs);
  for (let worker = 0; worker < plan.workers; worker++) {
    const first = workerPieceIndptr[worker]!;
    const last = workerPieceIndptr[worker + 1]!;
    if (first === last) continue;
    const lane = plan.isPersistent ? worker : free.pop();
    let atUs = lanes.laneEndUs[lane]!;
    for (let record = first; record < last; record++) {
      const at = record * Piece.stride;
      const tileRows = pieces[at + Piece.rows]! >>> 16;
      const kvStart = pieces[at + Piece.kvStart]!;
      const kvEnd = pieces[at + Piece.kvEnd]!;
      const tiles = kvEnd > kvStart ? Math.ceil(kvEnd / kvTileTokens) - Math.floor(kvStart / kvTileTokens) : 0;
      const pieceUs = unsharedPieceUs[tileRows]! + tiles * unsharedTileUs[tileRows]!;
      const slot = pieces[at + Piece.slot]!;
      for (let head = 0; head < pieces[at + Piece.headCount]!; head++) {
        if (recorder !== null) recorder.piece(lane, record, head, atUs, atUs + pieceUs);
        atUs += pieceUs;
        if (slot >= 0) lanes.slotEndUs[slot + head * partialStates(plan, at)] = atUs;
        lanes.laneBusyUs[lane]! += pieceUs;
        lanes.laneLatencyUs[lane]! += unsharedPieceUs[tileRows]!;
      }
    }
    lanes.laneEndUs[lane] = atUs;
    lanes.endUs = Math.max(lanes.endUs, atUs);
    if (!plan.isPersistent) free.push(lane, atUs);
  }
  return lanes;
}
