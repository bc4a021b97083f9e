// Lanes: the places in which one CTA at a time can run. One lane per worker; where a launch starts more CTAs than fit at
// once (grid launches), slices of one SM are packed into as many lanes as run at the same time.
//
// Slices are put in lane order, sorted by start within a lane: lane l owns slices [offset[l], offset[l + 1]).

export interface Lanes {
  readonly count: number;
  readonly offset: Int32Array;
  /** SM of each lane. */
  readonly sm: Int32Array;
  /** First lane of each SM where lanes are slots of an SM; null where a lane is a worker. */
  readonly firstLane: Int32Array | null;
  /** New order of the slices (index into the document's), or null where they were in order already. */
  readonly order: Uint32Array | null;
  /** Slices that begin before the slice before them on the same worker has ended. */
  readonly overlaps: number;
}

export interface LaneInput {
  readonly worker: ArrayLike<number>;
  readonly sm: ArrayLike<number>;
  readonly startUs: ArrayLike<number>;
  readonly endUs: ArrayLike<number>;
  readonly smCount: number;
  readonly ctasPerSm: number;
  readonly workers: number;
}

/** Name of a lane, such as "worker 17". */
export function laneLabel({ firstLane, sm }: Lanes, lane: number): string {
  return firstLane === null ? `worker ${lane}` : `slot ${lane - firstLane[sm[lane]!]!}`;
}

export function makeLanes(input: LaneInput): Lanes {
  const { worker, sm, startUs, endUs, smCount } = input;
  const count = worker.length;
  const slots = Math.max(smCount * input.ctasPerSm, 1);

  // One pass: are slices sorted, does every worker stay on one SM, and how many workers are there?
  let maxWorker = -1;
  let sorted = true;
  let overlaps = 0;
  for (let i = 0; i < count; i++) {
    const w = worker[i]!;
    if (w > maxWorker) maxWorker = w;
    if (i > 0) {
      const before = worker[i - 1]!;
      if (w < before) sorted = false;
      else if (w === before) {
        if (startUs[i]! < startUs[i - 1]!) sorted = false;
        // Clock resolution of measured timelines: chosen, 1 ns.
        else if (startUs[i]! < endUs[i - 1]! - 0.001) overlaps++;
      }
    }
  }
  const workerSm = new Int32Array(maxWorker + 1).fill(-1);
  let fixed = true;
  for (let i = 0; i < count && fixed; i++) {
    const w = worker[i]!;
    if (workerSm[w]! === -1) workerSm[w] = sm[i]!;
    else if (workerSm[w] !== sm[i]) fixed = false;
  }
  if (!fixed || maxWorker >= slots) return packedLanes(input, overlaps);

  const laneCount = Math.max(maxWorker + 1, Math.min(input.workers, slots));
  const laneSm = placeIdleWorkers(workerSm, laneCount, smCount, input.ctasPerSm);
  let order: Uint32Array | null = null;
  if (!sorted) {
    order = Uint32Array.from({ length: count }, (_, i) => i);
    order.sort((a, b) => worker[a]! - worker[b]! || startUs[a]! - startUs[b]!);
  }
  const offset = new Int32Array(laneCount + 1);
  for (let i = 0; i < count; i++) offset[worker[i]! + 1]!++;
  for (let lane = 0; lane < laneCount; lane++) offset[lane + 1]! += offset[lane]!;
  return { count: laneCount, offset, sm: laneSm, firstLane: null, order, overlaps };
}

/** Workers without a slice take the seats on SMs that the others left free: they must be seen as idle. */
function placeIdleWorkers(workerSm: Int32Array, laneCount: number, smCount: number, ctasPerSm: number): Int32Array {
  const laneSm = new Int32Array(laneCount).fill(-1);
  laneSm.set(workerSm);
  const used = new Int32Array(smCount);
  for (const sm of workerSm) if (sm >= 0) used[sm]!++;
  let seat = 0;
  for (let lane = 0; lane < laneCount; lane++) {
    if (laneSm[lane] !== -1) continue;
    while (seat < smCount - 1 && used[seat]! >= ctasPerSm) seat++;
    laneSm[lane] = seat;
    used[seat]!++;
  }
  return laneSm;
}

function packedLanes(input: LaneInput, overlaps: number): Lanes {
  const { sm, startUs, endUs, smCount, ctasPerSm } = input;
  const count = sm.length;
  const byStart = Uint32Array.from({ length: count }, (_, i) => i);
  byStart.sort((a, b) => startUs[a]! - startUs[b]! || a - b);
  // Seats of each SM, with the time at which each becomes free; the seat that became free first is taken.
  const freeAt: number[][] = Array.from({ length: smCount }, () => new Array<number>(ctasPerSm).fill(0));
  const seatOf = new Int32Array(count);
  for (const i of byStart) {
    const seats = freeAt[sm[i]!]!;
    let seat = -1;
    for (let k = 0; k < seats.length; k++) {
      if (seats[k]! <= startUs[i]! + 0.001 && (seat === -1 || seats[k]! < seats[seat]!)) seat = k;
    }
    if (seat === -1) seat = seats.push(0) - 1;
    seats[seat] = endUs[i]!;
    seatOf[i] = seat;
  }
  const firstLane = new Int32Array(smCount + 1);
  for (let s = 0; s < smCount; s++) firstLane[s + 1] = firstLane[s]! + freeAt[s]!.length;
  const laneCount = firstLane[smCount]!;
  const laneSm = new Int32Array(laneCount);
  for (let s = 0; s < smCount; s++) laneSm.fill(s, firstLane[s]!, firstLane[s + 1]!);
  const offset = new Int32Array(laneCount + 1);
  for (let i = 0; i < count; i++) offset[firstLane[sm[i]!]! + seatOf[i]! + 1]!++;
  for (let lane = 0; lane < laneCount; lane++) offset[lane + 1]! += offset[lane]!;
  const next = offset.slice(0, laneCount);
  const order = new Uint32Array(count);
  for (const i of byStart) order[next[firstLane[sm[i]!]! + seatOf[i]!]!++] = i;
  return {
    count: laneCount,
    offset,
    sm: laneSm,
    firstLane,
    order,
    overlaps,
  };
}
