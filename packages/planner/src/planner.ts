// createPlanner(): batch → plan, in memory that is allocated once.

import type { AttentionBatch, AttentionShape } from "./batch.ts";
import { validateAttentionShape, validateBatch } from "./batch.ts";
import type { LowerBound } from "./bounds.ts";
import { lowerBound } from "./bounds.ts";
import type { BatchLimits, Budget } from "./budget.ts";
import { BudgetExceededError, budgetFor } from "./budget.ts";
import type { Device } from "./device.ts";
import { validateDevice, workerCount } from "./device.ts";
import { collectJobs, Jobs } from "./jobs.ts";
import type { PlanCapacities } from "./layout.ts";
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
  planLayout,
  Request,
} from "./layout.ts";
import { launchSlots, makespanNs } from "./makespan.ts";
import { MergePlan } from "./merge.ts";
import { PieceWriter } from "./pieces.ts";
import { Plan } from "./plan.ts";
import type { LaunchShape, Policy, PolicyInput } from "./policies/policy.ts";
import { findPolicy } from "./policies/registry.ts";
import type { PolicyName } from "./policy-names.ts";
import { POLICY_NAMES } from "./policy-names.ts";

export interface PlannerOptions {
  readonly attention: AttentionShape;
  readonly device: Device;
  /** `balanced` unless given. */
  readonly policy?: PolicyName;
  /**
   * Capacities that every plan keeps to, or the limits to derive them from. Without a budget the plan buffer grows with
   * the batches, and a plan is good for one launch rather than for a captured graph.
   */
  readonly budget?: Budget | BatchLimits;
}

/** Plans batches of one attention shape on one device. */
export interface Planner {
  readonly attention: AttentionShape;
  readonly device: Device;
  readonly policy: PolicyName;
  readonly budget: Budget | undefined;
  /**
   * Plans a batch. The returned plan is the planner's own: the next call writes over it (`clonePlan` keeps one).
   * Throws InvalidBatchError for a batch that makes no sense and BudgetExceededError for one over the budget; the
   * last plan is then still whole.
   */
  plan(batch: AttentionBatch): Plan;
}

/** Throws InvalidBatchError, InvalidDeviceError, UnknownPolicyError or UnboundedPolicyError. */
export function createPlanner(options: PlannerOptions): Planner {
  const { attention, device } = options;
  validateAttentionShape(attention);
  validateDevice(device);
  const policy = findPolicy(options.policy ?? "balanced");
  const budget =
    options.budget === undefined || "layout" in options.budget
      ? options.budget
      : budgetFor({ ...options.budget, attention, device, policy: policy.name });
  return new BatchPlanner(attention, device, policy, budget);
}

class BatchPlanner implements Planner {
  readonly attention: AttentionShape;
  readonly device: Device;
  readonly policy: PolicyName;
  readonly budget: Budget | undefined;
  private readonly rule: Policy;
  private readonly jobs: Jobs = new Jobs();
  private readonly pieces: PieceWriter = new PieceWriter();
  private readonly merges: MergePlan = new MergePlan();
  private readonly bound: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
  private readonly input: { -readonly [K in keyof PolicyInput]: PolicyInput[K] };
  private current: Plan | undefined;

  constructor(attention: AttentionShape, device: Device, policy: Policy, budget: Budget | undefined) {
    this.attention = attention;
    this.device = device;
    this.policy = policy.name;
    this.budget = budget;
    this.rule = policy;
    const none = new Int32Array(0);
    this.input = { attention, device, requestCount: 0, qoLens: none, kvLens: none, jobs: this.jobs, lowerBoundNs: 0 };
    if (budget !== undefined) this.current = this.allocate(budget.capacities);
  }

  plan(batch: AttentionBatch): Plan {
    validateBatch(batch, this.attention.pageSize);
    const { input, jobs, pieces, merges, bound, device } = this;
    const requestCount = batch.qoLens.length;
    if (this.budget !== undefined) checkLimits(this.budget, batch);

    collectJobs(jobs, this.attention, device.costModel, batch.qoLens, batch.kvLens, requestCount);
    lowerBound(jobs, workerCount(device), 0, bound);
    input.requestCount = requestCount;
    input.qoLens = batch.qoLens;
    input.kvLens = batch.kvLens;
    input.lowerBoundNs = bound.lowerBoundNs;
    pieces.clear();
    const shape = this.rule.assign(input, pieces);
    merges.build(pieces, device.costModel, shape.mergeGridTokens);

    const plan = this.bufferFor(requestCount);
    this.write(plan, batch, shape);
    return plan;
  }

