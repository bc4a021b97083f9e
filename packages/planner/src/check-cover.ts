// Exact cover: the pieces of a plan lay out every job without gap or overlap, every partial slot is written by one piece,
// and every row of a split job is merged once, from all of its states in KV order.

import { chunkStart } from "./canonical-tree.ts";
import { ownerSize, partialStates, requestRows } from "./check-fields.ts";
import { visibleEnd, visibleStart } from "./jobs.ts";
import { GroupRange, Header, Merge, MergeOrder, MergeSource, Piece, Request } from "./layout.ts";
import type { Plan } from "./plan.ts";
import { PlanViolation } from "./plan-violation.ts";

/** One head of one piece record. */
interface PieceOfHead {
  readonly record: number;
  readonly head: number;
  readonly at: number;
  /** First slot of this head, or −1. */
  readonly slot: number;
}

/** A job as its pieces describe it: one query tile of one request (or group, below 0) for one head. */
interface Job {
  readonly request: number;
  readonly head: number;
  readonly rowStart: number;
  readonly rows: number;
  readonly where: string;
  /** Partial slots in KV order; empty when its one piece writes the output. */
  readonly slots: readonly number[];
}

/** The groups on the path of each request, and where its packed rows begin in each of them. */
interface Paths {
  readonly sharedKv: Int32Array;
  readonly of: readonly (readonly { readonly group: number; readonly rowOffset: number }[])[];
}

/** Throws PlanViolation. The fields must have been checked. */
export function checkCover(plan: Plan): void {
  const { header } = plan;
  const heads = header[Header.queryHeads]! / header[Header.packedHeads]!;
  const ordered = expandPieces(plan);
  const usedSlots = new Uint8Array(plan.partialSlotCount);
  const mergesOf = indexMerges(plan);
  const paths = pathsOf(plan);
  /** Tiles of each group by head, for the merges of its members. Groups come before requests in `ordered`. */
  const groupJobs = new Map<string, Job[]>();
  let next = 0;
  let splitJobs = 0;
  let mergeRows = 0;
  for (let request = -plan.groupCount; request < plan.requestCount; request++) {
    const { rows } = ownerSize(plan, request);
    for (let head = 0; head < heads && rows > 0; head++) {
      for (let rowStart = 0; rowStart < rows; ) {
        const end = endOfJob(plan, ordered, next, request, head, rowStart);
        const job = checkJob(plan, request, head, rowStart, ordered.slice(next, end), paths, usedSlots);
        next = end;
        rowStart += job.rows;
        if (request < 0) {
          const key = `${request}/${head}`;
          groupJobs.set(key, [...(groupJobs.get(key) ?? []), job]);
        } else if (job.slots.length > 0) {
          splitJobs++;
          mergeRows += job.rows;
          checkMergesOfJob(plan, mergesOf, job, paths, groupJobs);
        }
      }
    }
  }
  if (next !== ordered.length) {
    const piece = ordered[next]!;
    throw new PlanViolation("cover", `piece record ${piece.record}`, "overlaps rows that other pieces cover");
  }
  const unused = usedSlots.indexOf(0);
  if (unused >= 0) throw new PlanViolation("slots", `slot ${unused}`, "is written by no piece");
  if (mergesOf.size > 0) {
    throw new PlanViolation("merges", `merge ${[...mergesOf.values()][0]![0]}`, "belongs to no split job");
  }
  if (splitJobs !== header[Header.splitJobCount]) {
    throw new PlanViolation("stats", "splitJobCount", `is ${header[Header.splitJobCount]}, recounted ${splitJobs}`);
  }
  if (mergeRows !== header[Header.mergeRowCount]) {
    throw new PlanViolation("stats", "mergeRowCount", `is ${header[Header.mergeRowCount]}, recounted ${mergeRows}`);
  }
}

/** All pieces in the order (request, head, row, KV). */
function expandPieces(plan: Plan): PieceOfHead[] {
  const { pieces } = plan;
  const expanded: PieceOfHead[] = [];
  for (let record = 0; record < plan.pieceRecordCount; record++) {
    const at = record * Piece.stride;
    const states = partialStates(plan, at);
    const slot = pieces[at + Piece.slot]!;
    for (let h = 0; h < pieces[at + Piece.headCount]!; h++) {
      expanded.push({ record, at, head: pieces[at + Piece.head]! + h, slot: slot < 0 ? -1 : slot + h * states });
    }
  }
  return expanded.sort(
    (a, b) =>
      pieces[a.at + Piece.request]! - pieces[b.at + Piece.request]! ||
      a.head - b.head ||
      pieces[a.at + Piece.rowStart]! - pieces[b.at + Piece.rowStart]! ||
      pieces[a.at + Piece.kvStart]! - pieces[b.at + Piece.kvStart]! ||
      pieces[a.at + Piece.kvEnd]! - pieces[b.at + Piece.kvEnd]!,
  );
}

