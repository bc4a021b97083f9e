// Requests of a replay as lanes of phases: waiting for its first step, prefill until the first token, decode until the
// last. Requests share a lane where they do not overlap, so that the height is the concurrency.

import type { RequestSeries } from "@isochron/simulator";
import { type Columns, isRejected } from "../documents/report.ts";
import type { Rows } from "../draw/lane-layout.ts";
import { BusyIndex } from "./busy-index.ts";
import { MinHeap } from "./min-heap.ts";

export const PHASES = ["queued", "prefill", "decode"] as const;

export interface RequestLanes {
  readonly index: BusyIndex;
  readonly ofSlice: Uint8Array;
  /** Row of the request behind each slice. */
  readonly rowOfSlice: Int32Array;
  /** −1: rejected. */
  readonly laneOfRow: Int32Array;
  /** First slice of each request; −1 where it has none. */
  readonly firstSlice: Int32Array;
  readonly rows: Rows;
  readonly laneCount: number;
  /** Most requests at one time. */
  readonly most: number;
}

export function requestLanes(requests: Columns<RequestSeries>, endUs: number): RequestLanes {
  const count = requests.id.length;
  // Who is rejected leaves at once.
  const order = Uint32Array.from({ length: count }, (_, i) => i).filter((row) => !isRejected(requests, row));
  order.sort((a, b) => requests.arrivalUs[a]! - requests.arrivalUs[b]! || a - b);
  const laneOfRow = new Int32Array(count).fill(-1);
  // Lanes in use by when they become free, and free lanes by number: the topmost free one is taken.
  const busy = new MinHeap();
  const free = new MinHeap();
  let lanesMade = 0;
  for (const row of order) {
    const from = requests.arrivalUs[row]!;
    while (busy.least <= from) {
      const lane = busy.pop();
      free.push(lane, lane);
    }
    const lane = free.size > 0 ? free.pop() : lanesMade++;
    busy.push(requests.endUs[row]! >= 0 ? requests.endUs[row]! : endUs, lane);
    laneOfRow[row] = lane;
  }
  const laneCount = Math.max(lanesMade, 1);
  const members: number[][] = Array.from({ length: laneCount }, () => []);
  for (const row of order) members[laneOfRow[row]!]!.push(row);
  const offset = new Int32Array(laneCount + 1);
  const start = new Float64Array(count * 3);
  const end = new Float64Array(count * 3);
  const ofSlice = new Uint8Array(count * 3);
  const rowOfSlice = new Int32Array(count * 3);
  const firstSlice = new Int32Array(count).fill(-1);
  let at = 0;
  members.forEach((rows, lane) => {
    for (const row of rows) {
      const last = requests.endUs[row]! >= 0 ? requests.endUs[row]! : endUs;
      const scheduled = requests.scheduledUs[row]! >= 0 ? requests.scheduledUs[row]! : last;
      const first = requests.firstTokenUs[row]! >= 0 ? requests.firstTokenUs[row]! : last;
      const bounds = [requests.arrivalUs[row]!, scheduled, Math.max(first, scheduled), Math.max(last, first)];
      for (let phase = 0; phase < 3; phase++) {
        if (bounds[phase + 1]! <= bounds[phase]!) continue;
        if (firstSlice[row] === -1) firstSlice[row] = at;
        start[at] = bounds[phase]!;
        end[at] = bounds[phase + 1]!;
        ofSlice[at] = phase;
        rowOfSlice[at] = row;
        at++;
      }
    }
    offset[lane + 1] = at;
  });
  const rows: Rows = {
    rows: members.map((_, lane) => ({ label: String(lane), lanes: [lane], busyUs: 0 })),
    rowOfLane: Int32Array.from({ length: laneCount }, (_, lane) => lane),
  };
  const index = new BusyIndex({
    laneCount,
    offset,
    start: start.subarray(0, at),
    end: end.subarray(0, at),
    spanUs: endUs,
  });
  return { index, ofSlice, rowOfSlice, laneOfRow, firstSlice, rows, laneCount, most: lanesMade };
}
