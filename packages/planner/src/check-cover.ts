// Exact cover: the pieces of a plan lay out every job without gap or overlap, every partial slot is written by one piece,
// and every row of a split job is merged once, from all of its states in KV order.
//
// Time and memory follow the records, not the heads that they stand for: a piece that writes its output covers its job
// alone, so its heads are checked as one, and pieces with slots are looked at head by head, no more of them than slots.

import { chunkStart } from "./canonical-tree.ts";
import { ownerSize, partialStates, requestRows } from "./check-fields.ts";
import { visibleEnd, visibleStart } from "./jobs.ts";
import { GroupRange, Header, Merge, MergeOrder, MergeSource, Piece, Request } from "./layout.ts";
import type { Plan } from "./plan.ts";
import { PlanViolation } from "./plan-violation.ts";

/** Heads are below 65,535, so that a record and a head fit one number: record × HEADS + head. */
const HEADS = 2 ** 16;

/** A job as its pieces describe it: one query tile of one request (or group, below 0) for one head, or for several alike. */
interface Job {
  readonly request: number;
  readonly head: number;
  readonly headCount: number;
  readonly rowStart: number;
  readonly rows: number;
  readonly where: string;
  /** Partial slots in KV order; empty when its one piece writes the output. */
  readonly slots: readonly number[];
}

/** A query tile of a request or group, and what its rows have to attend to in its own pieces. */
interface Tile {
  readonly request: number;
  readonly rowStart: number;
  /** Rows word of its first piece. */
  readonly rows: number;
  readonly kvStart: number;
  readonly kvEnd: number;
}

/** The groups on the path of each request, and where its packed rows begin in each of them. */
interface Paths {
  readonly sharedKv: Int32Array;
  readonly of: ReadonlyMap<number, readonly { readonly group: number; readonly rowOffset: number }[]>;
}

/** Throws PlanViolation. The fields must have been checked. */
export function checkCover(plan: Plan): void {
  const { header, pieces, attention } = plan;
  const heads = header[Header.queryHeads]! / header[Header.packedHeads]!;
  const runs = orderedRuns(plan);
  const firsts = orderedFirstMerges(plan);
  const paths = pathsOf(plan);
  /** Jobs of each group by row and head, for the merges of its members. Groups come before requests in `runs`. */
  const groupJobs: Job[][] = Array.from({ length: plan.groupCount }, () => []);
  let next = 0;
  let splitJobs = 0;
  let merged = 0;
  let mergeRows = 0;
  for (let request = -plan.groupCount; request < plan.requestCount; request++) {
    const { rows } = ownerSize(plan, request);
    for (let rowStart = 0; rowStart < rows; ) {
      const tileRows = pieces[atOf(runs[next]!) + Piece.rows]!;
      const [kvStart, kvEnd] = kvRangeOf(plan, attention, request, rowStart, tileRows & 0xffff, paths);
      const tile: Tile = { request, rowStart, rows: tileRows, kvStart, kvEnd };
      for (let head = 0; head < heads; ) {
        const end = endOfJob(plan, runs, next, request, rowStart, head);
        const job = checkJob(plan, tile, head, runs.subarray(next, end), paths);
        next = end;
        head += job.headCount;
        if (request < 0) groupJobs[-1 - request]!.push(job);
        else if (job.slots.length > 0) {
          merged += checkMergesOfJob(plan, firsts[splitJobs++], job, paths, groupJobs, heads);
          mergeRows += job.rows;
        }
      }
      rowStart += tileRows & 0xffff;
    }
  }
  if (next !== runs.length) {
    throw new PlanViolation("cover", `piece record ${recordOf(runs[next]!)}`, "overlaps rows that other pieces cover");
  }
  if (merged !== plan.mergeCount) {
    throw new PlanViolation("merges", "mergeCount", `is ${plan.mergeCount}, split jobs need ${merged}`);
  }
  if (splitJobs !== header[Header.splitJobCount]) {
    throw new PlanViolation("stats", "splitJobCount", `is ${header[Header.splitJobCount]}, recounted ${splitJobs}`);
  }
  if (mergeRows !== header[Header.mergeRowCount]) {
    throw new PlanViolation("stats", "mergeRowCount", `is ${header[Header.mergeRowCount]}, recounted ${mergeRows}`);
  }
}

