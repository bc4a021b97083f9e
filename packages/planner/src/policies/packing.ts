// Packs jobs into workers of one payload: longest first, each whole into the fullest worker that still takes it (best
// fit decreasing); only a job that fits nowhere is cut, at the worker with the most room, which it fills; its rest is one
// more job.
//
// A cut fills its worker up to less than a tile and closes it, and the rest of the last job that was cut still
// goes to an open one: cuts ≤ P − 1, hence pieces ≤ jobs + P − 1, and as a job that is cut k times is in k + 1 ≤ 2k
// pieces, at most 2(P − 1) pieces are parts of jobs, whatever the lengths. Payload T = ⌈area⌉ + A + c − q (of the
// dearest kind; q divides all costs) always suffices: where a job does not fit, every open worker has at most
// A + c − q left, and every closed one at most c − q besides the A that its cut has added; so the workers would hold
// P·(T − A − c + q) ≥ area without that job. An attempt takes O(pieces · log P) steps and as many moves of P entries.

import type { Jobs } from "../jobs.ts";
import { PARTIAL, type PieceWriter, WRITE_THROUGH } from "../pieces.ts";

/** Fields of a placement: tiles [from, to) of job row `job` on heads [head, head + heads), on a worker. */
const Placement = { worker: 0, job: 1, head: 2, heads: 3, from: 4, to: 5, stride: 6 } as const;

/** Payloads on each of the two scales of a search: chosen as fine enough for a hundredth of A + c. */
const SCAN = 16;

/** One attempt after another to pack all jobs into workers of a given payload. */
export class Packing {
  private readonly kvTileTokens: number;
  private readonly jobs: Jobs;
  private readonly workers: number;
  /** Job rows, longest first. */
  private readonly order: Int32Array;
  private placements: Int32Array;
  private placementCount: number = 0;
  /** Workers that are not closed, by room, least first. */
  private readonly open: Int32Array;
  private readonly room: Float64Array;
  private openCount: number = 0;
  /** Rests of jobs that were cut, cheapest first: job row, head and first tile. At most one for each worker. */
  private readonly restNs: Float64Array;
  private readonly rests: Int32Array;
  private restCount: number = 0;

  constructor(jobs: Jobs, workers: number, kvTileTokens: number) {
    this.kvTileTokens = kvTileTokens;
    this.jobs = jobs;
    this.workers = workers;
    const { wholeNs } = jobs;
    this.order = Int32Array.from({ length: jobs.count }, (_, j) => j);
    this.order.sort((i, j) => wholeNs[j]! - wholeNs[i]! || i - j);
    this.placements = new Int32Array(Placement.stride * (jobs.count + 2 * workers));
    this.open = new Int32Array(workers);
    this.room = new Float64Array(workers);
    this.restNs = new Float64Array(workers + 1);
    this.rests = new Int32Array(3 * (workers + 1));
  }

  /**
   * Packs everything into the smallest payload found from `lowNs` to `highNs`, which always suffices. Scans upward in
   * sixteenths of that range, then the last of them in sixteenths, in steps of `leastStepNs` at least: no bisection, as a
   * longer payload is now and then worse.
   */
  packFrom(lowNs: number, highNs: number, leastStepNs: number): void {
    const coarseNs = Math.max(leastStepNs, Math.ceil((highNs - lowNs) / SCAN));
    const enoughNs = this.scan(lowNs, highNs, coarseNs);
    const fineNs = Math.max(leastStepNs, Math.ceil(coarseNs / SCAN));
    if (enoughNs > lowNs) this.scan(Math.max(lowNs, enoughNs - coarseNs + fineNs), enoughNs, fineNs);
  }

  /** Packs into the first payload that takes everything, and returns it; at `toNs` in any case. */
  private scan(fromNs: number, toNs: number, stepNs: number): number {
    let payloadNs = fromNs;
    while (!this.fits(payloadNs) && payloadNs < toNs) payloadNs = Math.min(payloadNs + stepNs, toNs);
    return payloadNs;
  }

  /**
   * Packs everything into payload `payloadNs`; false where a job found no room. The rest of a cut job waits for its turn
   * among the others or, where that fails, goes on at once: chosen because either fits where the other does not.
   */
  fits(payloadNs: number): boolean {
    return this.attempt(payloadNs, false) || this.attempt(payloadNs, true);
  }

  private attempt(payloadNs: number, goesOn: boolean): boolean {
    const { jobs, order, restNs, rests } = this;
    this.placementCount = 0;
    this.restCount = 0;
    this.openCount = this.workers;
    this.room.fill(payloadNs);
    for (let w = 0; w < this.workers; w++) this.open[w] = w;
    let next = 0;
    let head = 0;
    while (next < order.length || this.restCount > 0) {
      const job = order[next];
      const last = this.restCount - 1;
      if (job === undefined || (last >= 0 && (goesOn || restNs[last]! >= jobs.wholeNs[job]!))) {
        this.restCount--;
        if (this.place(rests[3 * last]!, rests[3 * last + 1]!, 1, rests[3 * last + 2]!) === 0) return false;
        continue;
      }
      const placed = this.place(job, head, jobs.headCount - head, 0);
      if (placed === 0) return false;
      head += placed;
      if (head === jobs.headCount) {
        head = 0;
        next++;
      }
    }
    return true;
  }

