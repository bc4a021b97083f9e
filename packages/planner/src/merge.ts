// How partial states of split jobs come together.
//
// A partial state of a query row is its unnormalised output with the log-sum-exp of its logits; two states merge by
// rescaling to the larger maximum (the attention-state operator of FlashDecoding and FlashInfer: associative, with
// (0, −∞) as neutral element). Every piece that leaves a partial state gets a slot of its own for each of its heads; on a
// merge grid, one slot for each canonical tree node that covers it (canonical-tree.ts), left to right. Each output tile of a
// split job becomes merges of at most MERGE_ROWS rows, which run in parallel; each lists its sources in ascending KV
// order and combines them in that order, so a result does not depend on timing. Merges are spread over the workers by
// their cost. The arrays grow once and are reused.

import { canonicalNodeCount } from "./canonical-tree.ts";
import type { CostModel } from "./device.ts";
import { Merge, MergeSource, Piece } from "./layout.ts";
import type { PieceWriter } from "./pieces.ts";

/** Rows of one merge: chosen as the smallest query tile of the kernels, so that large tiles merge in parallel. */
export const MERGE_ROWS = 16;

/** A row of a partial slot. */
export interface MergeSourceRow {
  readonly slot: number;
  readonly slotRow: number;
}

export class MergePlan {
  records: Int32Array = new Int32Array(64 * Merge.stride);
  sources: Int32Array = new Int32Array(256 * MergeSource.stride);
  /** workerIndptr[w] is the first merge of worker w. */
  workerIndptr: Int32Array = new Int32Array(257);
  mergeCount: number = 0;
  sourceCount: number = 0;
  slotCount: number = 0;
  /** Largest number of rows in a slot. */
  slotRows: number = 0;
  splitJobCount: number = 0;
  rowCount: number = 0;

  /** Indices of partial states in job order: record, then head within the record. Used when records are out of order. */
  private order: number[] = [];

  /** Writes into these arrays until they are full. */
  writeInto(records: Int32Array, sources: Int32Array, workerIndptr: Int32Array): void {
    this.records = records;
    this.sources = sources;
    this.workerIndptr = workerIndptr;
  }

  /** KV tokens of a leaf of the canonical merge tree; 0 where states merge in sequence. */
  private gridTokens: number = 0;

  /**
   * Numbers the slots of all partial pieces in `pieces` (writing them into its records) and lists the merges.
   * `gridTokens`: KV tokens of one leaf of the canonical merge tree; 0 for merging in sequence.
   */
  build(pieces: PieceWriter, costModel: CostModel, gridTokens: number): void {
    const isOrdered = this.begin(pieces, gridTokens);
    if (pieces.partialCount > 0) {
      if (isOrdered) this.mergeInRecordOrder(pieces);
      else this.mergeInJobOrder(pieces);
    }
    this.spread(pieces.workers, costModel);
  }

  /** Starts over and numbers the slots. Returns whether the pieces come in job order. */
  begin(pieces: PieceWriter, gridTokens: number): boolean {
    this.gridTokens = gridTokens;
    this.mergeCount = 0;
    this.sourceCount = 0;
    this.slotCount = 0;
    this.slotRows = 0;
    this.splitJobCount = 0;
    this.rowCount = 0;
    return pieces.partialCount === 0 || this.numberSlots(pieces);
  }

  /** Counts one more split job; the merges that are added next belong to it. */
  beginJob(): void {
    this.splitJobCount++;
  }

  /** Adds one merge of the job that was begun last. */
  addMerge(
    request: number,
    head: number,
    rowStart: number,
    rowCount: number,
    sources: readonly MergeSourceRow[],
  ): void {
    for (const [i, { slot, slotRow }] of sources.entries()) {
      this.pushSource(i, slot);
      this.sources[(this.sourceCount + i) * MergeSource.stride + MergeSource.slotRow] = slotRow;
    }
    this.pushMerge(request, head, rowStart, rowCount, sources.length);
    this.rowCount += rowCount;
  }