const recordOf = (run: number): number => Math.floor(run / HEADS);
const atOf = (run: number): number => recordOf(run) * Piece.stride;

/**
 * Piece records, those with slots once for each head, in the order (request, row, head, KV). There are as many slots as
 * their pieces leave states (checkFields), so that each is written once when none is written twice.
 */
function orderedRuns(plan: Plan): Float64Array {
  const { pieces } = plan;
  const runs = new Float64Array(plan.pieceRecordCount + plan.partialSlotCount);
  const isWritten = new Uint8Array(plan.partialSlotCount);
  let count = 0;
  for (let record = 0; record < plan.pieceRecordCount; record++) {
    const at = record * Piece.stride;
    const slot = pieces[at + Piece.slot]!;
    const headCount = slot < 0 ? 1 : pieces[at + Piece.headCount]!;
    for (let h = 0; h < headCount; h++) runs[count++] = record * HEADS + pieces[at + Piece.head]! + h;
    const end = slot < 0 ? slot : slot + headCount * partialStates(plan, at);
    for (let state = slot; state < end; state++) {
      if (isWritten[state] !== 0) throw new PlanViolation("slots", `slot ${state}`, "is written by two pieces");
      isWritten[state] = 1;
    }
  }
  return runs.subarray(0, count).sort((a, b) => {
    const x = atOf(a);
    const y = atOf(b);
    return (
      pieces[x + Piece.request]! - pieces[y + Piece.request]! ||
      pieces[x + Piece.rowStart]! - pieces[y + Piece.rowStart]! ||
      (a % HEADS) - (b % HEADS) ||
      pieces[x + Piece.kvStart]! - pieces[y + Piece.kvStart]! ||
      pieces[x + Piece.kvEnd]! - pieces[y + Piece.kvEnd]!
    );
  });
}

/** One past the last piece of the job that must begin at runs[from]. */
function endOfJob(
  { pieces }: Plan,
  runs: Float64Array,
  from: number,
  request: number,
  rowStart: number,
  head: number,
): number {
  let end = from;
  for (; end < runs.length; end++) {
    const at = atOf(runs[end]!);
    const isOfJob =
      runs[end]! % HEADS === head && pieces[at + Piece.request] === request && pieces[at + Piece.rowStart] === rowStart;
    if (!isOfJob) break;
  }
  if (end > from) return end;
  throw new PlanViolation("cover", whereIs(request, head, rowStart), "no piece starts here, or one before overlaps");
}

