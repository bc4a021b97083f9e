// verifyPlan(): the proof obligations of a plan, each checked from scratch, the first violation named.
//
// A plan carries its own request table, so everything but agreement with the batch follows from the plan alone:
// decodePlan() runs the same checks on bytes from anywhere. Nothing here trusts an index before it is checked.

import type { AttentionBatch, AttentionShape } from "./batch.ts";
import { lowerBound } from "./bounds.ts";
import { canonicalNodeCount } from "./canonical-tree.ts";
import { type Device, workerCount } from "./device.ts";
import { collectJobs, Jobs, visibleEnd, visibleStart } from "./jobs.ts";
import {
  DTYPES,
  HEADER_BYTES,
  Header,
  Launch,
  MASK_KINDS,
  Merge,
  MergeLaunch,
  MergeOrder,
  MergeSource,
  Piece,
  PLAN_MAGIC,
  PLAN_VERSION,
  Request,
} from "./layout.ts";
import { launchSlots, makespanNs } from "./makespan.ts";
import type { Plan } from "./plan.ts";
import { POLICY_NAMES } from "./policy-names.ts";

export type PlanRule =
  | "header"
  | "layout"
  | "capacity"
  | "request table"
  | "worker ranges"
  | "piece fields"
  | "cover"
  | "slots"
  | "merges"
  | "stats"
  | "batch";

/** The first rule that a plan breaks, and where. */
export class PlanViolation extends Error {
  override readonly name = "PlanViolation";
  readonly rule: PlanRule;
  /** What the index counts, such as "piece record". */
  readonly where: string;

  constructor(rule: PlanRule, where: string, problem: string) {
    super(`plan violates ${rule}: ${where}: ${problem}`);
    this.rule = rule;
    this.where = where;
  }
}

/**
 * Throws PlanViolation unless the plan is a correct plan of this batch: exact cover of every visible KV tile of every
 * job, no piece outside its job, slots unique and merged once in KV order, counts within capacities, monotone worker
 * ranges, sections where the layout puts them, counts in the stats equal to a recount. With `device`, makespan and
 * lower bound are recomputed too.
 */
export function verifyPlan(plan: Plan, batch: AttentionBatch, device?: Device): void {
  checkPlan(plan);
  checkBatch(plan, batch);
  if (device !== undefined) checkTimes(plan, device);
}

/** Everything that can be checked without the batch. */
export function checkPlan(plan: Plan): void {
  checkHeader(plan);
  checkRequests(plan);
  checkRanges("workerPieceIndptr", plan.workerPieceIndptr, plan.workers, plan.pieceRecordCount);
  checkRanges("workerMergeIndptr", plan.workerMergeIndptr, plan.workers, plan.mergeCount);
  checkPieceFields(plan);
  checkMergeFields(plan);
  checkJobs(plan);
}

