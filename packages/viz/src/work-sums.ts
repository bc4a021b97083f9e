// Sums over the slices of a timeline, per lane, per request and per kind: one pass into typed arrays. The page explains a
// timeline from them; the binary form of a long one brings them along, so that they are there before the slices are.

export interface LaneWork {
  readonly busyUs: Float64Array;
  readonly slices: Int32Array;
  /** End of the last slice; 0 for a lane without slices. */
  readonly finishUs: Float64Array;
  /** End of the last piece: merges wait for other lanes. */
  readonly pieceEndUs: Float64Array;
}

export interface WorkSums {
  readonly lanes: LaneWork;
  /** Start of the first slice; 0 without slices. */
  readonly firstUs: number;
  /** Shared-prefix groups: group g is at −1 − g + groups of the columns below, request r at r + groups. */
  readonly groups: number;
  readonly busyUs: Float64Array;
  readonly finishUs: Float64Array;
  /** Longest single piece. */
  readonly longestUs: Float64Array;
  readonly pieces: Int32Array;
  readonly merges: Int32Array;
  /** Lanes that worked on its pieces. */
  readonly laneCount: Int32Array;
  /** The last KV token that its pieces reach. */
  readonly reach: Int32Array;
  /** By kind: prefill, decode, prefix, merge. */
  readonly kindBusyUs: Float64Array;
  readonly kindSlices: Int32Array;
  readonly kindLastUs: Float64Array;
}

/** Slices in lane order: lane l owns [offset[l], offset[l + 1]), sorted by start. */
export interface SummableSlices {
  readonly start: ArrayLike<number>;
  readonly end: ArrayLike<number>;
  readonly kind: ArrayLike<number>;
  readonly request: ArrayLike<number>;
  readonly kvEnd: ArrayLike<number>;
}

const KINDS = 4;
const MERGE = 3;

export function sumSlices(slices: SummableSlices, offset: Int32Array, requestCount: number): WorkSums {
  const { start, end, kind, request, kvEnd } = slices;
  const lanes = offset.length - 1;
  const count = offset[lanes]!;
  let groups = 0;
  for (let i = 0; i < count; i++) if (-request[i]! > groups) groups = -request[i]!;
  const size = groups + requestCount;
  const laneBusy = new Float64Array(lanes);
  const laneSlices = new Int32Array(lanes);
  const laneFinish = new Float64Array(lanes);
  const lanePieceEnd = new Float64Array(lanes);
  const busyUs = new Float64Array(size);
  const finishUs = new Float64Array(size);
  const longestUs = new Float64Array(size);
  const pieces = new Int32Array(size);
  const merges = new Int32Array(size);
  const laneCount = new Int32Array(size);
  const reach = new Int32Array(size);
  const lastLane = new Int32Array(size).fill(-1);
  const kindBusyUs = new Float64Array(KINDS);
  const kindSlices = new Int32Array(KINDS);
  const kindLastUs = new Float64Array(KINDS);
  let firstUs = Number.POSITIVE_INFINITY;
  for (let lane = 0; lane < lanes; lane++) {
    const from = offset[lane]!;
    const to = offset[lane + 1]!;
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
      kindBusyUs[k]! += duration;
      kindSlices[k]!++;
      if (ends > kindLastUs[k]!) kindLastUs[k] = ends;
      busyUs[at]! += duration;
      if (ends > finishUs[at]!) finishUs[at] = ends;
      if (kvEnd[i]! > reach[at]!) reach[at] = kvEnd[i]!;
      if (k === MERGE) {
        merges[at]!++;
        continue;
      }
      pieces[at]!++;
      if (ends > lastPiece) lastPiece = ends;
      if (duration > longestUs[at]!) longestUs[at] = duration;
      if (lastLane[at] !== lane) {
        lastLane[at] = lane;
        laneCount[at]!++;
      }
    }
    if (to > from && start[from]! < firstUs) firstUs = start[from]!;
    laneBusy[lane] = sum;
    laneSlices[lane] = to - from;
    laneFinish[lane] = last;
    lanePieceEnd[lane] = lastPiece;
  }
  return {
    lanes: { busyUs: laneBusy, slices: laneSlices, finishUs: laneFinish, pieceEndUs: lanePieceEnd },
    firstUs: firstUs === Number.POSITIVE_INFINITY ? 0 : firstUs,
    groups,
    busyUs,
    finishUs,
    longestUs,
    pieces,
    merges,
    laneCount,
    reach,
    kindBusyUs,
    kindSlices,
    kindLastUs,
  };
}
