// createPlanner(): batch → plan, in memory that is allocated once.

import type { AttentionBatch, AttentionShape, SharedPrefix } from "./batch.ts";
import { validateAttentionShape, validateBatch } from "./batch.ts";
import type { LowerBound } from "./bounds.ts";
import { lowerBound } from "./bounds.ts";
import type { BatchLimits, Budget, BudgetOptions } from "./budget.ts";
import { budgetFor, checkLimits, workspaceBytes } from "./budget.ts";
import type { Device } from "./device.ts";
import { validateDevice, workerCount } from "./device.ts";
import { found, requireObject } from "./field-error.ts";
import { InvalidOptionsError, requireOptions } from "./invalid-options.ts";
import { collectJobs, Jobs } from "./jobs.ts";
import type { PlanCapacities } from "./layout.ts";
import { CAPACITY_NAMES, Header } from "./layout.ts";
import { launchSlots, makespanNs } from "./makespan.ts";
import { type MergeGrid, MergePlan } from "./merge.ts";
import { copyPrefixes, namesTheSame } from "./named-prefixes.ts";
import { PieceWriter } from "./pieces.ts";
import type { Plan } from "./plan.ts";
import { allocatePlan, type PlannedWork, writePlan } from "./plan-buffer.ts";
import { balanced } from "./policies/balanced.ts";
import { type Policy, type PolicyInput, requirePolicy } from "./policies/policy.ts";
import type { PolicyName } from "./policy-names.ts";
import type { PrefixGroups, PrefixLimits } from "./prefix.ts";
import { groupsFromPageTable, groupsFromPrefixes, isStillShared } from "./prefix.ts";
import { mergeWithPrefixes } from "./prefix-merge.ts";
import { Growth, type StepAction, Tails } from "./stepping.ts";

/** What a planner is made for. */
export interface PlannerOptions {
  readonly attention: AttentionShape;
  readonly device: Device;
  /** `balanced` unless given. */
  readonly policy?: Policy;
  /**
   * Capacities that every plan keeps to, or the limits to derive them from. Without a budget the plan buffer grows with
   * the batches, and a plan is good for one launch rather than for a captured graph.
   */
  readonly budget?: Budget | BatchLimits;
  /**
   * Which shared prefixes to read once: those that the batch names (`explicit`, the default), those found in its page
   * table too (`detect`), or none (`off`). Only where the cost model gains, and with policies that can.
   */
  readonly sharedPrefixes?: SharedPrefixes;
  /**
   * `step` plans anew once a grown plan is this much longer than its lower bound, as a fraction of the bound. 0.1 unless
   * given: chosen because a fresh plan of a small batch can be that far from its bound.
   */
  readonly stepTolerance?: number;
}

/** See PlannerOptions.sharedPrefixes. */
export type SharedPrefixes = "off" | "explicit" | "detect";

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
  /**
   * The plan of the next decoding step: the last plan with its ends moved where every request is the same or one token
   * or so longer, else a new one. Satisfies what a fresh plan satisfies. `action` says which it was. Errors as `plan`.
   */
  step(batch: AttentionBatch): PlannedStep;
}

/** The planner's own object; the next call writes over it. */
export interface PlannedStep {
  readonly plan: Plan;
  readonly action: StepAction;
}

const SHARED_PREFIXES: readonly SharedPrefixes[] = ["off", "explicit", "detect"];

/**
 * Throws InvalidBatchError (the attention shape), InvalidDeviceError, UnknownPolicyError, UnboundedPolicyError,
 * MissingLimitError, InvalidOptionsError (any other option), or RangeError (a limit or the tolerance).
 */
export function createPlanner(options: PlannerOptions): Planner {
  requireOptions(options);
  const { attention, device } = options;
  validateAttentionShape(attention);
  validateDevice(device);
  const policy = requirePolicy(options.policy ?? balanced);
  const budget = options.budget === undefined ? undefined : budgetWithin(options.budget, { attention, device, policy });
  const sharedPrefixes = options.sharedPrefixes ?? "explicit";
  if (!SHARED_PREFIXES.includes(sharedPrefixes)) {
    throw new InvalidOptionsError("sharedPrefixes", sharedPrefixes, `one of ${SHARED_PREFIXES.join(", ")}`);
  }
  const stepTolerance = options.stepTolerance ?? 0.1;
  if (typeof stepTolerance !== "number" || !(stepTolerance >= 0)) {
    throw new RangeError(`stepTolerance is ${found(stepTolerance)}, expected a number ≥ 0`);
  }
  return new BatchPlanner(attention, device, policy, budget, sharedPrefixes, stepTolerance);
}