  /** The plan buffer to write into: the budget's own, or one that is large enough. */
  private bufferFor(requestCount: number): Plan {
    const { pieces, merges, budget, current } = this;
    const needed: PlanCapacities = {
      workers: pieces.workers,
      requests: requestCount,
      pieces: pieces.recordCount,
      merges: merges.mergeCount,
      mergeSources: merges.sourceCount,
      partialSlots: merges.slotCount,
      groups: 0,
      groupMembers: 0,
    };
    const has = current?.layout.capacities;
    const overfull = has === undefined ? "workers" : CAPACITY_NAMES.find((name) => needed[name] > has[name]);
    if (overfull === undefined) return current!;
    if (budget !== undefined) {
      // Unreachable for a budget from budgetFor(): the policy's bound is a theorem. A hand-made budget may lie.
      throw new BudgetExceededError(overfull, budget.capacities[overfull], needed[overfull], budget);
    }
    this.current = this.allocate({
      workers: Math.max(roundUp(needed.workers), has?.workers ?? 0),
      requests: Math.max(roundUp(needed.requests), has?.requests ?? 0),
      pieces: Math.max(roundUp(needed.pieces), has?.pieces ?? 0),
      merges: Math.max(roundUp(needed.merges), has?.merges ?? 0),
      mergeSources: Math.max(roundUp(needed.mergeSources), has?.mergeSources ?? 0),
      partialSlots: Math.max(roundUp(needed.partialSlots), has?.partialSlots ?? 0),
      groups: 0,
      groupMembers: 0,
    });
    return this.current;
  }

  private allocate(capacities: PlanCapacities): Plan {
    const layout = planLayout(capacities);
    const plan = new Plan(new ArrayBuffer(layout.totalBytes), layout);
    const { attention, device } = this;
    const { header } = plan;
    header[Header.magic] = PLAN_MAGIC;
    header[Header.version] = PLAN_VERSION;
    header[Header.headerBytes] = HEADER_BYTES;
    header[Header.totalBytes] = layout.totalBytes;
    header[Header.policy] = POLICY_NAMES.indexOf(this.policy);
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
    header[Header.workerCapacity] = capacities.workers;
    header[Header.requestCapacity] = capacities.requests;
    header[Header.pieceCapacity] = capacities.pieces;
    header[Header.mergeCapacity] = capacities.merges;
    header[Header.mergeSourceCapacity] = capacities.mergeSources;
    header[Header.partialSlotCapacity] = capacities.partialSlots;
    header[Header.groupCapacity] = capacities.groups;
    header[Header.groupMemberCapacity] = capacities.groupMembers;
    header[Header.requestsOffset] = layout.requests;
    header[Header.workerPieceIndptrOffset] = layout.workerPieceIndptr;
    header[Header.workerMergeIndptrOffset] = layout.workerMergeIndptr;
    header[Header.groupIndptrOffset] = layout.groupIndptr;
    header[Header.groupMembersOffset] = layout.groupMembers;
    header[Header.mergesOffset] = layout.merges;
    header[Header.mergeSourcesOffset] = layout.mergeSources;
    header[Header.piecesOffset] = layout.pieces;
    return plan;
  }

  private write(plan: Plan, batch: AttentionBatch, shape: LaunchShape): void {
    const { pieces, merges, device, attention } = this;
    const { header, headerFloat64 } = plan;
    const isPersistent = shape.launch === "persistent";
    const ctasPerSm = shape.ctasPerSm ?? device.ctasPerSm;
    const ctasPerWorker = shape.ctasPerWorker ?? 1;
    const packedHeads = shape.packsGroup === false ? 1 : attention.queryHeads / attention.kvHeads;

    writeRequests(plan, batch, attention.pageSize);
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
    header[Header.slotRows] = this.budget?.slotRows ?? merges.slotRows;
    header[Header.requestCount] = batch.qoLens.length;
    header[Header.pieceRecordCount] = pieces.recordCount;
    header[Header.pieceCount] = pieces.pieceCount;
    header[Header.mergeCount] = merges.mergeCount;
    header[Header.mergeSourceCount] = merges.sourceCount;
    header[Header.partialSlotCount] = merges.slotCount;
    header[Header.splitJobCount] = merges.splitJobCount;
    header[Header.mergeRowCount] = merges.rowCount;
    headerFloat64[Header.makespanNs / 2] = makespanNs(
      pieces.records,
      pieces.workerIndptr,
      pieces.workers,
      isPersistent,
      launchSlots(device, ctasPerSm, ctasPerWorker),
      device,
    );
    headerFloat64[Header.lowerBoundNs / 2] = this.bound.lowerBoundNs;
    header[Header.fingerprint] = fingerprint(header);
  }
}