/** One past the last piece of the job that must begin at ordered[from]. */
function endOfJob(
  plan: Plan,
  ordered: readonly PieceOfHead[],
  from: number,
  request: number,
  head: number,
  rowStart: number,
): number {
  const { pieces } = plan;
  let end = from;
  for (; end < ordered.length; end++) {
    const piece = ordered[end]!;
    const isOfJob =
      piece.head === head &&
      pieces[piece.at + Piece.request] === request &&
      pieces[piece.at + Piece.rowStart] === rowStart;
    if (!isOfJob) break;
  }
  if (end === from) throw new PlanViolation("cover", whereIs(request, head, rowStart), "no piece starts here");
  return end;
}

/** Checks that the pieces cover the job's KV range exactly and marks their slots. */
function checkJob(
  plan: Plan,
  request: number,
  head: number,
  rowStart: number,
  pieceList: readonly PieceOfHead[],
  paths: Paths,
  usedSlots: Uint8Array,
): Job {
  const { pieces, header } = plan;
  const where = whereIs(request, head, rowStart);
  const tile = pieces[pieceList[0]!.at + Piece.rows]!;
  const rows = tile & 0xffff;
  const [start, end] = kvRangeOf(plan, request, rowStart, rows, paths);
  const grid = header[Header.mergeOrder] === MergeOrder.canonicalTree ? header[Header.mergeGridTokens]! : 0;
  const ownRows = grid === 0 ? 0 : requestRows(plan, request);
  const mayWriteThrough = pieceList.length === 1 && request >= 0 && paths.sharedKv[request] === 0;
  const slots: number[] = [];
  let covered = start;
  for (const { at, record, slot } of pieceList) {
    if (pieces[at + Piece.rows] !== tile) {
      throw new PlanViolation("cover", where, `piece record ${record} has another tile of rows`);
    }
    const kvStart = pieces[at + Piece.kvStart]!;
    const kvEnd = pieces[at + Piece.kvEnd]!;
    // Pieces without KV tokens, the padding of other systems' schedules, stand where another ends, and cover nothing.
    if (kvStart !== covered) {
      const problem = kvStart < covered ? "overlaps" : "leaves a gap after";
      throw new PlanViolation("cover", where, `piece record ${record} from ${kvStart} ${problem} ${covered}`);
    }
    if (kvEnd > end) {
      throw new PlanViolation("cover", where, `piece record ${record} reads up to ${kvEnd}, visible is ${end}`);
    }
    const isCut = kvStart > start && kvStart < end;
    if (isCut && grid > 0 && chunkStart(kvStart, grid, ownRows) !== kvStart) {
      throw new PlanViolation("cover", where, `piece record ${record} is cut off the grid of ${grid} tokens`);
    }
    covered = kvEnd;
    if (slot < 0) {
      if (!mayWriteThrough)
        throw new PlanViolation("slots", where, `piece record ${record} of a split job has no slot`);
      continue;
    }
    for (let state = slot; state < slot + partialStates(plan, at); state++) {
      if (usedSlots[state] !== 0) throw new PlanViolation("slots", `slot ${state}`, "is written by two pieces");
      usedSlots[state] = 1;
      slots.push(state);
    }
  }
  if (covered !== end) throw new PlanViolation("cover", where, `KV tokens from ${covered} to ${end} are in no piece`);
  return { request, head, rowStart, rows, where, slots };
}

/** KV tokens that the rows of a tile have to attend to in their own pieces. */
function kvRangeOf(plan: Plan, request: number, rowStart: number, rows: number, paths: Paths): [number, number] {
  if (request < 0) {
    const at = (-1 - request) * GroupRange.stride;
    return [plan.groupRanges[at + GroupRange.kvStart]!, plan.groupRanges[at + GroupRange.kvEnd]!];
  }
  const packedHeads = plan.header[Header.packedHeads]!;
  const qoLen = plan.requests[request * Request.stride + Request.qoLen]!;
  const kvLen = plan.requests[request * Request.stride + Request.kvLen]!;
  const { attention } = plan;
  const end = visibleEnd(attention, qoLen, kvLen, Math.floor((rowStart + rows - 1) / packedHeads));
  const start = visibleStart(attention, qoLen, kvLen, Math.floor(rowStart / packedHeads));
  return [Math.min(end, Math.max(paths.sharedKv[request]!, start)), end];
}