  /** Time of the worker with the most merge work, in nanoseconds. */
  longestNs(workers: number, costModel: CostModel): number {
    let longestNs = 0;
    for (let w = 0; w < workers; w++) {
      let loadNs = 0;
      for (let m = this.workerIndptr[w]!; m < this.workerIndptr[w + 1]!; m++) {
        loadNs += mergeCostNs(this.records, m, costModel);
      }
      if (loadNs > longestNs) longestNs = loadNs;
    }
    return longestNs;
  }

  /** Returns whether single-head records already come in job order, so that no sorting is needed. */
  private numberSlots(pieces: PieceWriter): boolean {
    const { records, partialAt, partialRecords } = pieces;
    let isOrdered = true;
    let previous = -1;
    for (let i = 0; i < partialRecords; i++) {
      const at = partialAt[i]!;
      records[at + Piece.slot] = this.slotCount;
      this.slotCount += records[at + Piece.headCount]! * this.statesOf(records, at);
      this.slotRows = Math.max(this.slotRows, records[at + Piece.rows]! & 0xffff);
      isOrdered &&= records[at + Piece.headCount] === 1 && (previous < 0 || comparePieces(records, previous, at) < 0);
      previous = at;
    }
    return isOrdered;
  }

  /** Partial states that one head of the partial piece at `at` leaves. */
  private statesOf(records: Int32Array, at: number): number {
    const { gridTokens } = this;
    if (gridTokens === 0) return 1;
    const from = Math.floor(records[at + Piece.kvStart]! / gridTokens);
    return canonicalNodeCount(from, Math.ceil(records[at + Piece.kvEnd]! / gridTokens));
  }

  private mergeInRecordOrder(pieces: PieceWriter): void {
    const { records, partialAt, partialRecords } = pieces;
    let first = -1;
    let count = 0;
    for (let i = 0; i < partialRecords; i++) {
      const at = partialAt[i]!;
      const slot = records[at + Piece.slot]!;
      if (first < 0 || !isSameJob(records, first, at)) {
        if (first >= 0) this.closeJob(records, first, records[first + Piece.head]!, count);
        first = at;
        count = 0;
      }
      const states = this.statesOf(records, at);
      for (let s = 0; s < states; s++) this.pushSource(count++, slot + s);
    }
    if (first >= 0) this.closeJob(records, first, records[first + Piece.head]!, count);
  }