/** The budget of the limits, or the given one where it has room for all that they allow this planner. */
function budgetWithin(
  given: Budget | BatchLimits,
  planned: Required<Pick<BudgetOptions, "attention" | "device" | "policy">>,
): Budget {
  requireObject(InvalidOptionsError, "budget", given, "an object with maxRequests and maxQueryTokens");
  const own = budgetFor({ ...given, ...planned });
  if (!("layout" in given)) return own;
  const { capacities, slotRows } = given;
  requireObject(InvalidOptionsError, "budget.capacities", capacities, "an object, as budgetFor() makes it");
  const requireRoom = (name: string, has: number, needed: number): void => {
    // Not a number is no room.
    if (has >= needed) return;
    throw new InvalidOptionsError(`budget.${name}`, has, `at least ${needed}, as budgetFor() of these options`);
  };
  for (const name of CAPACITY_NAMES) requireRoom(`capacities.${name}`, capacities[name], own.capacities[name]);
  requireRoom("slotRows", slotRows, own.slotRows);
  // Plans lay the partial states out by the given slots and rows, even where fewer would do.
  requireRoom(
    "workspaceBytes",
    given.workspaceBytes,
    workspaceBytes(planned.attention, capacities.partialSlots, slotRows),
  );
  return given;
}

class BatchPlanner implements Planner {
  readonly attention: AttentionShape;
  readonly device: Device;
  readonly policy: PolicyName;
  readonly budget: Budget | undefined;
  private readonly rule: Policy;
  private readonly sharedPrefixes: SharedPrefixes;
  private readonly jobs: Jobs = new Jobs();
  private readonly pieces: PieceWriter = new PieceWriter();
  private readonly merges: MergePlan = new MergePlan();
  private readonly bound: LowerBound = { lowerBoundNs: 0, quantumNs: 1, sufficientNs: 0 };
  private readonly input: { -readonly [K in keyof PolicyInput]: PolicyInput[K] };
  private readonly work: { -readonly [K in keyof PlannedWork]: PlannedWork[K] };
  private current: Plan | undefined;
  private readonly needed: { -readonly [K in keyof PlanCapacities]: number } = {
    workers: 0,
    requests: 0,
    pieces: 0,
    merges: 0,
    mergeSources: 0,
    partialSlots: 0,
    groups: 0,
    groupMembers: 0,
  };
  /** Whether `current` holds a plan, the groups that it shares, and where they came from. */
  private isPlanned: boolean = false;
  private groups: PrefixGroups | undefined;
  private named: readonly SharedPrefix[] | undefined;
  private isDetected: boolean = false;
  private readonly tails: Tails = new Tails();
  private readonly mergeGrid: { -readonly [K in keyof MergeGrid]: MergeGrid[K] };
  private readonly stepTolerance: number;
  private readonly planned: { plan: Plan; action: StepAction } = { plan: undefined as never, action: "replanned" };

  constructor(
    attention: AttentionShape,
    device: Device,
    policy: Policy,
    budget: Budget | undefined,
    sharedPrefixes: SharedPrefixes,
    stepTolerance: number,
  ) {
    this.stepTolerance = stepTolerance;
    this.sharedPrefixes = policy.sharesPrefixes === true ? sharedPrefixes : "off";
    this.attention = attention;
    this.device = device;
    this.policy = policy.name;
    this.budget = budget;
    this.rule = policy;
    const none = new Int32Array(0);
    this.input = {
      attention,
      device,
      requestCount: 0,
      qoLens: none,
      kvLens: none,
      jobs: this.jobs,
      groups: undefined,
      bound: this.bound,
    };
    const rowsOf = (owner: number): number => {
      const request = owner < 0 ? this.input.groups!.members[-1 - owner]![0]! : owner;
      return this.input.qoLens[request]! * attention.queryHeads;
    };
    this.mergeGrid = { tokens: 0, rowsOf };
    this.work = {
      batch: this.input,
      shape: { launch: "persistent", merge: "none" },
      pieces: this.pieces,
      merges: this.merges,
      groups: undefined,
      lowerBoundNs: 0,
      slotRows: 0,
    };
    if (budget !== undefined) {
      this.current = allocatePlan(attention, device, policy.name, budget.capacities);
      this.writeIntoPlan();
    }
  }

