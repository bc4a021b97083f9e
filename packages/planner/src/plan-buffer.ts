// The plan buffer: allocating it, and writing what was planned into its sections.

import type { AttentionBatch, AttentionShape } from "./batch.ts";
import { ceilDivide, shiftOf } from "./ceil-divide.ts";
import type { Device } from "./device.ts";
import type { PlanCapacities } from "./layout.ts";
import {
  CAPACITY_FIELDS,
  CAPACITY_NAMES,
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
  planLayout,
  Request,
  SECTION_NAMES,
} from "./layout.ts";
import { launchSlots, makespanNs } from "./makespan.ts";
import type { MergePlan } from "./merge.ts";
import type { PieceWriter } from "./pieces.ts";
import { Plan } from "./plan.ts";
import type { LaunchShape } from "./policies/policy.ts";
import type { PolicyName } from "./policy-names.ts";
import { POLICY_NAMES } from "./policy-names.ts";
import type { PrefixGroups } from "./prefix.ts";

/** An empty plan: everything in the header that is the same for all batches is filled in. */
export function allocatePlan(
  attention: AttentionShape,
  device: Device,
  policy: PolicyName,
  capacities: PlanCapacities,
): Plan {
  const layout = planLayout(capacities);
  const plan = new Plan(new ArrayBuffer(layout.totalBytes), layout);
  const { header } = plan;
  header[Header.magic] = PLAN_MAGIC;
  header[Header.version] = PLAN_VERSION;
  header[Header.headerBytes] = HEADER_BYTES;
  header[Header.totalBytes] = layout.totalBytes;
  header[Header.policy] = POLICY_NAMES.indexOf(policy);
  header[Header.smCount] = device.smCount;
  header[Header.queryHeads] = attention.queryHeads;
  header[Header.kvHeads] = attention.kvHeads;
  header[Header.headDim] = attention.headDim;
  header[Header.valueHeadDim] = attention.valueHeadDim ?? attention.headDim;
  header[Header.dtype] = DTYPES.indexOf(attention.dtype);
  header[Header.kvDtype] = DTYPES.indexOf(attention.kvDtype);
  header[Header.pageSize] = attention.pageSize;
  header[Header.maskKind] = MASK_KINDS.indexOf(attention.mask.kind);
  header[Header.window] = attention.mask.kind === "sliding-window" ? attention.mask.window : 0;
  header[Header.kvTileTokens] = device.costModel.kvTileTokens;
  header[Header.sinks] = attention.sinks === true ? 1 : 0;
  new Float32Array(header.buffer, Header.softCapBits * 4, 1)[0] = attention.softCap ?? 0;
  for (const name of CAPACITY_NAMES) header[CAPACITY_FIELDS[name]] = capacities[name];
  for (const name of SECTION_NAMES) header[OFFSET_FIELDS[name]] = layout[name];
  return plan;
}

/** What one batch came to. */
export interface PlannedWork {
  readonly batch: AttentionBatch;
  readonly shape: LaunchShape;
  readonly pieces: PieceWriter;
  readonly merges: MergePlan;
  readonly groups: PrefixGroups | undefined;
  readonly lowerBoundNs: number;
  /** Rows of a partial slot. */
  readonly slotRows: number;
}