  private mergeInJobOrder(pieces: PieceWriter): void {
    const { records, partialAt, partialRecords } = pieces;
    const { order } = this;
    order.length = 0;
    for (let i = 0; i < partialRecords; i++) {
      for (let h = 0; h < records[partialAt[i]! + Piece.headCount]!; h++) order.push(i * 65_536 + h);
    }
    const at = (entry: number): number => partialAt[Math.floor(entry / 65_536)]!;
    const head = (entry: number): number => records[at(entry) + Piece.head]! + (entry % 65_536);
    order.sort((a, b) => {
      const left = at(a);
      const right = at(b);
      return (
        records[left + Piece.request]! - records[right + Piece.request]! ||
        records[left + Piece.rowStart]! - records[right + Piece.rowStart]! ||
        head(a) - head(b) ||
        records[left + Piece.kvStart]! - records[right + Piece.kvStart]! ||
        records[left + Piece.kvEnd]! - records[right + Piece.kvEnd]!
      );
    });
    let start = 0;
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      const entry = order[i]!;
      const states = this.statesOf(records, at(entry));
      const slot = records[at(entry) + Piece.slot]! + (entry % 65_536) * states;
      for (let s = 0; s < states; s++) this.pushSource(count++, slot + s);
      const next = order[i + 1];
      const first = order[start]!;
      const isLast =
        next === undefined ||
        head(next) !== head(first) ||
        records[at(next) + Piece.request] !== records[at(first) + Piece.request] ||
        records[at(next) + Piece.rowStart] !== records[at(first) + Piece.rowStart];
      if (isLast) {
        this.closeJob(records, at(first), head(first), count);
        start = i + 1;
        count = 0;
      }
    }
  }

  /** Adds the `index`-th source of the job that is being collected, behind the merges that are already there. */
  private pushSource(index: number, slot: number): void {
    const at = (this.sourceCount + index) * MergeSource.stride;
    if (at + MergeSource.stride > this.sources.length) this.sources = doubled(this.sources);
    this.sources[at + MergeSource.slot] = slot;
    this.sources[at + MergeSource.slotRow] = 0;
  }

  /** Turns `count` collected sources into the merges of one job: one for each MERGE_ROWS rows of its tile. */
  private closeJob(pieceRecords: Int32Array, at: number, head: number, count: number): void {
    const rowStart = pieceRecords[at + Piece.rowStart]!;
    const rows = pieceRecords[at + Piece.rows]! & 0xffff;
    const firstSource = this.sourceCount;
    this.splitJobCount++;
    for (let row = 0; row < rows; row += MERGE_ROWS) {
      // The sources of the first rows are where they were collected.
      for (let i = 0; i < count && row > 0; i++) {
        const to = (this.sourceCount + i) * MergeSource.stride;
        if (to + MergeSource.stride > this.sources.length) this.sources = doubled(this.sources);
        this.sources[to + MergeSource.slot] = this.sources[(firstSource + i) * MergeSource.stride]!;
        this.sources[to + MergeSource.slotRow] = row;
      }
      this.pushMerge(pieceRecords[at + Piece.request]!, head, rowStart + row, Math.min(MERGE_ROWS, rows - row), count);
    }
    this.rowCount += rows;
  }

  private pushMerge(request: number, head: number, rowStart: number, rowCount: number, sourceCount: number): void {
    const at = this.mergeCount * Merge.stride;
    if (at + Merge.stride > this.records.length) this.records = doubled(this.records);
    const { records } = this;
    records[at + Merge.request] = request;
    records[at + Merge.head] = head;
    records[at + Merge.rowStart] = rowStart;
    records[at + Merge.rowCount] = rowCount;
    records[at + Merge.sourceStart] = this.sourceCount;
    records[at + Merge.sourceEnd] = this.sourceCount + sourceCount;
    records[at + Merge.splitJob] = this.splitJobCount - 1;
    records[at + Merge.reserved] = 0;
    this.sourceCount += sourceCount;
    this.mergeCount++;
  }

  /** Cuts the line of merges into one range for each worker where the cumulative cost passes that worker's share. */
  spread(workers: number, costModel: CostModel): void {
    while (this.workerIndptr.length <= workers) this.workerIndptr = doubled(this.workerIndptr);
    const { workerIndptr, records, mergeCount } = this;
    let totalNs = 0;
    for (let m = 0; m < mergeCount; m++) totalNs += mergeCostNs(records, m, costModel);
    const workersPerNs = totalNs === 0 ? 0 : workers / totalNs;
    let worker = 0;
    let passedNs = 0;
    workerIndptr[0] = 0;
    for (let m = 0; m < mergeCount; m++) {
      const costNs = mergeCostNs(records, m, costModel);
      const owner = Math.floor((passedNs + costNs / 2) * workersPerNs);
      while (worker < owner && worker < workers - 1) workerIndptr[++worker] = m;
      passedNs += costNs;
    }
    while (worker < workers) workerIndptr[++worker] = mergeCount;
  }
}

/** Cost of merge m: a fixed part, and one part for each partial state of each four rows. */
export function mergeCostNs(merges: Int32Array, m: number, costModel: CostModel): number {
  const at = m * Merge.stride;
  const partials = merges[at + Merge.sourceEnd]! - merges[at + Merge.sourceStart]!;
  return costModel.mergeNs + partials * Math.ceil(merges[at + Merge.rowCount]! / 4) * costModel.mergePartialNs;
}

function comparePieces(records: Int32Array, a: number, b: number): number {
  return (
    records[a + Piece.request]! - records[b + Piece.request]! ||
    records[a + Piece.rowStart]! - records[b + Piece.rowStart]! ||
    records[a + Piece.head]! - records[b + Piece.head]! ||
    records[a + Piece.kvStart]! - records[b + Piece.kvStart]!
  );
}

function isSameJob(records: Int32Array, a: number, b: number): boolean {
  return (
    records[a + Piece.request] === records[b + Piece.request] &&
    records[a + Piece.rowStart] === records[b + Piece.rowStart] &&
    records[a + Piece.head] === records[b + Piece.head]
  );
}

function doubled(from: Int32Array): Int32Array {
  const to = new Int32Array(Math.max(64, from.length * 2));
  to.set(from);
  return to;
}
