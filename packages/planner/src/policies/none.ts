// No job is split: longest job first, each to the least loaded worker (LPT, Graham 1969: within 4/3 − 1/(3P) of the best
// schedule that does not split). What batch-invariant modes of serving engines do today.

import { workerCount } from "../device.ts";
import { PARTIAL, WRITE_THROUGH } from "../pieces.ts";
import { WorkerQueue } from "../worker-queue.ts";
import type { Policy } from "./policy.ts";

export const none: Policy = {
  name: "none",
  summary: "no job is split; longest first, each to the least loaded worker",
  isComparison: false,
  assign({ jobs, device }, out) {
    const workers = workerCount(device);
    const order = Array.from({ length: jobs.count }, (_, j) => j);
    order.sort((i, j) => jobs.wholeNs[j]! - jobs.wholeNs[i]! || i - j);
    const queue = new WorkerQueue(workers);
    /** jobsOf[w]: job row and head, interleaved. */
    const jobsOf: number[][] = Array.from({ length: workers }, () => []);
    for (const j of order) {
      for (let head = 0; head < jobs.headCount; head++) {
        jobsOf[queue.least()]!.push(j, head);
        queue.addToLeast(jobs.wholeNs[j]!);
      }
    }
    for (const list of jobsOf) {
      for (let i = 0; i < list.length; i += 2) {
        const j = list[i]!;
        const { request, rowStart, rows, tileRows, kvStart, kvEnd } = jobs;
        const head = list[i + 1]!;
        const slot = jobs.leavesPartial[j] === 0 ? WRITE_THROUGH : PARTIAL;
        out.add(request[j]!, head, 1, rowStart[j]!, rows[j]!, tileRows[j]!, kvStart[j]!, kvEnd[j]!, slot);
      }
      out.endWorker();
    }
    return { launch: "persistent", merge: "none" };
  },
  bound: ({ queryTiles, headCount, workers }) => ({
    workers,
    pieceRecords: queryTiles * headCount,
    partialSlots: 0,
    splitJobs: 0,
  }),
};
