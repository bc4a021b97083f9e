// Sums over a timeline that panels, sorting and the verdict read: per lane, per request and per kind. One pass over the
// slices into typed arrays; objects are made from the sums.

import { KINDS, MERGE, type TimelineDocument } from "../documents/timeline.ts";

export interface LaneWork {
  readonly busyUs: Float64Array;
  readonly slices: Int32Array;
  /** End of the last slice; 0 for a lane without slices. */
  readonly finishUs: Float64Array;
  /** End of the last piece: merges wait for other lanes. */
  readonly pieceEndUs: Float64Array;
}

export interface RequestWork {
  /** Index into the batch; −1 − g for shared-prefix group g. */
  readonly request: number;
  readonly qoLen: number;
  readonly kvLen: number;
  readonly busyUs: number;
  readonly pieces: number;
  readonly merges: number;
  readonly finishUs: number;
  /** Longest single piece. */
  readonly longestUs: number;
  /** Lanes that worked on its pieces. */
  readonly lanes: number;
}

export interface KindWork {
  readonly name: string;
  readonly busyUs: number;
  readonly slices: number;
  /** End of the last slice of the kind. */
  readonly lastUs: number;
}

export interface Work {
  readonly busyUs: number;
  /** Start of the first slice; 0 without slices. */
  readonly firstUs: number;
  readonly lanes: LaneWork;
  /** Heaviest first. */
  readonly requests: readonly RequestWork[];
  /** As KINDS. */
  readonly kinds: readonly KindWork[];
  readonly byRequest: ReadonlyMap<number, RequestWork>;
}

export function sumWork(document: TimelineDocument): Work {
  const { slices, lanes, kvLens } = document;
  const { start, end, kind, request } = slices;
  const laneWork: LaneWork = {
    busyUs: new Float64Array(lanes.count),
    slices: new Int32Array(lanes.count),
    finishUs: new Float64Array(lanes.count),
    pieceEndUs: new Float64Array(lanes.count),
  };
  let groups = 0;
  for (let i = 0; i < slices.count; i++) if (-request[i]! > groups) groups = -request[i]!;
  // Prefix groups come first: group g is at −1 − g + groups.
  const size = groups + kvLens.length;
  const busy = new Float64Array(size);
  const finish = new Float64Array(size);
  const longest = new Float64Array(size);
  const count = new Int32Array(size);
  const merges = new Int32Array(size);
  const laneCount = new Int32Array(size);
  const lastLane = new Int32Array(size).fill(-1);
  const kindBusy = new Float64Array(KINDS.length);
  const kindCount = new Int32Array(KINDS.length);
  const kindLast = new Float64Array(KINDS.length);
  let firstUs = Number.POSITIVE_INFINITY;
  for (let lane = 0; lane < lanes.count; lane++) {
    const from = lanes.offset[lane]!;
    const to = lanes.offset[lane + 1]!;
    let sum = 0;
    let last = 0;
    let lastPiece = 0;
    for (let i = from; i < to; i++) {
      const ends = end[i]!;
      const duration = ends - start[i]!;
      const k = kind[i]!;
      const at = request[i]! + groups;
      sum += duration;
      if (ends > last) last = ends;
      kindBusy[k]! += duration;
      kindCount[k]!++;
      if (ends > kindLast[k]!) kindLast[k] = ends;
      busy[at]! += duration;
      count[at]!++;
      if (ends > finish[at]!) finish[at] = ends;
      if (k === MERGE) {
        merges[at]!++;
        continue;
      }
      if (ends > lastPiece) lastPiece = ends;
      if (duration > longest[at]!) longest[at] = duration;
      if (lastLane[at] !== lane) {
        lastLane[at] = lane;
        laneCount[at]!++;
      }
    }
    if (to > from && start[from]! < firstUs) firstUs = start[from]!;
    laneWork.busyUs[lane] = sum;
    laneWork.slices[lane] = to - from;
    laneWork.finishUs[lane] = last;
    laneWork.pieceEndUs[lane] = lastPiece;
  }
  const all: RequestWork[] = Array.from({ length: size }, (_, at) => {
    const r = at - groups;
    return {
      request: r,
      qoLen: r < 0 ? 0 : document.qoLens[r]!,
      kvLen: r < 0 ? prefixLength(document, r) : kvLens[r]!,
      busyUs: busy[at]!,
      pieces: count[at]! - merges[at]!,
      merges: merges[at]!,
      finishUs: finish[at]!,
      longestUs: longest[at]!,
      lanes: laneCount[at]!,
    };
  });
  const requests = all.filter((row) => row.pieces > 0 || row.request >= 0);
  requests.sort((a, b) => b.busyUs - a.busyUs || a.request - b.request);
  return {
    busyUs: laneWork.busyUs.reduce((sum, value) => sum + value, 0),
    firstUs: firstUs === Number.POSITIVE_INFINITY ? 0 : firstUs,
    lanes: laneWork,
    requests,
    kinds: KINDS.map((name, k) => ({ name, busyUs: kindBusy[k]!, slices: kindCount[k]!, lastUs: kindLast[k]! })),
    byRequest: new Map(all.map((row) => [row.request, row])),
  };
}

/** KV tokens of a shared-prefix group: as far as its pieces reach. */
function prefixLength({ slices }: TimelineDocument, request: number): number {
  let reach = 0;
  for (let i = 0; i < slices.count; i++) {
    if (slices.request[i] === request && slices.kvEnd[i]! > reach) reach = slices.kvEnd[i]!;
  }
  return reach;
}

/** Share of all worker time that was work. */
export function busyFraction(document: TimelineDocument, work: Work): number {
  const total = document.durationUs * document.lanes.count;
  return total > 0 ? work.busyUs / total : 0;
}
