// Budget: capacities that hold for the life of a CUDA Graph. Any batch within the limits fits, whatever its lengths.

import { type AttentionBatch, type AttentionShape, validateAttentionShape } from "./batch.ts";
import { type Device, validateDevice, workerCount } from "./device.ts";
import { requireOptions } from "./invalid-options.ts";
import { type PlanCapacities, type PlanLayout, planLayout } from "./layout.ts";
import { MERGE_ROWS } from "./merge.ts";
import { balanced } from "./policies/balanced.ts";
import { type Policy, requirePolicy } from "./policies/policy.ts";
import type { PolicyName } from "./policy-names.ts";

/** What a batch may hold at most. */
export interface BatchLimits {
  /** Requests, empty ones included; 1 or more, as every limit. */
  readonly maxRequests: number;
  /** Query tokens of the whole batch. */
  readonly maxQueryTokens: number;
  /** Query tokens of one request; maxQueryTokens unless given. 1 (decode only) keeps the workspace smallest. */
  readonly maxQueryTokensPerRequest?: number;
  /** KV tokens of one request. Needed by `invariant`, whose pieces leave several partial states. */
  readonly maxKvTokens?: number;
  /** Shared-prefix groups; none unless given, and then every request is planned alone. */
  readonly maxPrefixGroups?: number;
  /** Groups on the path of one request; 1 unless given. */
  readonly maxPrefixLevels?: number;
}

/** Limits, and what follows from them for one attention shape, device and policy. */
export interface Budget extends BatchLimits {
  readonly maxQueryTokensPerRequest: number;
  /** The policy whose theorem the capacities are. */
  readonly policy: PolicyName;
  /** Most records of each kind that a plan within the limits has. */
  readonly capacities: PlanCapacities;
  /** Where the sections of every plan lie, and the length of the plan buffer: `layout.totalBytes`. */
  readonly layout: PlanLayout;
  /** Rows of one partial slot. */
  readonly slotRows: number;
  /** Bytes of partial states on the device: slots × rows × (value head dimension + 1) × 4. */
  readonly workspaceBytes: number;
}

/** A batch, or a budget asked for, that is over a capacity. The planner and its last plan are as they were. */
export class BudgetExceededError extends Error {
  override readonly name = "BudgetExceededError";
  /** Name of the capacity, such as "maxRequests". */
  readonly capacity: string;
  /** What the budget has of it. */
  readonly limit: number;
  /** What the batch needs. */
  readonly needed: number;
  /** Limits that would admit the batch. */
  readonly budgetThatWouldDo: BatchLimits;

  constructor(capacity: string, limit: number, needed: number, budgetThatWouldDo: BatchLimits) {
    super(
      `the batch needs ${capacity} ${needed}, the budget has ${limit}; a budget for ${describe(budgetThatWouldDo)} would do`,
    );
    this.capacity = capacity;
    this.limit = limit;
    this.needed = needed;
    this.budgetThatWouldDo = budgetThatWouldDo;
  }
}

/** The policy has no bound that is independent of lengths, so no budget can hold for every batch. */
export class UnboundedPolicyError extends Error {
  override readonly name = "UnboundedPolicyError";
  readonly policy: string;

  constructor(policy: string) {
    super(`policy ${policy} needs room that depends on the lengths: plan it without a budget`);
    this.policy = policy;
  }
}

/** The policy's bound depends on a limit that the budget does not give. */
export class MissingLimitError extends Error {
  override readonly name = "MissingLimitError";
  readonly policy: string;
  /** Name of the limit, such as "maxKvTokens". */
  readonly limit: keyof BatchLimits;

  constructor(policy: string, limit: keyof BatchLimits) {
    super(`a budget of policy ${policy} depends on ${limit}, which is not given: add ${limit}`);
    this.policy = policy;
    this.limit = limit;
  }
}

/** The limits, and what they hold for. */
export interface BudgetOptions extends BatchLimits {
  readonly attention: AttentionShape;
  readonly device: Device;
  /** `balanced` unless given. */
  readonly policy?: Policy;
}

/**
 * Capacities for every batch within the limits. A pure function. Throws InvalidBatchError, InvalidDeviceError,
 * InvalidOptionsError, UnknownPolicyError, UnboundedPolicyError, MissingLimitError, or RangeError for a limit that is
 * no integer ≥ 1.
 *
 * Query tiles: a request of r packed rows has ⌈r / tile⌉ ≤ 1 + r / largest tile of them, and a request without query
 * tokens none. Pieces, slots and split jobs: the policy's own theorem.
 */
