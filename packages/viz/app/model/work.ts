// Sums over a timeline that panels, sorting and the verdict read: per lane, per request and per kind.

import { KINDS, MERGE, type TimelineDocument } from "../documents/timeline.ts";

export interface LaneWork {
  readonly busyUs: Float64Array;
  readonly slices: Int32Array;
  /** End of the last slice; 0 for a lane without slices. */
  readonly finishUs: Float64Array;
}

export interface RequestWork {
  /** Index into the batch; −1 − g for shared-prefix group g. */
  readonly request: number;
  qoLen: number;
  kvLen: number;
  busyUs: number;
  pieces: number;
  merges: number;
  finishUs: number;
  /** Longest single piece. */
  longestUs: number;
  /** Lanes that worked on it. */
  lanes: number;
}

export interface Work {
  readonly busyUs: number;
  readonly lanes: LaneWork;
  /** Heaviest first. */
  readonly requests: readonly RequestWork[];
  readonly kinds: readonly { readonly name: string; busyUs: number; slices: number }[];
  readonly byRequest: ReadonlyMap<number, RequestWork>;
}

export function sumWork(document: TimelineDocument): Work {
  const { slices, lanes, qoLens, kvLens } = document;
  const laneWork: LaneWork = {
    busyUs: new Float64Array(lanes.count),
    slices: new Int32Array(lanes.count),
    finishUs: new Float64Array(lanes.count),
  };
  const kinds = KINDS.map((name) => ({ name: name as string, busyUs: 0, slices: 0 }));
  // Requests of the batch by index, prefix groups after them.
  let groups = 0;
  for (let i = 0; i < slices.count; i++) if (-slices.request[i]! > groups) groups = -slices.request[i]!;
  const rows: RequestWork[] = [];
  for (let row = 0; row < kvLens.length + groups; row++) {
    const request = row < kvLens.length ? row : kvLens.length - 1 - row;
    rows.push({
      request,
      qoLen: request < 0 ? 0 : qoLens[request]!,
      kvLen: request < 0 ? 0 : kvLens[request]!,
      busyUs: 0,
      pieces: 0,
      merges: 0,
      finishUs: 0,
      longestUs: 0,
      lanes: 0,
    });
  }
  const lastLane = new Int32Array(rows.length).fill(-1);
  let busyUs = 0;
  for (let lane = 0; lane < lanes.count; lane++) {
    for (let i = lanes.offset[lane]!; i < lanes.offset[lane + 1]!; i++) {
      const duration = slices.end[i]! - slices.start[i]!;
      const end = slices.end[i]!;
      laneWork.busyUs[lane]! += duration;
      if (end > laneWork.finishUs[lane]!) laneWork.finishUs[lane] = end;
      const kind = kinds[slices.kind[i]!]!;
      kind.busyUs += duration;
      kind.slices++;
      const request = slices.request[i]!;
      const index = request >= 0 ? request : kvLens.length - 1 - request;
      const row = rows[index]!;
      row.busyUs += duration;
      if (slices.kind[i] === MERGE) row.merges++;
      else row.pieces++;
      if (end > row.finishUs) row.finishUs = end;
      if (duration > row.longestUs) row.longestUs = duration;
      if (row.kvLen < slices.kvEnd[i]! && request < 0) row.kvLen = slices.kvEnd[i]!;
      if (lastLane[index] !== lane) {
        lastLane[index] = lane;
        row.lanes++;
      }
    }
    laneWork.slices[lane] = lanes.offset[lane + 1]! - lanes.offset[lane]!;
    busyUs += laneWork.busyUs[lane]!;
  }
  const byRequest = new Map(rows.map((row) => [row.request, row]));
  const requests = rows.filter((row) => row.pieces > 0 || row.request >= 0);
  requests.sort((a, b) => b.busyUs - a.busyUs || a.request - b.request);
  return { busyUs, lanes: laneWork, requests, kinds, byRequest };
}

/** Share of all worker time that was work. */
export function busyFraction(document: TimelineDocument, work: Work): number {
  const total = document.durationUs * document.lanes.count;
  return total > 0 ? work.busyUs / total : 0;
}
