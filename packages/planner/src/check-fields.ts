// Every field of a plan against its range. Nothing here trusts an index before it is checked.

import { chunkStart, coarseness, stateCount } from "./canonical-tree.ts";
import { isObject } from "./field-error.ts";
import {
  CAPACITY_FIELDS,
  CAPACITY_NAMES,
  COUNT_FIELDS,
  DTYPES,
  GroupRange,
  HEADER_BYTES,
  Header,
  Launch,
  MASK_KINDS,
  Merge,
  MergeLaunch,
  MergeOrder,
  MergeSource,
  OFFSET_FIELDS,
  Piece,
  PLAN_MAGIC,
  PLAN_VERSION,
  Request,
  SECTION_NAMES,
} from "./layout.ts";
import type { Plan } from "./plan.ts";
import { fingerprint } from "./plan-buffer.ts";
import { type PlanRule, PlanViolation } from "./plan-violation.ts";
import { POLICY_NAMES } from "./policy-names.ts";

/** Header, request table, groups, worker ranges, and every field of every record. After it, all indices are in range. */
export function checkFields(plan: Plan): void {
  if (!isObject(plan?.header)) {
    throw new PlanViolation("header", "the plan", "is none");
  }
  checkHeader(plan);
  checkRequests(plan);
  checkGroups(plan);
  checkRanges("workerPieceIndptr", plan.workerPieceIndptr, plan.workers, plan.pieceRecordCount);
  checkRanges("workerMergeIndptr", plan.workerMergeIndptr, plan.workers, plan.mergeCount);
  checkPieceFields(plan);
  checkMergeFields(plan);
}

type HeaderField = keyof typeof Header;

/** Least and largest value of the fields whose range depends on nothing else. */
const HEADER_RANGES = {
  magic: [PLAN_MAGIC, PLAN_MAGIC],
  version: [PLAN_VERSION, PLAN_VERSION],
  headerBytes: [HEADER_BYTES, HEADER_BYTES],
  policy: [0, POLICY_NAMES.length - 1],
  launch: [Launch.persistent, Launch.grid],
  mergeLaunch: [MergeLaunch.none, MergeLaunch.separate],
  mergeOrder: [MergeOrder.sequential, MergeOrder.canonicalTree],
  smCount: [1, 4096],
  ctasPerSm: [1, 32],
  ctasPerWorker: [1, 16],
  queryHeads: [1, 65_535],
  kvHeads: [1, 65_535],
  headDim: [1, 1024],
  valueHeadDim: [1, 1024],
  dtype: [0, 2],
  kvDtype: [0, DTYPES.length - 1],
  pageSize: [1, 256],
  maskKind: [0, MASK_KINDS.length - 1],
  kvTileTokens: [1, 4096],
  slotRows: [0, 65_535],
  sinks: [0, 1],
} as const;

function nameOf(index: number): HeaderField {
  return (Object.keys(Header) as HeaderField[]).find((field) => Header[field] === index)!;
}