/** Checks that the pieces cover the job's KV range exactly. */
function checkJob(plan: Plan, tile: Tile, head: number, runs: Float64Array, paths: Paths): Job {
  const { pieces, header } = plan;
  const { request, rowStart } = tile;
  const where = whereIs(request, head, rowStart);
  const grid = header[Header.mergeOrder] === MergeOrder.canonicalTree ? header[Header.mergeGridTokens]! : 0;
  const ownRows = grid === 0 ? 0 : requestRows(plan, request);
  const mayWriteThrough = runs.length === 1 && request >= 0 && paths.sharedKv[request] === 0;
  const slots: number[] = [];
  let headCount = 1;
  let covered = tile.kvStart;
  for (const run of runs) {
    const at = atOf(run);
    const fail = (problem: string): never => {
      throw new PlanViolation("cover", where, `piece record ${recordOf(run)} ${problem}`);
    };
    if (pieces[at + Piece.rows] !== tile.rows) fail("has another tile of rows");
    const kvStart = pieces[at + Piece.kvStart]!;
    const kvEnd = pieces[at + Piece.kvEnd]!;
    // Pieces without KV tokens, the padding of other systems' schedules, stand where another ends, and cover nothing.
    if (kvStart !== covered) {
      fail(`from ${kvStart} ${kvStart < covered ? "overlaps" : "leaves a gap after"} ${covered}`);
    }
    if (kvEnd > tile.kvEnd) fail(`reads up to ${kvEnd}, visible is ${tile.kvEnd}`);
    const isCut = kvStart > tile.kvStart && kvStart < tile.kvEnd;
    if (isCut && grid > 0 && chunkStart(kvStart, grid, ownRows) !== kvStart) {
      fail(`is cut off the grid of ${grid} tokens`);
    }
    covered = kvEnd;
    const slot = pieces[at + Piece.slot]!;
    if (slot >= 0) {
      const states = partialStates(plan, at);
      const first = slot + (head - pieces[at + Piece.head]!) * states;
      for (let state = 0; state < states; state++) slots.push(first + state);
    } else if (mayWriteThrough) headCount = pieces[at + Piece.headCount]!;
    else throw new PlanViolation("slots", where, `piece record ${recordOf(run)} of a split job has no slot`);
  }
  if (covered !== tile.kvEnd) {
    throw new PlanViolation("cover", where, `KV tokens from ${covered} to ${tile.kvEnd} are in no piece`);
  }
  return { request, head, headCount, rowStart, rows: tile.rows & 0xffff, where, slots };
}

/** KV tokens that the rows of a tile have to attend to in their own pieces. */
function kvRangeOf(
  plan: Plan,
  attention: Plan["attention"],
  request: number,
  rowStart: number,
  rows: number,
  paths: Paths,
): [number, number] {
  if (request < 0) {
    const at = (-1 - request) * GroupRange.stride;
    return [plan.groupRanges[at + GroupRange.kvStart]!, plan.groupRanges[at + GroupRange.kvEnd]!];
  }
  const packedHeads = plan.header[Header.packedHeads]!;
  const qoLen = plan.requests[request * Request.stride + Request.qoLen]!;
  const kvLen = plan.requests[request * Request.stride + Request.kvLen]!;
  const end = visibleEnd(attention, qoLen, kvLen, Math.floor((rowStart + rows - 1) / packedHeads));
  const start = visibleStart(attention, qoLen, kvLen, Math.floor(rowStart / packedHeads));
  return [Math.min(end, Math.max(paths.sharedKv[request]!, start)), end];
}

function pathsOf(plan: Plan): Paths {
  const packedHeads = plan.header[Header.packedHeads]!;
  const sharedKv = new Int32Array(plan.requestCount);
  const of = new Map<number, { group: number; rowOffset: number }[]>();
  for (let group = 0; group < plan.groupCount; group++) {
    let rowOffset = 0;
    for (let m = plan.groupIndptr[group]!; m < plan.groupIndptr[group + 1]!; m++) {
      const request = plan.groupMembers[m]!;
      const path = of.get(request);
      if (path === undefined) of.set(request, [{ group, rowOffset }]);
      else path.push({ group, rowOffset });
      sharedKv[request] = plan.groupRanges[group * GroupRange.stride + GroupRange.kvEnd]!;
      rowOffset += plan.requests[request * Request.stride + Request.qoLen]! * packedHeads;
    }
  }
  return { sharedKv, of };
}

/** The first merge of each split job in the order (request, row, head). Merges of one job are consecutive. */
function orderedFirstMerges({ merges, mergeCount, header }: Plan): Int32Array {
  const isSeen = new Uint8Array(header[Header.splitJobCount]!);
  const firsts = new Int32Array(isSeen.length);
  let count = 0;
  for (let m = 0, previous = -1; m < mergeCount; m++) {
    const job = merges[m * Merge.stride + Merge.splitJob]!;
    if (job === previous && m > 0) continue;
    if (isSeen[job] !== 0) {
      const problem = `splitJob is ${job}, expected one of ${isSeen.length}, its merges next to each other`;
      throw new PlanViolation("merges", `merge ${m}`, problem);
    }
    isSeen[job] = 1;
    firsts[count++] = m;
    previous = job;
  }
  const compare = (x: number, y: number, field: number): number =>
    merges[x * Merge.stride + field]! - merges[y * Merge.stride + field]!;
  return firsts
    .subarray(0, count)
    .sort((x, y) => compare(x, y, Merge.request) || compare(x, y, Merge.rowStart) || compare(x, y, Merge.head));
}