function checkHeader(plan: Plan): void {
  const { header, layout } = plan;
  const { capacities } = layout;
  const expect = (field: keyof typeof Header, low: number, high: number, rule: PlanRule = "header"): void => {
    const value = header[Header[field]]!;
    if (value < low || value > high) {
      const range = low === high ? `${low}` : `${low} to ${high}`;
      throw new PlanViolation(rule, `header field ${field}`, `is ${value}, expected ${range}`);
    }
  };
  expect("magic", PLAN_MAGIC, PLAN_MAGIC);
  expect("version", PLAN_VERSION, PLAN_VERSION);
  expect("headerBytes", HEADER_BYTES, HEADER_BYTES);
  expect("totalBytes", layout.totalBytes, layout.totalBytes, "layout");
  expect("policy", 0, POLICY_NAMES.length - 1);
  expect("launch", Launch.persistent, Launch.grid);
  expect("mergeLaunch", MergeLaunch.none, MergeLaunch.separate);
  expect("mergeOrder", MergeOrder.sequential, MergeOrder.canonicalTree);
  const isCanonical = header[Header.mergeOrder] === MergeOrder.canonicalTree;
  expect("mergeGridTokens", isCanonical ? 1 : 0, isCanonical ? 1 << 20 : 0);
  expect("smCount", 1, 4096);
  expect("ctasPerSm", 1, 32);
  expect("ctasPerWorker", 1, 16);
  expect("queryHeads", 1, 65_535);
  expect("kvHeads", 1, 65_535);
  const group = header[Header.queryHeads]! / header[Header.kvHeads]!;
  if (!Number.isInteger(group)) {
    throw new PlanViolation("header", "header field queryHeads", "is not a multiple of kvHeads");
  }
  if (header[Header.packedHeads] !== group && header[Header.packedHeads] !== 1) {
    throw new PlanViolation(
      "header",
      "header field packedHeads",
      `is ${header[Header.packedHeads]}, expected ${group} or 1`,
    );
  }
  expect("headDim", 1, 1024);
  expect("valueHeadDim", 1, 1024);
  expect("dtype", 0, 2);
  expect("kvDtype", 0, DTYPES.length - 1);
  expect("pageSize", 1, 256);
  expect("maskKind", 0, MASK_KINDS.length - 1);
  const isWindow = MASK_KINDS[header[Header.maskKind]!] === "sliding-window";
  expect("window", isWindow ? 1 : 0, isWindow ? 0x7fff_ffff : 0);
  expect("kvTileTokens", 1, 4096);
  expect("slotRows", 0, 65_535);
  expect("sinks", 0, 1);
  const softCap = new Float32Array(header.buffer, header.byteOffset + Header.softCapBits * 4, 1)[0]!;
  if (!(softCap >= 0 && Number.isFinite(softCap))) {
    throw new PlanViolation("header", "header field softCapBits", `is ${softCap}, expected a finite number ≥ 0`);
  }
  expect("requestCount", 0, capacities.requests, "capacity");
  expect("workers", 0, capacities.workers, "capacity");
  expect("pieceRecordCount", 0, capacities.pieces, "capacity");
  expect("mergeCount", 0, capacities.merges, "capacity");
  expect("mergeSourceCount", 0, capacities.mergeSources, "capacity");
  expect("partialSlotCount", 0, capacities.partialSlots, "capacity");
  expect("groupCount", 0, capacities.groups, "capacity");
  expect("groupMemberCount", 0, capacities.groupMembers, "capacity");
  const usedBytes = layout.pieces + header[Header.pieceRecordCount]! * Piece.stride * 4;
  expect("usedBytes", usedBytes, usedBytes, "layout");
  expect("workerCapacity", capacities.workers, capacities.workers, "layout");
  expect("requestCapacity", capacities.requests, capacities.requests, "layout");
  expect("pieceCapacity", capacities.pieces, capacities.pieces, "layout");
  expect("mergeCapacity", capacities.merges, capacities.merges, "layout");
  expect("mergeSourceCapacity", capacities.mergeSources, capacities.mergeSources, "layout");
  expect("partialSlotCapacity", capacities.partialSlots, capacities.partialSlots, "layout");
  expect("groupCapacity", capacities.groups, capacities.groups, "layout");
  expect("groupMemberCapacity", capacities.groupMembers, capacities.groupMembers, "layout");
  expect("requestsOffset", layout.requests, layout.requests, "layout");
  expect("workerPieceIndptrOffset", layout.workerPieceIndptr, layout.workerPieceIndptr, "layout");
  expect("workerMergeIndptrOffset", layout.workerMergeIndptr, layout.workerMergeIndptr, "layout");
  expect("groupIndptrOffset", layout.groupIndptr, layout.groupIndptr, "layout");
  expect("groupMembersOffset", layout.groupMembers, layout.groupMembers, "layout");
  expect("mergesOffset", layout.merges, layout.merges, "layout");
  expect("mergeSourcesOffset", layout.mergeSources, layout.mergeSources, "layout");
  expect("piecesOffset", layout.pieces, layout.pieces, "layout");
  const { makespanUs, lowerBoundUs } = plan.stats;
  if (!(makespanUs >= 0 && lowerBoundUs >= 0 && Number.isFinite(makespanUs) && Number.isFinite(lowerBoundUs))) {
    throw new PlanViolation("stats", "makespan or lower bound", "is not a finite number ≥ 0");
  }
}