  /** Pieces and merges are written where they stay: always with a budget, else until they outgrow the plan. Not those of
   * comparison policies, which may find in the middle of a batch that it is not for them. */
  private writeIntoPlan(): void {
    const { pieces, workerPieceIndptr, merges, mergeSources, workerMergeIndptr } = this.current!;
    this.pieces.writeInto(pieces, workerPieceIndptr);
    this.merges.writeInto(merges, mergeSources, workerMergeIndptr);
  }

  plan(batch: AttentionBatch): Plan {
    this.validate(batch);
    return this.planAnew(batch);
  }

  step(batch: AttentionBatch): PlannedStep {
    const { planned } = this;
    this.validate(batch);
    planned.action = this.grow(batch);
    planned.plan = planned.action === "replanned" ? this.planAnew(batch) : this.current!;
    return planned;
  }

  private validate(batch: AttentionBatch): void {
    validateBatch(batch, this.attention.pageSize);
    if (this.budget !== undefined) checkLimits(this.budget, batch);
  }

  private planAnew(batch: AttentionBatch): Plan {
    const { input, jobs, pieces, merges, bound, device, work } = this;
    const requestCount = batch.qoLens.length;
    const groups = this.groupsOf(batch);
    collectJobs(jobs, this.attention, device.costModel, batch.qoLens, batch.kvLens, requestCount, groups);
    lowerBound(jobs, workerCount(device), 0, bound);
    input.requestCount = requestCount;
    input.qoLens = batch.qoLens;
    input.kvLens = batch.kvLens;
    input.groups = groups;
    pieces.clear();
    // From here on the last plan's buffer may be written over.
    this.isPlanned = false;
    const shape = this.rule.assign(input, pieces);
    this.mergeGrid.tokens = shape.mergeGridTokens ?? 0;
    if (groups === undefined) merges.build(pieces, device.costModel, this.mergeGrid);
    else mergeWithPrefixes(merges, pieces, input, groups, this.mergeGrid);

    const plan = this.bufferFor(requestCount, groups);
    work.batch = batch;
    work.shape = shape;
    work.groups = groups;
    work.lowerBoundNs = bound.lowerBoundNs;
    work.slotRows = this.budget?.slotRows ?? merges.slotRows;
    writePlan(plan, this.attention, device, work);
    if (plan.pieces !== pieces.records && !this.rule.isComparison) this.writeIntoPlan();
    this.groups = groups;
    this.named = copyPrefixes(batch.prefixes);
    this.isDetected = this.isDetecting(batch);
    this.isPlanned = true;
    this.tails.invalidate();
    return plan;
  }

  /**
   * Makes the last plan that of a valid batch where that is possible; "replanned" when it is not. The plan may then be half
   * grown: what else can be wrong with a batch is what its prefixes are, and they are looked at before.
   */
  private grow(batch: AttentionBatch): StepAction {
    const { current, tails, attention, device, jobs, bound } = this;
    // Chunk sizes of other systems depend on the lengths: their plans are made anew.
    if (!this.isPlanned || current === undefined || this.rule.isComparison) return "replanned";
    const growth = tails.growth(current, batch);
    if (growth === Growth.impossible || !this.sharesAsBefore(batch)) return "replanned";
    tails.move(current, batch, attention.pageSize);
    if (growth === Growth.withinTiles) return "reused";

    const { qoLens, kvLens } = batch;
    collectJobs(jobs, attention, device.costModel, qoLens, kvLens, qoLens.length, this.groups);
    lowerBound(jobs, workerCount(device), 0, bound);
    const { header, headerFloat64 } = current;
    const slots = launchSlots(device, header[Header.ctasPerSm]!, header[Header.ctasPerWorker]!);
    const { pieces, workerPieceIndptr, workers, isPersistent } = current;
    const makespan = makespanNs(pieces, workerPieceIndptr, workers, isPersistent, slots, device);
    headerFloat64[Header.makespanNs / 2] = makespan;
    headerFloat64[Header.lowerBoundNs / 2] = bound.lowerBoundNs;
    return makespan <= (1 + this.stepTolerance) * bound.lowerBoundNs ? "grown" : "replanned";
  }