export function budgetFor(options: BudgetOptions): Budget {
  requireOptions(options);
  const { attention, device, maxRequests, maxQueryTokens } = options;
  validateAttentionShape(attention);
  validateDevice(device);
  requireLimit("maxRequests", maxRequests);
  requireLimit("maxQueryTokens", maxQueryTokens);
  const maxQueryTokensPerRequest = options.maxQueryTokensPerRequest ?? maxQueryTokens;
  requireLimit("maxQueryTokensPerRequest", maxQueryTokensPerRequest);
  if (options.maxKvTokens !== undefined) requireLimit("maxKvTokens", options.maxKvTokens);
  if (options.maxPrefixGroups !== undefined) requireLimit("maxPrefixGroups", options.maxPrefixGroups);
  if (options.maxPrefixLevels !== undefined) requireLimit("maxPrefixLevels", options.maxPrefixLevels);
  const policy = requirePolicy(options.policy ?? balanced);
  const policyName = policy.name;
  if (policy.bound === undefined) throw new UnboundedPolicyError(policyName);
  if (policy.boundNeedsKvTokens === true && options.maxKvTokens === undefined) {
    throw new MissingLimitError(policyName, "maxKvTokens");
  }

  const { queryTiles } = device.costModel;
  const group = attention.queryHeads / attention.kvHeads;
  const largestTile = queryTiles[queryTiles.length - 1]!.rows;
  const requestRows = maxQueryTokensPerRequest * group;
  const started = Math.min(maxRequests, maxQueryTokens);
  const tilesBeyond = Math.floor((maxQueryTokens * group) / largestTile);
  const requestTiles = started + (requestRows <= largestTile ? 0 : tilesBeyond);
  const maxPrefixGroups = options.maxPrefixGroups ?? 0;
  const maxPrefixLevels = maxPrefixGroups === 0 ? 0 : (options.maxPrefixLevels ?? 1);
  if (maxPrefixGroups > 0 && policy.sharesPrefixes !== true) {
    throw new RangeError(`maxPrefixGroups is ${maxPrefixGroups}, but policy ${policyName} shares no prefixes`);
  }
  // The groups of one level have disjoint members, so together they pack at most the rows of the whole batch.
  const groupTiles = maxPrefixGroups === 0 ? 0 : maxPrefixGroups + maxPrefixLevels * tilesBeyond;
  const slotRows = maxPrefixGroups > 0 ? largestTile : Math.min(requestRows, largestTile);
  const workers = workerCount(device);
  const bound = policy.bound({
    queryTiles: requestTiles + groupTiles,
    headCount: attention.kvHeads,
    workers,
    maxKvTokens: options.maxKvTokens,
  });
  const mergesPerJob = Math.ceil(Math.min(requestRows, largestTile) / MERGE_ROWS);
  const shared = maxPrefixGroups === 0 ? NOTHING_SHARED : boundSharing();
  const capacities: PlanCapacities = {
    workers: bound.workers,
    requests: maxRequests,
    pieces: bound.pieceRecords,
    merges: bound.splitJobs * mergesPerJob + shared.merges,
    mergeSources: bound.partialSlots * mergesPerJob + shared.mergeSources,
    partialSlots: bound.partialSlots + shared.partialSlots,
    groups: maxPrefixGroups,
    groupMembers: maxPrefixLevels * maxRequests,
  };

  /** What sharing adds: every job of a group and of a member leaves a state even when it is not cut. */
  function boundSharing(): typeof NOTHING_SHARED {
    const heads = attention.kvHeads;
    const states = bound.statesPerPiece ?? 1;
    // A merge also ends where a row enters another tile of a group, once for each level.
    const merges = (requestTiles * heads + bound.splitJobs) * (mergesPerJob + maxPrefixLevels);
    // Each state of a group's tile is a source of the merges of all members in the tile.
    const mergesOfTile = Math.ceil(largestTile / Math.min(group, MERGE_ROWS)) + 2;
    const ownSources = (requestTiles * heads + workers - 1) * (mergesPerJob + maxPrefixLevels);
    return {
      merges,
      mergeSources: states * (ownSources + (groupTiles * heads + workers - 1) * mergesOfTile),
      partialSlots: states * (requestTiles + groupTiles) * heads,
    };
  }
  return {
    maxRequests,
    maxQueryTokens,
    maxQueryTokensPerRequest,
    ...(options.maxKvTokens === undefined ? {} : { maxKvTokens: options.maxKvTokens }),
    policy: policyName,
    ...(maxPrefixGroups === 0 ? {} : { maxPrefixGroups, maxPrefixLevels }),
    capacities,
    layout: planLayout(capacities),
    slotRows,
    workspaceBytes: workspaceBytes(attention, capacities.partialSlots, slotRows),
  };
}

const NOTHING_SHARED = { merges: 0, mergeSources: 0, partialSlots: 0 };

/** Throws BudgetExceededError unless the batch is within the budget's limits. */
export function checkLimits(budget: Budget, batch: AttentionBatch): void {
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
    ...(budget.maxPrefixGroups === undefined ? {} : { maxPrefixGroups: budget.maxPrefixGroups }),
    ...(budget.maxPrefixLevels === undefined ? {} : { maxPrefixLevels: budget.maxPrefixLevels }),
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

/** Bytes of partial states: for each row of each slot a float32 output and one float32 log-sum-exp. */
export function workspaceBytes(attention: AttentionShape, partialSlots: number, slotRows: number): number {
  return partialSlots * slotRows * ((attention.valueHeadDim ?? attention.headDim) + 1) * 4;
}

function requireLimit(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > 0x7fff_ffff) {
    throw new RangeError(`${name} is ${value}, expected an integer from 1 to 2147483647`);
  }
}

function describe(limits: BatchLimits): string {
  return Object.entries(limits)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