/** The job's rows must be merged once each, from all of their states in KV order. Returns by how many merges. */
function checkMergesOfJob(
  plan: Plan,
  first: number | undefined,
  job: Job,
  paths: Paths,
  groupJobs: readonly (readonly Job[])[],
  heads: number,
): number {
  const { merges, mergeSources } = plan;
  const jobEnd = job.rowStart + job.rows;
  let m = first ?? plan.mergeCount;
  const splitJob = merges[m * Merge.stride + Merge.splitJob];
  for (let row = job.rowStart; row < jobEnd; m++) {
    if (m >= plan.mergeCount) throw new PlanViolation("merges", job.where, `rows from ${row} are not merged`);
    const at = m * Merge.stride;
    const rowCount = merges[at + Merge.rowCount]!;
    const continues =
      merges[at + Merge.splitJob] === splitJob &&
      merges[at + Merge.request] === job.request &&
      merges[at + Merge.head] === job.head &&
      merges[at + Merge.rowStart] === row &&
      rowCount >= 1 &&
      row + rowCount <= jobEnd;
    if (!continues) throw new PlanViolation("merges", `merge ${m}`, `does not continue at row ${row} of ${job.where}`);
    const firstStates = statesOfRow(job, row, paths, groupJobs, heads);
    const lastStates = statesOfRow(job, row + rowCount - 1, paths, groupJobs, heads);
    const start = merges[at + Merge.sourceStart]!;
    if (merges[at + Merge.sourceEnd]! - start !== firstStates.length) {
      throw new PlanViolation("merges", `merge ${m}`, `has not the ${firstStates.length} sources of its rows`);
    }
    for (const [i, { slot, slotRow }] of firstStates.entries()) {
      const source = (start + i) * MergeSource.stride;
      const isRight =
        mergeSources[source + MergeSource.slot] === slot &&
        mergeSources[source + MergeSource.slotRow] === slotRow &&
        lastStates[i]?.slot === slot &&
        lastStates[i].slotRow === slotRow + rowCount - 1;
      if (!isRight)
        throw new PlanViolation("merges", `merge ${m}`, `source ${i} is not row ${slotRow} of slot ${slot}`);
    }
    row += rowCount;
  }
  return m - (first ?? m);
}

/** Where the states of one row lie, in KV order: those of the groups on its path, then its own. */
function statesOfRow(
  job: Job,
  row: number,
  paths: Paths,
  groupJobs: readonly (readonly Job[])[],
  heads: number,
): { readonly slot: number; readonly slotRow: number }[] {
  const shared = (paths.of.get(job.request) ?? []).flatMap(({ group, rowOffset }) => {
    const jobs = groupJobs[group]!;
    const groupRow = rowOffset + row;
    // The last tile that starts at or before the row; each has one job for each head.
    let tile = 0;
    for (let beyond = jobs.length / heads; beyond - tile > 1; ) {
      const middle = (tile + beyond) >> 1;
      if (jobs[middle * heads]!.rowStart <= groupRow) tile = middle;
      else beyond = middle;
    }
    const { slots, rowStart } = jobs[tile * heads + job.head]!;
    return slots.map((slot) => ({ slot, slotRow: groupRow - rowStart }));
  });
  return [...shared, ...job.slots.map((slot) => ({ slot, slotRow: row - job.rowStart }))];
}

function whereIs(request: number, head: number, rowStart: number): string {
  const owner = request < 0 ? `group ${-1 - request}` : `request ${request}`;
  return `${owner}, head ${head}, row ${rowStart}`;
}