function checkRequests(plan: Plan): void {
  let queryStart = 0;
  const packedHeads = plan.header[Header.packedHeads]!;
  for (let i = 0; i < plan.requestCount; i++) {
    const at = i * Request.stride;
    const qoLen = plan.requests[at + Request.qoLen]!;
    const fail = (problem: string): never => {
      throw new PlanViolation("request table", `request ${i}`, problem);
    };
    if (plan.requests[at + Request.queryStart] !== queryStart) fail(`queryStart is not ${queryStart}`);
    if (qoLen < 0 || qoLen * packedHeads > 0x7fff_ffff) fail(`qoLen is ${qoLen}`);
    if (plan.requests[at + Request.kvLen]! < 0) fail("kvLen is negative");
    if (plan.requests[at + Request.pageStart]! < 0) fail("pageStart is negative");
    queryStart += qoLen;
    if (queryStart > 0x7fff_ffff) fail("query tokens overflow");
  }
}

function checkRanges(name: string, indptr: Int32Array, workers: number, count: number): void {
  let previous = 0;
  for (let w = 0; w <= workers; w++) {
    const value = indptr[w]!;
    if ((w === 0 && value !== 0) || value < previous || value > count) {
      throw new PlanViolation("worker ranges", `${name}[${w}]`, `is ${value} after ${previous}, of ${count}`);
    }
    previous = value;
  }
  if (previous !== count) {
    throw new PlanViolation("worker ranges", `${name}[${workers}]`, `is ${previous}, expected ${count}`);
  }
}

function checkPieceFields(plan: Plan): void {
  const { pieces, requests, header } = plan;
  const packedHeads = header[Header.packedHeads]!;
  const heads = header[Header.queryHeads]! / packedHeads;
  const slotRows = header[Header.slotRows]!;
  let pieceCount = 0;
  for (let i = 0; i < plan.pieceRecordCount; i++) {
    const at = i * Piece.stride;
    const fail = (problem: string): never => {
      throw new PlanViolation("piece fields", `piece record ${i}`, problem);
    };
    const request = pieces[at + Piece.request]!;
    if (request < 0 || request >= plan.requestCount) fail(`request is ${request} of ${plan.requestCount}`);
    const head = pieces[at + Piece.head]!;
    const headCount = pieces[at + Piece.headCount]!;
    if (head < 0 || headCount < 1 || headCount > heads || head + headCount > heads) {
      fail(`heads are ${head} + ${headCount} of ${heads}`);
    }
    const rows = pieces[at + Piece.rows]! & 0xffff;
    const tileRows = pieces[at + Piece.rows]! >>> 16;
    const rowStart = pieces[at + Piece.rowStart]!;
    const requestRows = requests[request * Request.stride + Request.qoLen]! * packedHeads;
    if (rows < 1 || rows > tileRows) fail(`rows are ${rows} in a tile of ${tileRows}`);
    if (rowStart < 0 || rowStart + rows > requestRows) fail(`rows ${rowStart} + ${rows} of ${requestRows}`);
    const kvStart = pieces[at + Piece.kvStart]!;
    const kvEnd = pieces[at + Piece.kvEnd]!;
    const kvLen = requests[request * Request.stride + Request.kvLen]!;
    if (kvStart < 0 || kvEnd < kvStart || kvEnd > kvLen) fail(`KV range is [${kvStart}, ${kvEnd}) of ${kvLen} tokens`);
    const slot = pieces[at + Piece.slot]!;
    const slots = headCount * partialStates(plan, at);
    if (slot < -1 || (slot >= 0 && slot + slots > plan.partialSlotCount)) {
      fail(`slot is ${slot} (${slots} of them) of ${plan.partialSlotCount}`);
    }
    if (slot >= 0 && rows > slotRows) fail(`${rows} rows do not fit a slot of ${slotRows}`);
    pieceCount += headCount;
  }
  if (pieceCount !== header[Header.pieceCount]) {
    throw new PlanViolation("stats", "pieceCount", `is ${header[Header.pieceCount]}, recounted ${pieceCount}`);
  }
}