const CAPACITY_NAMES = ["workers", "requests", "pieces", "merges", "mergeSources", "partialSlots"] as const;

function checkLimits(budget: Budget, batch: AttentionBatch): void {
  const { qoLens, kvLens } = batch;
  let tokens = 0;
  let longestQuery = 0;
  let longestKv = 0;
  for (let i = 0; i < qoLens.length; i++) {
    const qoLen = qoLens[i]!;
    tokens += qoLen;
    if (qoLen > longestQuery) longestQuery = qoLen;
    if (kvLens[i]! > longestKv) longestKv = kvLens[i]!;
  }
  const isOver =
    qoLens.length > budget.maxRequests ||
    tokens > budget.maxQueryTokens ||
    longestQuery > budget.maxQueryTokensPerRequest ||
    longestKv > (budget.maxKvTokens ?? Number.POSITIVE_INFINITY);
  if (!isOver) return;
  const wouldDo: BatchLimits = {
    maxRequests: Math.max(budget.maxRequests, qoLens.length),
    maxQueryTokens: Math.max(budget.maxQueryTokens, tokens),
    maxQueryTokensPerRequest: Math.max(budget.maxQueryTokensPerRequest, longestQuery),
    ...(budget.maxKvTokens === undefined ? {} : { maxKvTokens: Math.max(budget.maxKvTokens, longestKv) }),
  };
  if (qoLens.length > budget.maxRequests) {
    throw new BudgetExceededError("maxRequests", budget.maxRequests, qoLens.length, wouldDo);
  }
  if (tokens > budget.maxQueryTokens) {
    throw new BudgetExceededError("maxQueryTokens", budget.maxQueryTokens, tokens, wouldDo);
  }
  if (longestQuery > budget.maxQueryTokensPerRequest) {
    throw new BudgetExceededError("maxQueryTokensPerRequest", budget.maxQueryTokensPerRequest, longestQuery, wouldDo);
  }
  throw new BudgetExceededError("maxKvTokens", budget.maxKvTokens!, longestKv, wouldDo);
}

function writeRequests(plan: Plan, batch: AttentionBatch, pageSize: number): void {
  const { requests } = plan;
  const { qoLens, kvLens, pageIndptr } = batch;
  let queryStart = 0;
  let pageStart = 0;
  for (let i = 0, at = 0; i < qoLens.length; i++, at += Request.stride) {
    requests[at + Request.queryStart] = queryStart;
    requests[at + Request.qoLen] = qoLens[i]!;
    requests[at + Request.kvLen] = kvLens[i]!;
    requests[at + Request.pageStart] = pageIndptr === undefined ? pageStart : pageIndptr[i]!;
    queryStart += qoLens[i]!;
    pageStart += Math.ceil(kvLens[i]! / pageSize);
  }
  const previousRequests = plan.header[Header.requestCount]!;
  for (let at = qoLens.length * Request.stride; at < previousRequests * Request.stride; at++) requests[at] = 0;
}

/** Writes a section and clears what the last plan left behind it: the same batch always gives the same bytes. No views. */
function replace(section: Int32Array, from: Int32Array, length: number, previousLength: number): void {
  for (let i = 0; i < length; i++) section[i] = from[i]!;
  for (let i = length; i < previousLength; i++) section[i] = 0;
}

/** Next power of two, so that a growing planner seldom reallocates. */
function roundUp(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(count, 1)));
}

/** FNV-1a over everything that a captured graph bakes in: launch, shape, capacities and offsets, not the batch. */
export function fingerprint(header: Int32Array): number {
  let hash = 0x811c_9dc5;
  for (let field = 0; field < HEADER_BYTES / 4; field++) {
    const isBaked =
      field === Header.version ||
      field === Header.totalBytes ||
      (field >= Header.launch && field <= Header.ctasPerSm) ||
      (field >= Header.queryHeads && field <= Header.softCapBits) ||
      (field >= Header.workerCapacity && field <= Header.ctasPerWorker);
    if (isBaked) hash = Math.imul(hash ^ header[field]!, 0x0100_0193);
  }
  return hash | 0;
}

/** A copy of a plan with a buffer of its own. */
export function clonePlan(plan: Plan): Plan {
  return new Plan(plan.buffer.slice(0), plan.layout);
}
