// How partial states of split jobs come together.
//
// A partial state of a query row is its unnormalised output with the log-sum-exp of its logits; two states merge by
// rescaling to the larger maximum (the attention-state operator of FlashDecoding and FlashInfer: associative, with
// (0, −∞) as neutral element). Every piece that leaves a partial state gets a slot of its own for each of its heads; on a
// merge grid, one slot for each canonical tree node that covers it (canonical-tree.ts), left to right. Each output tile of a
// split job becomes merges of at most MERGE_ROWS rows, which run in parallel; each lists its sources in ascending KV
// order and combines them in that order, so a result does not depend on timing. Merges are spread over the workers by
// their cost. The arrays grow once and are reused.

import { stateCount } from "./canonical-tree.ts";
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

/** How the states of a job come together. */
export interface MergeGrid {
  /** Unit of the fine grid of the canonical tree, in KV tokens; 0: states merge in sequence, and there are no chunks. */
  readonly tokens: number;
  /** Packed rows of a request, or of each member of group −1 − g. */
  readonly rowsOf: (owner: number) => number;
}

/** No chunks: states merge in sequence. */
export const IN_SEQUENCE: MergeGrid = { tokens: 0, rowsOf: () => 0 };

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

  private grid: MergeGrid = IN_SEQUENCE;
  /** Indices of partial states in job order: record, then head within the record. Used when records are out of order. */
  private order: number[] = [];

  /** Writes into these arrays until they are full. */
  writeInto(records: Int32Array, sources: Int32Array, workerIndptr: Int32Array): void {
    this.records = records;
    this.sources = sources;
    this.workerIndptr = workerIndptr;
  }

  /** Numbers the slots of all partial pieces in `pieces` (writing them into its records) and lists the merges. */
  build(pieces: PieceWriter, costModel: CostModel, grid: MergeGrid): void {
    this.clear(grid);
    if (pieces.partialCount > 0 && !this.mergeInRecordOrder(pieces)) {
      this.begin(pieces, grid);
      this.mergeInJobOrder(pieces);
    }
    this.spread(pieces.workers, costModel);
  }

  /** Starts over and numbers the slots. */
  begin(pieces: PieceWriter, grid: MergeGrid): void {
    this.clear(grid);
    const { records, partialAt, partialRecords } = pieces;
    for (let i = 0; i < partialRecords; i++) {
      const at = partialAt[i]!;
      records[at + Piece.slot] = this.slotCount;
      this.slotCount += records[at + Piece.headCount]! * statesOf(records, at, this.grid);
      this.slotRows = Math.max(this.slotRows, records[at + Piece.rows]! & 0xffff);
    }
  }

  private clear(grid: MergeGrid): void {
    this.grid = grid;
    this.mergeCount = 0;
    this.sourceCount = 0;
    this.slotCount = 0;
    this.slotRows = 0;
    this.splitJobCount = 0;
    this.rowCount = 0;
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

  /**
   * Numbers the slots and lists the merges in one pass, where the partial pieces are of single heads and come in job order.
   * Returns whether they do; if not, what was done so far is to be done again.
   */
  private mergeInRecordOrder(pieces: PieceWriter): boolean {
    const { records, partialAt, partialRecords } = pieces;
    const isSequential = this.grid.tokens === 0;
    let first = partialAt[0]!;
    let request = records[first + Piece.request]!;
    let rowStart = records[first + Piece.rowStart]!;
    let head = records[first + Piece.head]!;
    let kvStart = -1;
    let firstSlot = 0;
    let slot = 0;
    for (let i = 0; i < partialRecords; i++) {
      const at = partialAt[i]!;
      const ahead =
        records[at + Piece.request]! - request ||
        records[at + Piece.rowStart]! - rowStart ||
        records[at + Piece.head]! - head;
      if (ahead !== 0) {
        this.mergeSlots(records, first, firstSlot, slot);
        first = at;
        firstSlot = slot;
        request = records[at + Piece.request]!;
        rowStart = records[at + Piece.rowStart]!;
        head = records[at + Piece.head]!;
        kvStart = -1;
      }
      if (ahead < 0 || records[at + Piece.kvStart]! <= kvStart || records[at + Piece.headCount] !== 1) return false;
      kvStart = records[at + Piece.kvStart]!;
      records[at + Piece.slot] = slot;
      slot += isSequential ? 1 : statesOf(records, at, this.grid);
    }
    this.mergeSlots(records, first, firstSlot, slot);
    this.slotCount = slot;
    return true;
  }

  /** Adds the merges of one job whose states are in slots [from, to): one for each MERGE_ROWS rows of its tile. */
  private mergeSlots(pieceRecords: Int32Array, at: number, from: number, to: number): void {
    const rows = pieceRecords[at + Piece.rows]! & 0xffff;
    if (rows > this.slotRows) this.slotRows = rows;
    this.splitJobCount++;
    this.rowCount += rows;
    for (let row = 0; row < rows; row += MERGE_ROWS) {
      const { sourceCount } = this;
      while ((sourceCount + to - from) * MergeSource.stride > this.sources.length) this.sources = doubled(this.sources);
      const { sources } = this;
      let source = sourceCount * MergeSource.stride;
      for (let slot = from; slot < to; slot++, source += MergeSource.stride) {
        sources[source + MergeSource.slot] = slot;
        sources[source + MergeSource.slotRow] = row;
      }
      const rowStart = pieceRecords[at + Piece.rowStart]! + row;
      const rowCount = Math.min(MERGE_ROWS, rows - row);
      this.pushMerge(pieceRecords[at + Piece.request]!, pieceRecords[at + Piece.head]!, rowStart, rowCount, to - from);
    }
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
      const states = statesOf(records, at(entry), this.grid);
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
    if (rows > this.slotRows) this.slotRows = rows;
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
    // Worker w takes the merges whose middles lie in the w-th of equal shares.
    const shareNs = totalNs / workers;
    let worker = 0;
    let endNs = shareNs;
    let passedNs = 0;
    workerIndptr[0] = 0;
    for (let m = 0; m < mergeCount; m++) {
      const costNs = mergeCostNs(records, m, costModel);
      for (; endNs <= passedNs + costNs / 2 && worker < workers - 1; endNs += shareNs) workerIndptr[++worker] = m;
      passedNs += costNs;
    }
    while (worker < workers) workerIndptr[++worker] = mergeCount;
  }
}

/** Partial states that one head of the partial piece at `at` leaves. */
export function statesOf(records: Int32Array, at: number, { tokens, rowsOf }: MergeGrid): number {
  if (tokens === 0) return 1;
  const rows = rowsOf(records[at + Piece.request]!);
  return stateCount(records[at + Piece.kvStart]!, records[at + Piece.kvEnd]!, tokens, rows);
}

/** Cost of merge m: a fixed part, and one part for each partial state of each four rows. */
export function mergeCostNs(merges: Int32Array, m: number, costModel: CostModel): number {
  const at = m * Merge.stride;
  const partials = merges[at + Merge.sourceEnd]! - merges[at + Merge.sourceStart]!;
  return costModel.mergeNs + partials * ((merges[at + Merge.rowCount]! + 3) >> 2) * costModel.mergePartialNs;
}

function doubled(from: Int32Array): Int32Array {
  const to = new Int32Array(Math.max(64, from.length * 2));
  to.set(from);
  return to;
}