/** Writes the planned work into a plan that has room for it. Sections that were written in place stay. */
export function writePlan(plan: Plan, attention: AttentionShape, device: Device, work: PlannedWork): void {
  const { batch, shape, pieces, merges, groups } = work;
  const { header, headerFloat64 } = plan;
  const isPersistent = shape.launch === "persistent";
  const ctasPerSm = shape.ctasPerSm ?? device.ctasPerSm;
  const ctasPerWorker = shape.ctasPerWorker ?? 1;
  const packedHeads = shape.packsGroup === false ? 1 : attention.queryHeads / attention.kvHeads;

  writeRequests(plan, batch, attention.pageSize);
  writeGroups(plan, groups);
  replace(plan.workerPieceIndptr, pieces.workerIndptr, pieces.workers + 1, header[Header.workers]! + 1);
  replace(plan.workerMergeIndptr, merges.workerIndptr, pieces.workers + 1, header[Header.workers]! + 1);
  replace(plan.merges, merges.records, merges.mergeCount * Merge.stride, header[Header.mergeCount]! * Merge.stride);
  replace(
    plan.mergeSources,
    merges.sources,
    merges.sourceCount * MergeSource.stride,
    header[Header.mergeSourceCount]! * MergeSource.stride,
  );
  const previousPieces = header[Header.pieceRecordCount]! * Piece.stride;
  replace(plan.pieces, pieces.records, pieces.recordCount * Piece.stride, previousPieces);

  header[Header.usedBytes] = plan.layout.pieces + pieces.recordCount * Piece.stride * 4;
  header[Header.launch] = isPersistent ? Launch.persistent : Launch.grid;
  header[Header.mergeLaunch] = MergeLaunch[shape.merge];
  header[Header.mergeOrder] = shape.mergeGridTokens === undefined ? MergeOrder.sequential : MergeOrder.canonicalTree;
  header[Header.mergeGridTokens] = shape.mergeGridTokens ?? 0;
  header[Header.ctasPerSm] = ctasPerSm;
  header[Header.ctasPerWorker] = ctasPerWorker;
  header[Header.workers] = pieces.workers;
  header[Header.packedHeads] = packedHeads;
  header[Header.slotRows] = work.slotRows;
  header[Header.requestCount] = batch.qoLens.length;
  header[Header.pieceRecordCount] = pieces.recordCount;
  header[Header.pieceCount] = pieces.pieceCount;
  header[Header.mergeCount] = merges.mergeCount;
  header[Header.mergeSourceCount] = merges.sourceCount;
  header[Header.partialSlotCount] = merges.slotCount;
  header[Header.splitJobCount] = merges.splitJobCount;
  header[Header.mergeRowCount] = merges.rowCount;
  headerFloat64[Header.makespanNs / 2] = Number.isNaN(pieces.makespanNs)
    ? makespanNs(
        pieces.records,
        pieces.workerIndptr,
        pieces.workers,
        isPersistent,
        launchSlots(device, ctasPerSm, ctasPerWorker),
        device,
      )
    : pieces.makespanNs;
  headerFloat64[Header.lowerBoundNs / 2] = work.lowerBoundNs;
  header[Header.fingerprint] = fingerprint(header);
}

function writeRequests(plan: Plan, batch: AttentionBatch, pageSize: number): void {
  const { requests } = plan;
  const { qoLens, kvLens, pageIndptr } = batch;
  const shift = shiftOf(pageSize);
  let queryStart = 0;
  let pageStart = 0;
  for (let i = 0, at = 0; i < qoLens.length; i++, at += Request.stride) {
    requests[at + Request.queryStart] = queryStart;
    requests[at + Request.qoLen] = qoLens[i]!;
    requests[at + Request.kvLen] = kvLens[i]!;
    requests[at + Request.pageStart] = pageIndptr === undefined ? pageStart : pageIndptr[i]!;
    queryStart += qoLens[i]!;
    pageStart += ceilDivide(kvLens[i]!, pageSize, shift);
  }
  const previousRequests = plan.header[Header.requestCount]!;
  for (let at = qoLens.length * Request.stride; at < previousRequests * Request.stride; at++) requests[at] = 0;
}

function writeGroups(plan: Plan, groups: PrefixGroups | undefined): void {
  const { header, groupIndptr, groupMembers, groupRanges } = plan;
  if (groups === undefined && header[Header.groupCount] === 0) return;
  groupIndptr.fill(0);
  groupMembers.fill(0);
  groupRanges.fill(0);
  let member = 0;
  for (const [g, members] of groups?.members.entries() ?? []) {
    groupRanges[g * GroupRange.stride + GroupRange.kvStart] = groups!.kvStart[g]!;
    groupRanges[g * GroupRange.stride + GroupRange.kvEnd] = groups!.kvEnd[g]!;
    for (const request of members) groupMembers[member++] = request;
    groupIndptr[g + 1] = member;
  }
  header[Header.groupCount] = groups?.members.length ?? 0;
  header[Header.groupMemberCount] = member;
}

/** Fills a section, unless it was written in place, and clears what the last plan left behind: same batch, same bytes. */
function replace(section: Int32Array, from: Int32Array, length: number, previousLength: number): void {
  if (from !== section) for (let i = 0; i < length; i++) section[i] = from[i]!;
  for (let i = length; i < previousLength; i++) section[i] = 0;
}

/** FNV-1a over everything that a captured graph bakes in: launch, shape, capacities and offsets, not the batch. */
export function fingerprint(header: Int32Array): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < BAKED_FIELDS.length; i++) hash = Math.imul(hash ^ header[BAKED_FIELDS[i]!]!, 0x0100_0193);
  return hash | 0;
}

/** Header fields that the fingerprint covers, ascending. */
const BAKED_FIELDS: Int32Array = Int32Array.from({ length: HEADER_BYTES / 4 }, (_, field) => field).filter(
  (field) =>
    field === Header.version ||
    field === Header.totalBytes ||
    (field >= Header.launch && field <= Header.ctasPerSm) ||
    (field >= Header.queryHeads && field <= Header.softCapBits) ||
    (field >= Header.workerCapacity && field <= Header.ctasPerWorker),
);

/** A copy of a plan with a buffer of its own. */
export function clonePlan(plan: Plan): Plan {
  return new Plan(plan.buffer.slice(0), plan.layout);
}
