// Builds the slices and the bandwidth curve of a timeline while an engine runs. Readable, not fast: an engine without
// a recorder does none of this.

import type { Plan, TimelineSlices } from "@isochron/planner";
import { Header, Merge, Piece, Request, SLICE_KINDS } from "@isochron/planner";
import type { KernelCosts } from "./kernel-costs.ts";

interface Slice {
  lane: number;
  startUs: number;
  endUs: number;
  kind: number;
  request: number;
  kvHead: number;
  qTile: number;
  kvStart: number;
  kvEnd: number;
}

/** Steps of the bandwidth curve; chosen: finer than a screen is wide is of no use. */
const BANDWIDTH_STEPS = 512;

export class PieceRecorder {
  private readonly plan: Plan;
  private readonly costs: KernelCosts;
  private readonly slices: Slice[] = [];
  private readonly intervals: { fromUs: number; toUs: number; gigabytesPerSecond: number }[] = [];

  constructor(plan: Plan, costs: KernelCosts) {
    this.plan = plan;
    this.costs = costs;
  }

  /** HBM bandwidth between two events. */
  advance(fromUs: number, toUs: number, gigabytesPerSecond: number): void {
    if (toUs > fromUs) this.intervals.push({ fromUs, toUs, gigabytesPerSecond });
  }

  piece(lane: number, record: number, headOffset: number, startUs: number, endUs: number): void {
    const { pieces } = this.plan;
    const at = record * Piece.stride;
    this.slices.push({
      lane,
      startUs,
      endUs,
      kind: SLICE_KINDS.indexOf(this.kindOf(pieces[at + Piece.request]!)),
      request: pieces[at + Piece.request]!,
      kvHead: this.kvHeadOf(pieces[at + Piece.head]! + headOffset),
      qTile: pieces[at + Piece.rowStart]!,
      kvStart: pieces[at + Piece.kvStart]!,
      kvEnd: pieces[at + Piece.kvEnd]!,
    });
  }

  merge(lane: number, merge: number, startUs: number, endUs: number): void {
    const { merges } = this.plan;
    const at = merge * Merge.stride;
    this.slices.push({
      lane,
      startUs,
      endUs,
      kind: SLICE_KINDS.indexOf("merge"),
      request: merges[at + Merge.request]!,
      kvHead: this.kvHeadOf(merges[at + Merge.head]!),
      qTile: merges[at + Merge.rowStart]!,
      kvStart: 0,
      kvEnd: 0,
    });
  }

  private kindOf(request: number): (typeof SLICE_KINDS)[number] {
    if (request < 0) return "prefix";
    return this.plan.requests[request * Request.stride + Request.qoLen] === 1 ? "decode" : "prefill";
  }

  private kvHeadOf(head: number): number {
    const { header } = this.plan;
    if (header[Header.packedHeads]! > 1) return head;
    return Math.floor((head * header[Header.kvHeads]!) / header[Header.queryHeads]!);
  }

  /** Columns sorted by lane, then by start. */
  columns(): TimelineSlices {
    const slices = this.slices.sort((a, b) => a.lane - b.lane || a.startUs - b.startUs || a.endUs - b.endUs);
    const { unitCount, smsPerWorker } = this.costs;
    return {
      worker: slices.map((slice) => slice.lane),
      sm: slices.map((slice) => (slice.lane % unitCount) * smsPerWorker),
      startUs: slices.map((slice) => slice.startUs),
      endUs: slices.map((slice) => slice.endUs),
      kind: slices.map((slice) => slice.kind),
      request: slices.map((slice) => slice.request),
      kvHead: slices.map((slice) => slice.kvHead),
      qTile: slices.map((slice) => slice.qTile),
      kvStart: slices.map((slice) => slice.kvStart),
      kvEnd: slices.map((slice) => slice.kvEnd),
    };
  }

  /** Mean bandwidth in equal steps of time up to the end, closed by a 0. */
  bandwidth(durationUs: number): { atUs: number[]; gigabytesPerSecond: number[] } {
    const stepUs = durationUs / BANDWIDTH_STEPS;
    const gigabytesPerSecond = new Array<number>(BANDWIDTH_STEPS).fill(0);
    for (const { fromUs, toUs, gigabytesPerSecond: rate } of this.intervals) {
      const last = Math.min(BANDWIDTH_STEPS - 1, Math.floor(toUs / stepUs));
      for (let step = Math.floor(fromUs / stepUs); step <= last; step++) {
        const overlapUs = Math.min(toUs, (step + 1) * stepUs) - Math.max(fromUs, step * stepUs);
        if (overlapUs > 0) gigabytesPerSecond[step]! += (rate * overlapUs) / stepUs;
      }
    }
    return {
      atUs: [...gigabytesPerSecond.map((_, step) => step * stepUs), durationUs],
      gigabytesPerSecond: [...gigabytesPerSecond, 0],
    };
  }
}
