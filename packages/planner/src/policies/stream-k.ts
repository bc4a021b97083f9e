// LeanAttention, stream-K for attention: all KV tiles lie on one line and every worker gets the same number of them, give
// or take one, wherever that cuts. A piece costs nothing in this rule, so a worker with many short jobs pays for each.

import { workerCount } from "../device.ts";
import { PARTIAL, WRITE_THROUGH } from "../pieces.ts";
import type { Policy } from "./policy.ts";

export const streamK: Policy = {
  name: "stream-k",
  summary: "LeanAttention (stream-K): equal tile counts on every worker, whatever the number of pieces",
  isComparison: true,
  assign({ jobs, device }, out) {
    let total = 0;
    for (let j = 0; j < jobs.count; j++) total += jobs.tiles[j]! * jobs.headCount;
    const resident = workerCount(device);
    // With less than a tile for each worker, half as many workers as tiles take two tiles each.
    const workers = Math.max(1, total < resident ? Math.floor((total + 1) / 2) : resident);
    const share = Math.floor(total / workers);
    const larger = total % workers;
    const { kvTileTokens } = device.costModel;

    let worker = 0;
    let left = share + (larger > 0 ? 1 : 0);
    const nextWorker = (): void => {
      out.endWorker();
      worker++;
      left = share + (worker < larger ? 1 : 0);
    };
    for (let j = 0; j < jobs.count; j++) {
      const tiles = jobs.tiles[j]!;
      const firstTile = Math.floor(jobs.kvStart[j]! / kvTileTokens);
      for (let head = 0; head < jobs.headCount; head++) {
        let from = 0;
        do {
          if (left === 0 && worker < workers - 1) nextWorker();
          const to = Math.min(tiles, from + left);
          const slot = from === 0 && to === tiles ? WRITE_THROUGH : PARTIAL;
          const start = from === 0 ? jobs.kvStart[j]! : (firstTile + from) * kvTileTokens;
          const end = to === tiles ? jobs.kvEnd[j]! : (firstTile + to) * kvTileTokens;
          out.add(jobs.request[j]!, head, 1, jobs.rowStart[j]!, jobs.rows[j]!, jobs.tileRows[j]!, start, end, slot);
          left -= to - from;
          from = to;
        } while (from < tiles);
      }
    }
    while (out.workers < resident) out.endWorker();
    return { launch: "persistent", merge: "fused" };
  },
  // As for `balanced`: a worker boundary cuts at most one job, whatever the lengths.
  bound: ({ queryTiles, headCount, workers }) => ({
    workers,
    pieceRecords: queryTiles * headCount + workers - 1,
    partialSlots: 2 * (workers - 1),
    splitJobs: workers - 1,
  }),
};
