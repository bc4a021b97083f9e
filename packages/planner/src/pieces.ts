// What a policy writes: workers one after another, each with its pieces in order. Writes straight into the sections of a
// plan whose budget has room for any batch; elsewhere it grows as needed and is copied once everything is known.

import { Piece } from "./layout.ts";

/** `slot` of a piece that leaves a partial state; merge.ts numbers the slots once all pieces are known. */
export const PARTIAL = 0;
/** `slot` of a piece that covers its whole job and writes the final output. */
export const WRITE_THROUGH = -1;

/** Collects the pieces of one plan. A policy calls `add` for each piece of a worker and then `endWorker`. */
export class PieceWriter {
  /** Records in the layout of the plan format (Piece.stride int32 each); `slot` is PARTIAL or WRITE_THROUGH. */
  records: Int32Array = new Int32Array(64 * Piece.stride);
  recordCount = 0;
  /** Pieces: records counted once for each head. */
  pieceCount = 0;
  partialCount = 0;
  /** Where in `records` the records that leave partial states begin, in the order of writing; the first partialRecords. */
  partialAt: Int32Array = new Int32Array(64);
  partialRecords = 0;
  /** Largest load of a worker, where the policy knows it in the device's own cost; NaN: to be counted. */
  makespanNs: number = Number.NaN;
  /** workerIndptr[w] is the first record of worker w; entry `workers` closes the last one. */
  workerIndptr: Int32Array = new Int32Array(257);
  workers = 0;

  /** Writes into these arrays until they are full. */
  writeInto(records: Int32Array, workerIndptr: Int32Array): void {
    this.records = records;
    this.workerIndptr = workerIndptr;
  }

  clear(): void {
    this.recordCount = 0;
    this.partialRecords = 0;
    this.makespanNs = Number.NaN;
    this.pieceCount = 0;
    this.partialCount = 0;
    this.workers = 0;
    this.workerIndptr[0] = 0;
  }

  get recordCapacity(): number {
    return (this.records.length / Piece.stride) | 0;
  }

  /** Makes room for so many records and workers: a policy that knows its bound may fill the arrays itself. */
  reserve(recordCount: number, workers: number): void {
    if (this.records.length < recordCount * Piece.stride) this.records = new Int32Array(recordCount * Piece.stride);
    if (this.partialAt.length < recordCount) this.partialAt = new Int32Array(recordCount);
    if (this.workerIndptr.length <= workers) this.workerIndptr = new Int32Array(workers + 1);
  }

  /** Becomes a copy of `from`. */
  copyFrom(from: PieceWriter): void {
    if (this.records.length < from.records.length) this.records = new Int32Array(from.records.length);
    this.records.set(from.records.subarray(0, from.recordCount * Piece.stride));
    if (this.workerIndptr.length < from.workerIndptr.length) {
      this.workerIndptr = new Int32Array(from.workerIndptr.length);
    }
    this.workerIndptr.set(from.workerIndptr.subarray(0, from.workers + 1));
    this.recordCount = from.recordCount;
    this.pieceCount = from.pieceCount;
    this.partialCount = from.partialCount;
    if (this.partialAt.length < from.partialAt.length) this.partialAt = new Int32Array(from.partialAt.length);
    this.partialAt.set(from.partialAt.subarray(0, from.partialRecords));
    this.partialRecords = from.partialRecords;
    this.makespanNs = from.makespanNs;
    this.workers = from.workers;
  }

  /** Ends the worker (or CTA) whose pieces were just added, possibly none: a padding CTA has no piece. */
  endWorker(): void {
    this.workers++;
    if (this.workers >= this.workerIndptr.length) this.workerIndptr = doubled(this.workerIndptr);
    this.workerIndptr[this.workers] = this.recordCount;
  }

  /**
   * Arguments are integers in the ranges of the plan format; nothing is checked here (verifyPlan does).
   *
   * Adds `headCount` equal pieces on heads [head, head + headCount): packed rows [rowStart, rowStart + rows) in a query
   * tile of `tileRows` rows against KV tokens [kvStart, kvEnd).
   */
  add(
    request: number,
    head: number,
    headCount: number,
    rowStart: number,
    rows: number,
    tileRows: number,
    kvStart: number,
    kvEnd: number,
    slot: typeof PARTIAL | typeof WRITE_THROUGH,
  ): void {
    const at = this.recordCount * Piece.stride;
    if (at + Piece.stride > this.records.length) this.records = doubled(this.records);
    const { records } = this;
    records[at + Piece.request] = request;
    records[at + Piece.head] = head;
    records[at + Piece.headCount] = headCount;
    records[at + Piece.rowStart] = rowStart;
    records[at + Piece.rows] = rows | (tileRows << 16);
    records[at + Piece.kvStart] = kvStart;
    records[at + Piece.kvEnd] = kvEnd;
    records[at + Piece.slot] = slot;
    this.recordCount++;
    this.pieceCount += headCount;
    if (slot !== PARTIAL) return;
    this.partialCount += headCount;
    if (this.partialRecords === this.partialAt.length) this.partialAt = doubled(this.partialAt);
    this.partialAt[this.partialRecords++] = at;
  }
}

function doubled(from: Int32Array): Int32Array {
  const to = new Int32Array(Math.max(64, from.length * 2));
  to.set(from);
  return to;
}