  /** Places tiles from `from` of a job on the first of `heads` heads at least. Returns on how many; 0: no room. */
  private place(job: number, head: number, heads: number, from: number): number {
    const { jobs, room, open } = this;
    const tiles = jobs.tiles[job]!;
    const tileNs = jobs.kvTileNs[job]!;
    const pieceNs = jobs.pieceNs[job]!;
    const costNs = pieceNs + (tiles - from) * tileNs;
    const at = this.firstWithRoom(costNs);
    if (at < this.openCount) {
      const fit = costNs === 0 ? heads : Math.min(heads, Math.floor(room[at]! / costNs));
      this.record(open[at]!, job, head, fit, from, tiles);
      this.use(at, fit * costNs);
      return fit;
    }
    const roomiest = this.openCount - 1;
    if (roomiest < 0) return 0;
    const taken = Math.floor((room[roomiest]! - pieceNs) / tileNs);
    if (taken <= 0 || tiles === 0) return 0;
    this.record(open[roomiest]!, job, head, 1, from, from + taken);
    this.openCount--;
    this.keepRest(job, head, from + taken, costNs - taken * tileNs);
    return 1;
  }

  /** Position of the open worker with the least room that is at least `costNs`. */
  private firstWithRoom(costNs: number): number {
    let low = 0;
    let high = this.openCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.room[middle]! < costNs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Takes room from the open worker at position `at` and moves it to its place in the order. */
  private use(at: number, costNs: number): void {
    const { room, open } = this;
    const worker = open[at]!;
    const left = room[at]! - costNs;
    const to = this.firstWithRoom(left);
    room.copyWithin(to + 1, to, at);
    open.copyWithin(to + 1, to, at);
    room[to] = left;
    open[to] = worker;
  }

  private keepRest(job: number, head: number, from: number, costNs: number): void {
    const { restNs, rests } = this;
    let at = this.restCount++;
    for (; at > 0 && restNs[at - 1]! > costNs; at--) {
      restNs[at] = restNs[at - 1]!;
      rests.copyWithin(3 * at, 3 * (at - 1), 3 * at);
    }
    restNs[at] = costNs;
    rests[3 * at] = job;
    rests[3 * at + 1] = head;
    rests[3 * at + 2] = from;
  }

  private record(worker: number, job: number, head: number, heads: number, from: number, to: number): void {
    const at = this.placementCount++ * Placement.stride;
    if (at + Placement.stride > this.placements.length) {
      const grown = new Int32Array(2 * this.placements.length);
      grown.set(this.placements);
      this.placements = grown;
    }
    const { placements } = this;
    placements[at + Placement.worker] = worker;
    placements[at + Placement.job] = job;
    placements[at + Placement.head] = head;
    placements[at + Placement.heads] = heads;
    placements[at + Placement.from] = from;
    placements[at + Placement.to] = to;
  }

  /** Records that `write` adds. */
  get recordCount(): number {
    return this.placementCount;
  }

  /** Writes the last attempt. Each worker starts with its parts of cut jobs, so that merges hide behind whole jobs. */
  write(out: PieceWriter): void {
    const { jobs, placements, placementCount, workers, kvTileTokens } = this;
    /** Sorting key: worker, cut before whole, job row, head. */
    const order = Array.from({ length: placementCount }, (_, i) => i * Placement.stride);
    const isWhole = (at: number): number =>
      placements[at + Placement.to]! - placements[at + Placement.from]! === jobs.tiles[placements[at + Placement.job]!]!
        ? 1
        : 0;
    order.sort(
      (a, b) =>
        placements[a + Placement.worker]! - placements[b + Placement.worker]! ||
        isWhole(a) - isWhole(b) ||
        placements[a + Placement.job]! - placements[b + Placement.job]! ||
        placements[a + Placement.head]! - placements[b + Placement.head]!,
    );
    for (const at of order) {
      while (out.workers < placements[at + Placement.worker]!) out.endWorker();
      const j = placements[at + Placement.job]!;
      const from = placements[at + Placement.from]!;
      const to = placements[at + Placement.to]!;
      const firstTile = Math.floor(jobs.kvStart[j]! / kvTileTokens);
      out.add(
        jobs.request[j]!,
        placements[at + Placement.head]!,
        placements[at + Placement.heads]!,
        jobs.rowStart[j]!,
        jobs.rows[j]!,
        jobs.tileRows[j]!,
        from === 0 ? jobs.kvStart[j]! : (firstTile + from) * kvTileTokens,
        to === jobs.tiles[j]! ? jobs.kvEnd[j]! : (firstTile + to) * kvTileTokens,
        isWhole(at) === 1 && jobs.leavesPartial[j] === 0 ? WRITE_THROUGH : PARTIAL,
      );
    }
    while (out.workers < workers) out.endWorker();
  }
}