/** Partial states that one head of a piece leaves: one, or the canonical nodes of its chunks. */
function partialStates(plan: Plan, at: number): number {
  if (plan.header[Header.mergeOrder] !== MergeOrder.canonicalTree) return 1;
  const grid = plan.header[Header.mergeGridTokens]!;
  const { pieces } = plan;
  return canonicalNodeCount(
    Math.floor(pieces[at + Piece.kvStart]! / grid),
    Math.ceil(pieces[at + Piece.kvEnd]! / grid),
  );
}

function checkMergeFields(plan: Plan): void {
  const { merges, mergeSources, header } = plan;
  let sources = 0;
  for (let m = 0; m < plan.mergeCount; m++) {
    const at = m * Merge.stride;
    const start = merges[at + Merge.sourceStart]!;
    const end = merges[at + Merge.sourceEnd]!;
    if (start !== sources || end <= start || end > header[Header.mergeSourceCount]!) {
      throw new PlanViolation(
        "merges",
        `merge ${m}`,
        `sources are [${start}, ${end}), expected to start at ${sources}`,
      );
    }
    if (merges[at + Merge.reserved] !== 0) throw new PlanViolation("merges", `merge ${m}`, "reserved field is not 0");
    sources = end;
  }
  if (sources !== header[Header.mergeSourceCount]) {
    throw new PlanViolation(
      "merges",
      "mergeSourceCount",
      `is ${header[Header.mergeSourceCount]}, recounted ${sources}`,
    );
  }
  for (let s = 0; s < sources; s++) {
    const slot = mergeSources[s * MergeSource.stride + MergeSource.slot]!;
    if (slot < 0 || slot >= plan.partialSlotCount) {
      throw new PlanViolation("merges", `merge source ${s}`, `slot is ${slot} of ${plan.partialSlotCount}`);
    }
  }
}

/** One head of one piece record. */
interface PieceOfHead {
  readonly record: number;
  readonly head: number;
  readonly at: number;
  /** First slot of this head, or −1. */
  readonly slot: number;
}