  /** Whether a batch names the prefixes of the last one, or its page table still holds those that were found there. */
  private sharesAsBefore(batch: AttentionBatch): boolean {
    const { groups } = this;
    if (this.isDetecting(batch) !== this.isDetected || !namesTheSame(batch.prefixes, this.named)) return false;
    return groups === undefined || !this.isDetected || isStillShared(groups, batch, this.attention.pageSize);
  }

  /** Whether prefixes are looked for in the batch's page table. */
  private isDetecting({ prefixes, pageIndptr }: AttentionBatch): boolean {
    return this.sharedPrefixes === "detect" && prefixes === undefined && pageIndptr !== undefined;
  }

  /** The prefixes of the batch that are worth sharing; undefined when there are none. */
  private groupsOf(batch: AttentionBatch): PrefixGroups | undefined {
    const { sharedPrefixes, attention, device, budget } = this;
    const isDetecting = this.isDetecting(batch);
    if (sharedPrefixes === "off" || (!isDetecting && batch.prefixes === undefined)) return undefined;
    const limits: PrefixLimits = {
      maxGroups: budget === undefined ? Number.POSITIVE_INFINITY : (budget.maxPrefixGroups ?? 0),
      maxLevels: budget === undefined ? Number.POSITIVE_INFINITY : (budget.maxPrefixLevels ?? 1),
      gridTokens: this.rule.prefixGridTokens?.(device.costModel) ?? 0,
    };
    const choose = isDetecting ? groupsFromPageTable : groupsFromPrefixes;
    const groups = choose(attention, device.costModel, batch, limits);
    return groups.members.length === 0 ? undefined : groups;
  }

  /** The plan buffer to write into: the budget's own, or one that is large enough. */
  private bufferFor(requestCount: number, groupsOfBatch: PrefixGroups | undefined): Plan {
    const { pieces, merges, budget, current, needed } = this;
    needed.workers = pieces.workers;
    needed.requests = requestCount;
    // A plan that grows has room for all that the policy may write, so that the next one stays where it is written.
    needed.pieces = budget === undefined ? pieces.recordCapacity : pieces.recordCount;
    needed.merges = merges.mergeCount;
    needed.mergeSources = merges.sourceCount;
    needed.partialSlots = merges.slotCount;
    needed.groups = 0;
    needed.groupMembers = 0;
    if (groupsOfBatch !== undefined) {
      for (const members of groupsOfBatch.members) {
        needed.groups++;
        needed.groupMembers += members.length;
      }
    }
    const has = current?.layout.capacities;
    if (has !== undefined && hasRoom(has, needed)) return current!;
    if (budget !== undefined) {
      // Unreachable: the policy's bound is a theorem. A policy of a caller's own may have a wrong one.
      throw new RangeError(`policy ${this.policy} needs more room than its bound says`);
    }
    const grown = { ...needed };
    for (const name of CAPACITY_NAMES) {
      grown[name] = Math.max(needed[name] === 0 ? 0 : roundUp(needed[name]), has?.[name] ?? 0);
    }
    this.current = allocatePlan(this.attention, this.device, this.policy, grown);
    return this.current;
  }
}

/** One comparison after another: a loop over names looks each of them up. */
function hasRoom(has: PlanCapacities, needed: PlanCapacities): boolean {
  return (
    needed.workers <= has.workers &&
    needed.requests <= has.requests &&
    needed.pieces <= has.pieces &&
    needed.merges <= has.merges &&
    needed.mergeSources <= has.mergeSources &&
    needed.partialSlots <= has.partialSlots &&
    needed.groups <= has.groups &&
    needed.groupMembers <= has.groupMembers
  );
}

/** Next power of two, so that a growing planner seldom reallocates. */
function roundUp(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(count, 1)));
}