function pathsOf(plan: Plan): Paths {
  const packedHeads = plan.header[Header.packedHeads]!;
  const sharedKv = new Int32Array(plan.requestCount);
  const of: { group: number; rowOffset: number }[][] = Array.from({ length: plan.requestCount }, () => []);
  for (let g = 0; g < plan.groupCount; g++) {
    let rowOffset = 0;
    for (let m = plan.groupIndptr[g]!; m < plan.groupIndptr[g + 1]!; m++) {
      const request = plan.groupMembers[m]!;
      of[request]!.push({ group: g, rowOffset });
      sharedKv[request] = plan.groupRanges[g * GroupRange.stride + GroupRange.kvEnd]!;
      rowOffset += plan.requests[request * Request.stride + Request.qoLen]! * packedHeads;
    }
  }
  return { sharedKv, of };
}

/** Merges by (request, head), in plan order. */
function indexMerges(plan: Plan): Map<string, number[]> {
  const index = new Map<string, number[]>();
  for (let m = 0; m < plan.mergeCount; m++) {
    const key = `${plan.merges[m * Merge.stride + Merge.request]}/${plan.merges[m * Merge.stride + Merge.head]}`;
    const list = index.get(key);
    if (list === undefined) index.set(key, [m]);
    else list.push(m);
  }
  return index;
}

/** The job's rows must be merged once each, from all of their states in KV order. Removes the merges from the index. */
function checkMergesOfJob(
  plan: Plan,
  index: Map<string, number[]>,
  job: Job,
  paths: Paths,
  groupJobs: ReadonlyMap<string, readonly Job[]>,
): void {
  const { merges, mergeSources } = plan;
  const key = `${job.request}/${job.head}`;
  const list = index.get(key) ?? [];
  const jobEnd = job.rowStart + job.rows;
  for (let row = job.rowStart; row < jobEnd; ) {
    const m = list.shift();
    if (m === undefined) throw new PlanViolation("merges", job.where, `rows from ${row} are not merged`);
    const at = m * Merge.stride;
    const rowCount = merges[at + Merge.rowCount]!;
    if (merges[at + Merge.rowStart] !== row || rowCount < 1 || row + rowCount > jobEnd) {
      throw new PlanViolation("merges", `merge ${m}`, `does not continue at row ${row} of ${job.where}`);
    }
    const first = statesOfRow(job, row, paths, groupJobs);
    const last = statesOfRow(job, row + rowCount - 1, paths, groupJobs);
    const start = merges[at + Merge.sourceStart]!;
    if (merges[at + Merge.sourceEnd]! - start !== first.length) {
      throw new PlanViolation("merges", `merge ${m}`, `has not the ${first.length} sources of its rows`);
    }
    for (const [i, { slot, slotRow }] of first.entries()) {
      const source = (start + i) * MergeSource.stride;
      const isRight =
        mergeSources[source + MergeSource.slot] === slot &&
        mergeSources[source + MergeSource.slotRow] === slotRow &&
        last[i]?.slot === slot &&
        last[i].slotRow === slotRow + rowCount - 1;
      if (!isRight)
        throw new PlanViolation("merges", `merge ${m}`, `source ${i} is not row ${slotRow} of slot ${slot}`);
    }
    row += rowCount;
  }
  if (list.length === 0) index.delete(key);
}

/** Where the states of one row lie, in KV order: those of the groups on its path, then its own. */
function statesOfRow(
  job: Job,
  row: number,
  paths: Paths,
  groupJobs: ReadonlyMap<string, readonly Job[]>,
): { readonly slot: number; readonly slotRow: number }[] {
  const shared = paths.of[job.request]!.flatMap(({ group, rowOffset }) => {
    const groupRow = rowOffset + row;
    const tiles = groupJobs.get(`${-1 - group}/${job.head}`) ?? [];
    const tile = tiles.find(({ rowStart, rows }) => groupRow >= rowStart && groupRow < rowStart + rows);
    return (tile?.slots ?? []).map((slot) => ({ slot, slotRow: groupRow - tile!.rowStart }));
  });
  return [...shared, ...job.slots.map((slot) => ({ slot, slotRow: row - job.rowStart }))];
}

function whereIs(request: number, head: number, rowStart: number): string {
  const owner = request < 0 ? `group ${-1 - request}` : `request ${request}`;
  return `${owner}, head ${head}, row ${rowStart}`;
}
