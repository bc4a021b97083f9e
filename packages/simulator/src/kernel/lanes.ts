// Lanes (places for resident CTAs) on their way through a plan: which piece each one is at, which comes next, and what is known
// of lanes and partial states once all are done. How long a piece takes is the engines' business.
//
// Hot path: nothing is allocated once the arrays have grown to the plan.

import type { Plan } from "@isochron/planner";
import { Piece, partialStates } from "@isochron/planner";
import { placeFirstWave } from "./first-wave.ts";

/** What the pieces of a plan took. */
export interface LaneTimes {
  /** When the last piece was written out; the launch latency when there is none. */
  endUs: number;
  /** Bytes that came from or went to HBM, and bytes that L2 served. */
  hbmBytes: number;
  l2ServedBytes: number;
  /** By lane: end of its last piece (the launch latency when it had none), time in start-up and write-out, and at work. */
  laneEndUs: Float64Array<ArrayBuffer>;
  laneLatencyUs: Float64Array<ArrayBuffer>;
  laneBusyUs: Float64Array<ArrayBuffer>;
  /** By partial slot: when it was written; 0 for slots no piece names. */
  slotEndUs: Float64Array<ArrayBuffer>;
}

export class Lanes implements LaneTimes {
  endUs = 0;
  hbmBytes = 0;
  l2ServedBytes = 0;
  laneEndUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  laneLatencyUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  laneBusyUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  slotEndUs: Float64Array<ArrayBuffer> = new Float64Array(0);

  /** By lane: record of its piece in the plan, −1 where it never gets one, and which of the record's heads. */
  record: Int32Array<ArrayBuffer> = new Int32Array(0);
  head: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** When it took the piece. */
  takenUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  /** CTAs with nothing to do that it runs before its first piece. */
  idle: Int32Array<ArrayBuffer> = new Int32Array(0);

  private recordEnd = new Int32Array(0);
  private nextWorker = 0;
  private plan: Plan | undefined;

  /** Places the first CTAs of a launch. `latencyUs`: start-up and write-out of a first piece. */
  launch(plan: Plan, laneCount: number, launchUs: number, latencyUs: number): void {
    this.plan = plan;
    this.reset(laneCount, plan.partialSlotCount);
    this.endUs = launchUs;
    const { record, recordEnd, head, takenUs, idle, laneEndUs, laneLatencyUs } = this;
    const { workerPieceIndptr } = plan;
    this.nextWorker = placeFirstWave(plan, laneCount, record, idle);
    for (let lane = 0; lane < laneCount; lane++) {
      laneEndUs[lane] = launchUs;
      const worker = record[lane]!;
      if (worker < 0) continue;
      record[lane] = workerPieceIndptr[worker]!;
      recordEnd[lane] = workerPieceIndptr[worker + 1]!;
      head[lane] = 0;
      takenUs[lane] = launchUs;
      laneLatencyUs[lane] = latencyUs;
    }
  }

  /**
   * A lane's piece is written out at its laneEndUs, and it takes the next one. Returns how many idle CTAs it passes over to
   * get there, −1 where there is none for it. Times are handed over in arrays: as arguments they would be allocated.
   */
  advance(lane: number): number {
    const plan = this.plan!;
    const { pieces } = plan;
    let record = this.record[lane]!;
    const head = this.head[lane]!;
    const at = record * Piece.stride;
    const slot = pieces[at + Piece.slot]!;
    const endUs = this.laneEndUs[lane]!;
    if (slot >= 0) this.slotEndUs[slot + head * partialStates(plan, at)] = endUs;
    if (endUs > this.endUs) this.endUs = endUs;
    if (head + 1 < pieces[at + Piece.headCount]!) {
      this.head[lane] = head + 1;
      return 0;
    }
    let passedOver = 0;
    let recordEnd = this.recordEnd[lane]!;
    if (++record === recordEnd && !plan.isPersistent) {
      const { workerPieceIndptr, workers } = plan;
      const firstWorker = this.nextWorker;
      let next = firstWorker;
      while (record === recordEnd && next < workers) {
        record = workerPieceIndptr[next]!;
        recordEnd = workerPieceIndptr[++next]!;
      }
      passedOver = next - firstWorker - 1;
      this.nextWorker = next;
      this.recordEnd[lane] = recordEnd;
    }
    if (record === recordEnd) return -1;
    this.record[lane] = record;
    this.head[lane] = 0;
    return passedOver;
  }

  private reset(laneCount: number, slots: number): void {
    if (this.record.length < laneCount) {
      this.record = new Int32Array(laneCount);
      this.recordEnd = new Int32Array(laneCount);
      this.head = new Int32Array(laneCount);
      this.idle = new Int32Array(laneCount);
      this.takenUs = new Float64Array(laneCount);
      this.laneEndUs = new Float64Array(laneCount);
      this.laneLatencyUs = new Float64Array(laneCount);
      this.laneBusyUs = new Float64Array(laneCount);
    }
    if (this.slotEndUs.length < slots) this.slotEndUs = new Float64Array(slots * 2);
    this.slotEndUs.fill(0, 0, slots);
    this.laneLatencyUs.fill(0);
    this.laneBusyUs.fill(0);
  }
}