/** Cover, slots and merges: pieces in the order (request, head, row, KV) must lay out every job without gap or overlap. */
function checkJobs(plan: Plan): void {
  const { header, pieces, requests } = plan;
  const attention = plan.attention;
  const packedHeads = header[Header.packedHeads]!;
  const heads = header[Header.queryHeads]! / packedHeads;
  const ordered = expandPieces(plan);
  const usedSlots = new Uint8Array(plan.partialSlotCount);
  const mergesOf = indexMerges(plan);
  let next = 0;
  let splitJobs = 0;
  let mergeRows = 0;
  for (let request = 0; request < plan.requestCount; request++) {
    const at = request * Request.stride;
    const rowsOfRequest = requests[at + Request.qoLen]! * packedHeads;
    if (rowsOfRequest === 0) continue;
    for (let head = 0; head < heads; head++) {
      let row = 0;
      while (row < rowsOfRequest) {
        const where = `request ${request}, head ${head}, row ${row}`;
        const first = ordered[next];
        if (first === undefined || !isJob(plan, first, request, head, row)) {
          throw new PlanViolation("cover", where, "no piece starts here");
        }
        const rows = pieces[first.at + Piece.rows]!;
        const job: PieceOfHead[] = [];
        for (let piece = ordered[next]; piece !== undefined && isJob(plan, piece, request, head, row); ) {
          if (pieces[piece.at + Piece.rows] !== rows) {
            throw new PlanViolation("cover", where, `piece record ${piece.record} has another tile of rows`);
          }
          job.push(piece);
          piece = ordered[++next];
        }
        const slots = checkJob(plan, attention, request, row, rows & 0xffff, job, usedSlots, where);
        if (slots.length > 0) {
          splitJobs++;
          mergeRows += rows & 0xffff;
          checkMergesOfJob(plan, mergesOf, request, head, row, rows & 0xffff, slots, where);
        }
        row += rows & 0xffff;
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

function isJob(plan: Plan, piece: PieceOfHead, request: number, head: number, row: number): boolean {
  const { pieces } = plan;
  return (
    piece.head === head && pieces[piece.at + Piece.request] === request && pieces[piece.at + Piece.rowStart] === row
  );
}

/** Checks that the pieces cover the job's visible KV range exactly; returns its partial slots in KV order. */
function checkJob(
  plan: Plan,
  attention: AttentionShape,
  request: number,
  row: number,
  rows: number,
  job: readonly PieceOfHead[],
  usedSlots: Uint8Array,
  where: string,
): number[] {
  const { pieces, requests, header } = plan;
  const packedHeads = header[Header.packedHeads]!;
  const qoLen = requests[request * Request.stride + Request.qoLen]!;
  const kvLen = requests[request * Request.stride + Request.kvLen]!;
  const end = visibleEnd(attention, qoLen, kvLen, Math.floor((row + rows - 1) / packedHeads));
  const start = Math.min(end, visibleStart(attention, qoLen, kvLen, Math.floor(row / packedHeads)));
  const grid = header[Header.mergeOrder] === MergeOrder.canonicalTree ? header[Header.mergeGridTokens]! : 1;
  const slots: number[] = [];
  let covered = start;
  for (const piece of job) {
    const kvStart = pieces[piece.at + Piece.kvStart]!;
    const kvEnd = pieces[piece.at + Piece.kvEnd]!;
    const isEmpty = kvEnd === kvStart;
    if (kvStart !== covered && !(isEmpty && kvStart >= start && kvStart <= end)) {
      const problem = kvStart < covered ? "overlaps" : "leaves a gap after";
      throw new PlanViolation("cover", where, `piece record ${piece.record} from ${kvStart} ${problem} ${covered}`);
    }
    if (kvEnd > end) {
      throw new PlanViolation("cover", where, `piece record ${piece.record} reads up to ${kvEnd}, visible is ${end}`);
    }
    if (kvStart > start && kvStart < end && kvStart % grid !== 0) {
      throw new PlanViolation("cover", where, `piece record ${piece.record} is cut off the grid of ${grid} tokens`);
    }
    covered = Math.max(covered, kvEnd);
    if (piece.slot < 0) {
      if (job.length > 1) {
        throw new PlanViolation("slots", where, `piece record ${piece.record} of a split job has no slot`);
      }
      continue;
    }
    const states = partialStates(plan, piece.at);
    for (let slot = piece.slot; slot < piece.slot + states; slot++) {
      if (usedSlots[slot] !== 0) throw new PlanViolation("slots", `slot ${slot}`, "is written by two pieces");
      usedSlots[slot] = 1;
      slots.push(slot);
    }
  }
  if (covered !== end) throw new PlanViolation("cover", where, `KV tokens from ${covered} to ${end} are in no piece`);
  return slots;
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

/** The job's rows must be merged once each, from all of its slots in KV order. Removes the merges from the index. */
function checkMergesOfJob(
  plan: Plan,
  index: Map<string, number[]>,
  request: number,
  head: number,
  row: number,
  rows: number,
  slots: readonly number[],
  where: string,
): void {
  const { merges, mergeSources } = plan;
  const key = `${request}/${head}`;
  const list = index.get(key) ?? [];
  let covered = row;
  while (covered < row + rows) {
    const m = list.shift();
    if (m === undefined) throw new PlanViolation("merges", where, `rows from ${covered} are not merged`);
    const at = m * Merge.stride;
    const rowCount = merges[at + Merge.rowCount]!;
    if (merges[at + Merge.rowStart] !== covered || rowCount < 1 || covered + rowCount > row + rows) {
      throw new PlanViolation("merges", `merge ${m}`, `does not continue at row ${covered} of ${where}`);
    }
    const start = merges[at + Merge.sourceStart]!;
    if (merges[at + Merge.sourceEnd]! - start !== slots.length) {
      throw new PlanViolation("merges", `merge ${m}`, `has not the ${slots.length} sources of its job`);
    }
    for (let i = 0; i < slots.length; i++) {
      const source = (start + i) * MergeSource.stride;
      if (
        mergeSources[source + MergeSource.slot] !== slots[i] ||
        mergeSources[source + MergeSource.slotRow] !== covered - row
      ) {
        throw new PlanViolation("merges", `merge ${m}`, `source ${i} is not row ${covered - row} of slot ${slots[i]}`);
      }
    }
    covered += rowCount;
  }
  if (list.length === 0) index.delete(key);
}

function checkBatch(plan: Plan, batch: AttentionBatch): void {
  if (plan.requestCount !== batch.qoLens.length) {
    throw new PlanViolation("batch", "requestCount", `is ${plan.requestCount}, the batch has ${batch.qoLens.length}`);
  }
  for (let i = 0; i < plan.requestCount; i++) {
    const at = i * Request.stride;
    const { requests } = plan;
    if (requests[at + Request.qoLen] !== batch.qoLens[i] || requests[at + Request.kvLen] !== batch.kvLens[i]) {
      const planned = `${requests[at + Request.qoLen]} × ${requests[at + Request.kvLen]}`;
      throw new PlanViolation(
        "batch",
        `request ${i}`,
        `is ${planned}, in the batch ${batch.qoLens[i]} × ${batch.kvLens[i]}`,
      );
    }
    if (batch.pageIndptr !== undefined && requests[at + Request.pageStart] !== batch.pageIndptr[i]) {
      throw new PlanViolation("batch", `request ${i}`, "pageStart differs from the batch's pageIndptr");
    }
  }
}

function checkTimes(plan: Plan, device: Device): void {
  const { header, headerFloat64, requests, requestCount } = plan;
  const slots = launchSlots(device, header[Header.ctasPerSm]!, header[Header.ctasPerWorker]!);
  const { pieces, workerPieceIndptr, workers, isPersistent } = plan;
  const makespan = makespanNs(pieces, workerPieceIndptr, workers, isPersistent, slots, device);
  if (makespan !== headerFloat64[Header.makespanNs / 2]) {
    throw new PlanViolation("stats", "makespanNs", `is ${headerFloat64[Header.makespanNs / 2]}, recounted ${makespan}`);
  }
  const jobs = new Jobs();
  const qoLens = Array.from({ length: requestCount }, (_, i) => requests[i * Request.stride + Request.qoLen]!);
  const kvLens = Array.from({ length: requestCount }, (_, i) => requests[i * Request.stride + Request.kvLen]!);
  collectJobs(jobs, plan.attention, device.costModel, qoLens, kvLens, requestCount);
  const bound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
  lowerBound(jobs, workerCount(device), 0, bound);
  if (bound.lowerBoundNs !== headerFloat64[Header.lowerBoundNs / 2]) {
    const claimed = headerFloat64[Header.lowerBoundNs / 2];
    throw new PlanViolation("stats", "lowerBoundNs", `is ${claimed}, recounted ${bound.lowerBoundNs}`);
  }
}
