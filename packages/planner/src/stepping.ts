// From one decoding step to the next: most plans need not be made anew.
//
// Every request grows by a token or so, and costs are counted in whole KV tiles: while no job enters a new tile, the
// loads, the makespan and LB* stay as they are, and only the ends of the last pieces move. Where some jobs do, their
// last piece takes the further tile, as long as the makespan stays within a tolerance of the new LB*.

import type { AttentionBatch } from "./batch.ts";
import { chunkEnd } from "./canonical-tree.ts";
import { ceilDivide, shiftOf } from "./ceil-divide.ts";
import { Header, MASK_KINDS, MergeOrder, Piece, Request } from "./layout.ts";
import type { Plan } from "./plan.ts";

/** What became of the last plan: it only moved its ends, took further tiles, or was made anew. */
export type StepAction = "reused" | "grown" | "replanned";

/** Why the last plan can be kept, or not. */
export const Growth = { withinTiles: 0, intoTiles: 1, impossible: 2 } as const;
export type GrowthKind = (typeof Growth)[keyof typeof Growth];

/** The last pieces of all decodes of one plan. */
export class Tails {
  /** Where their kvEnd stands among the pieces, and their requests. */
  private ends: Int32Array = new Int32Array(0);
  private owners: Int32Array = new Int32Array(0);
  private count: number = 0;
  private isCurrent: boolean = false;

  /** To be called when the plan changes by other means. */
  invalidate(): void {
    this.isCurrent = false;
  }

  /** How far the plan's requests have to grow to become those of a valid batch. Reads only. */
  growth(plan: Plan, batch: AttentionBatch): GrowthKind {
    const { header, requests } = plan;
    const { qoLens, kvLens } = batch;
    if (qoLens.length !== plan.requestCount) return Growth.impossible;
    if (MASK_KINDS[header[Header.maskKind]!] === "sliding-window") return Growth.impossible;
    const tile = header[Header.kvTileTokens]!;
    const shift = shiftOf(tile);
    // A plan with a canonical tree keeps its partial states only while no request, of one token each, enters a new chunk.
    const grid = header[Header.mergeOrder] === MergeOrder.canonicalTree ? header[Header.mergeGridTokens]! : 0;
    const rows = header[Header.queryHeads]!;
    let growth: GrowthKind = Growth.withinTiles;
    for (let i = 0, at = 0; i < qoLens.length; i++, at += Request.stride) {
      const before = requests[at + Request.kvLen]!;
      const after = kvLens[i]!;
      const qoLen = qoLens[i]!;
      if (qoLen !== requests[at + Request.qoLen]) return Growth.impossible;
      if (after === before) continue;
      if (qoLen !== 1) return Growth.impossible;
      // The last tokens lie in one tile.
      if (shift >= 0 && (after - 1) >> shift === (before - 1) >> shift) continue;
      if (shift < 0 && ceilDivide(after, tile, shift) === ceilDivide(before, tile, shift)) continue;
      if (after < before) return Growth.impossible;
      if (grid > 0 && chunkEnd(after - 1, grid, rows) !== chunkEnd(before - 1, grid, rows)) {
        return Growth.impossible;
      }
      growth = Growth.intoTiles;
    }
    return growth;
  }

  /** Moves the ends of the last pieces and the request table to the batch's lengths. */
  move(plan: Plan, batch: AttentionBatch, pageSize: number): void {
    if (!this.isCurrent) this.collect(plan);
    const { requests, pieces } = plan;
    const { kvLens, pageIndptr } = batch;
    const { ends, owners, count } = this;
    for (let t = 0; t < count; t++) pieces[ends[t]!] = kvLens[owners[t]!]!;
    const shift = shiftOf(pageSize);
    let pageStart = 0;
    for (let i = 0, at = 0; i < kvLens.length; i++, at += Request.stride) {
      const kvLen = kvLens[i]!;
      requests[at + Request.kvLen] = kvLen;
      requests[at + Request.pageStart] = pageStart;
      pageStart += ceilDivide(kvLen, pageSize, shift);
    }
    if (pageIndptr === undefined) return;
    for (let i = 0, at = 0; i < kvLens.length; i++, at += Request.stride) {
      requests[at + Request.pageStart] = pageIndptr[i]!;
    }
  }

  private collect(plan: Plan): void {
    const { requests, pieces } = plan;
    if (this.ends.length < plan.pieceRecordCount) {
      this.ends = new Int32Array(2 * plan.pieceRecordCount);
      this.owners = new Int32Array(2 * plan.pieceRecordCount);
    }
    this.count = 0;
    for (let i = 0, at = 0; i < plan.pieceRecordCount; i++, at += Piece.stride) {
      const request = pieces[at + Piece.request]!;
      if (request < 0 || requests[request * Request.stride + Request.qoLen] !== 1) continue;
      if (pieces[at + Piece.kvEnd] !== requests[request * Request.stride + Request.kvLen]) continue;
      this.owners[this.count] = request;
      this.ends[this.count++] = at + Piece.kvEnd;
    }
    this.isCurrent = true;
  }
}