function checkHeader(plan: Plan): void {
  const { header, layout } = plan;
  const { capacities } = layout;
  const within = (field: HeaderField, low: number, high: number, rule: PlanRule = "header"): void => {
    const value = header[Header[field]]!;
    if (value < low || value > high) {
      const range = low === high ? `${low}` : `${low} to ${high}`;
      throw new PlanViolation(rule, `header field ${field}`, `is ${value}, expected ${range}`);
    }
  };
  const exactly = (field: HeaderField, value: number): void => within(field, value, value, "layout");
  for (const field of Object.keys(HEADER_RANGES) as (keyof typeof HEADER_RANGES)[]) {
    const [low, high] = HEADER_RANGES[field];
    within(field, low, high);
  }
  exactly("totalBytes", layout.totalBytes);
  const isCanonical = header[Header.mergeOrder] === MergeOrder.canonicalTree;
  within("mergeGridTokens", isCanonical ? 1 : 0, isCanonical ? 1 << 20 : 0);
  const group = header[Header.queryHeads]! / header[Header.kvHeads]!;
  if (!Number.isInteger(group)) {
    throw new PlanViolation("header", "header field queryHeads", "is not a multiple of kvHeads");
  }
  if (header[Header.packedHeads] !== group) within("packedHeads", 1, 1);
  const isWindow = MASK_KINDS[header[Header.maskKind]!] === "sliding-window";
  within("window", isWindow ? 1 : 0, isWindow ? 0x7fff_ffff : 0);
  const softCap = new Float32Array(header.buffer, header.byteOffset + Header.softCapBits * 4, 1)[0]!;
  if (!(softCap >= 0 && Number.isFinite(softCap))) {
    throw new PlanViolation("header", "header field softCapBits", `is ${softCap}, expected a finite number ≥ 0`);
  }
  for (const name of CAPACITY_NAMES) {
    within(nameOf(COUNT_FIELDS[name]), 0, capacities[name], "capacity");
    exactly(nameOf(CAPACITY_FIELDS[name]), capacities[name]);
  }
  // Every slot is a source of a merge, and every merge is one of a split job.
  within("partialSlotCapacity", 0, capacities.mergeSources, "capacity");
  within("partialSlotCount", 0, header[Header.mergeSourceCount]!, "slots");
  within("splitJobCount", 0, plan.mergeCount, "stats");
  if (plan.mergeCount > 0) within("mergeLaunch", MergeLaunch.fused, MergeLaunch.separate);
  if (
    plan.isPersistent &&
    plan.workers * header[Header.ctasPerWorker]! > header[Header.smCount]! * header[Header.ctasPerSm]!
  ) {
    throw new PlanViolation("header", "header field workers", `is ${plan.workers}, more than are resident at once`);
  }
  exactly("usedBytes", layout.pieces + header[Header.pieceRecordCount]! * Piece.stride * 4);
  for (const name of SECTION_NAMES) exactly(nameOf(OFFSET_FIELDS[name]), layout[name]);
  const { makespanUs, lowerBoundUs } = plan.stats;
  if (!(makespanUs >= 0 && lowerBoundUs >= 0 && Number.isFinite(makespanUs) && Number.isFinite(lowerBoundUs))) {
    throw new PlanViolation("stats", "makespan or lower bound", "is not a finite number ≥ 0");
  }
  if (header.subarray(Header.reserved60).some((word) => word !== 0)) {
    throw new PlanViolation("header", "header field reserved60", "is not all 0");
  }
  // Last, because it is wrong wherever a field that it covers is.
  const expected = fingerprint(header);
  within("fingerprint", expected, expected);
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

/** Groups have at least two members each, ascending, and their ranges tile the beginning of every member's KV. */
function checkGroups(plan: Plan): void {
  const { header, groupIndptr, groupMembers, groupRanges, requests } = plan;
  const grid = header[Header.mergeGridTokens]!;
  const sharedKv = new Int32Array(plan.requestCount);
  let member = 0;
  for (let g = 0; g < plan.groupCount; g++) {
    const fail = (problem: string): never => {
      throw new PlanViolation("groups", `group ${g}`, problem);
    };
    const end = groupIndptr[g + 1]!;
    if (groupIndptr[g] !== member || end < member + 2 || end > header[Header.groupMemberCount]!) {
      fail(`members are [${groupIndptr[g]}, ${end}), expected to start at ${member}`);
    }
    const kvStart = groupRanges[g * GroupRange.stride + GroupRange.kvStart]!;
    const kvEnd = groupRanges[g * GroupRange.stride + GroupRange.kvEnd]!;
    if (kvStart < 0 || kvEnd <= kvStart) fail(`KV range is [${kvStart}, ${kvEnd})`);
    const rows = requestRows(plan, -1 - g);
    // Ranges follow one another, so the start is on the grid when all ends are.
    if (grid > 0 && chunkStart(kvEnd, grid, rows) !== kvEnd) {
      fail(`ends at ${kvEnd}, off the merge grid of ${grid} tokens`);
    }
    for (let previous = -1; member < end; member++) {
      const request = groupMembers[member]!;
      if (request <= previous || request >= plan.requestCount) fail(`member ${request} after ${previous}`);
      if (grid > 0 && coarseness(requestRows(plan, request)) !== coarseness(rows)) {
        fail(`member ${request} has another merge grid than the first`);
      }
      const at = request * Request.stride;
      if (sharedKv[request] !== kvStart)
        fail(`starts at ${kvStart}, request ${request} shares ${sharedKv[request]} so far`);
      if (kvEnd > requests[at + Request.kvLen]! - requests[at + Request.qoLen]!) {
        fail(`ends at ${kvEnd}, behind the first query token of request ${request}`);
      }
      sharedKv[request] = kvEnd;
      previous = request;
    }
  }
  if (member !== header[Header.groupMemberCount]) {
    throw new PlanViolation("groups", "groupMemberCount", `is ${header[Header.groupMemberCount]}, recounted ${member}`);
  }
  if (plan.groupCount > 0 && MASK_KINDS[header[Header.maskKind]!] === "sliding-window") {
    throw new PlanViolation("groups", "group 0", "a sliding window sees only a part of a shared prefix");
  }
}

/** Packed rows and KV tokens of a request, or of group −1 − request. */
export function ownerSize(plan: Plan, request: number): { readonly rows: number; readonly kvLen: number } {
  const packedHeads = plan.header[Header.packedHeads]!;
  const qoLen = (member: number): number => plan.requests[member * Request.stride + Request.qoLen]!;
  if (request >= 0) {
    return { rows: qoLen(request) * packedHeads, kvLen: plan.requests[request * Request.stride + Request.kvLen]! };
  }
  const g = -1 - request;
  let tokens = 0;
  for (let m = plan.groupIndptr[g]!; m < plan.groupIndptr[g + 1]!; m++) tokens += qoLen(plan.groupMembers[m]!);
  return { rows: tokens * packedHeads, kvLen: plan.groupRanges[g * GroupRange.stride + GroupRange.kvEnd]! };
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
  const { pieces, header } = plan;
  const heads = header[Header.queryHeads]! / header[Header.packedHeads]!;
  const slotRows = header[Header.slotRows]!;
  const groups = Array.from({ length: plan.groupCount }, (_, g) => ownerSize(plan, -1 - g));
  let pieceCount = 0;
  let slotCount = 0;
  for (let i = 0; i < plan.pieceRecordCount; i++) {
    const at = i * Piece.stride;
    const fail = (problem: string): never => {
      throw new PlanViolation("piece fields", `piece record ${i}`, problem);
    };
    const request = pieces[at + Piece.request]!;
    if (request < -plan.groupCount || request >= plan.requestCount) {
      fail(`request is ${request} of ${plan.requestCount}, groups ${plan.groupCount}`);
    }
    const owner = groups[-1 - request] ?? ownerSize(plan, request);
    const head = pieces[at + Piece.head]!;
    const headCount = pieces[at + Piece.headCount]!;
    if (head < 0 || headCount < 1 || headCount > heads || head + headCount > heads) {
      fail(`heads are ${head} + ${headCount} of ${heads}`);
    }
    const rows = pieces[at + Piece.rows]! & 0xffff;
    const tileRows = pieces[at + Piece.rows]! >>> 16;
    const rowStart = pieces[at + Piece.rowStart]!;
    if (rows < 1 || rows > tileRows) fail(`rows are ${rows} in a tile of ${tileRows}`);
    if (rowStart < 0 || rowStart + rows > owner.rows) fail(`rows ${rowStart} + ${rows} of ${owner.rows}`);
    const kvStart = pieces[at + Piece.kvStart]!;
    const kvEnd = pieces[at + Piece.kvEnd]!;
    if (kvStart < 0 || kvEnd < kvStart || kvEnd > owner.kvLen) {
      fail(`KV range is [${kvStart}, ${kvEnd}) of ${owner.kvLen} tokens`);
    }
    const slot = pieces[at + Piece.slot]!;
    const slots = headCount * partialStates(plan, at);
    if (slot < -1 || (slot >= 0 && slot + slots > plan.partialSlotCount)) {
      fail(`slot is ${slot} (${slots} of them) of ${plan.partialSlotCount}`);
    }
    if (slot >= 0 && rows > slotRows) fail(`${rows} rows do not fit a slot of ${slotRows}`);
    pieceCount += headCount;
    if (slot >= 0) slotCount += slots;
  }
  if (slotCount !== plan.partialSlotCount) {
    throw new PlanViolation("slots", "partialSlotCount", `is ${plan.partialSlotCount}, pieces write ${slotCount}`);
  }
  if (pieceCount !== header[Header.pieceCount]) {
    throw new PlanViolation("stats", "pieceCount", `is ${header[Header.pieceCount]}, recounted ${pieceCount}`);
  }
}

/** Partial states that one head of the piece at `at` leaves for each row: one, or the canonical nodes of its chunks. */
export function partialStates(plan: Plan, at: number): number {
  const { pieces, header } = plan;
  const grid = header[Header.mergeGridTokens]!;
  if (grid === 0) return 1;
  const rows = requestRows(plan, pieces[at + Piece.request]!);
  return stateCount(pieces[at + Piece.kvStart]!, pieces[at + Piece.kvEnd]!, grid, rows);
}

/** Query rows of all heads, of a request or of the first member of group −1 − g: all members have the same merge grid. */
export function requestRows({ requests, groupIndptr, groupMembers, header }: Plan, owner: number): number {
  const request = owner < 0 ? groupMembers[groupIndptr[-1 - owner]!]! : owner;
  return requests[request * Request.stride + Request.qoLen]! * header[Header.queryHeads]!;
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
