// What a policy is: a rule that turns a batch into pieces on workers. Merging, budget, verification and encoding are
// shared by all of them.

import type { AttentionShape } from "../batch.ts";
import type { LowerBound } from "../bounds.ts";
import type { CostModel, Device } from "../device.ts";
import { isObject } from "../field-error.ts";
import { InvalidOptionsError } from "../invalid-options.ts";
import type { Jobs } from "../jobs.ts";
import type { PieceWriter } from "../pieces.ts";
import type { PolicyName } from "../policy-names.ts";
import type { PrefixGroups } from "../prefix.ts";
import { UnknownPolicyError } from "./unknown-policy.ts";

/** What a policy may look at. All of it is owned by the planner and valid during the call. */
export interface PolicyInput {
  readonly attention: AttentionShape;
  readonly device: Device;
  /** Entries of qoLens and kvLens that belong to the batch. */
  readonly requestCount: number;
  /** Query tokens of each request. */
  readonly qoLens: ArrayLike<number>;
  /** KV tokens of each request. */
  readonly kvLens: ArrayLike<number>;
  /** The batch's jobs with group heads packed and a query tile per request. Other tilings are a policy's own business. */
  readonly jobs: Jobs;
  /** The shared prefixes among `jobs`; undefined when there are none. */
  readonly groups: PrefixGroups | undefined;
  /** LB* of `jobs` in the device's own cost model, in nanoseconds, and what goes with it. */
  readonly bound: Readonly<LowerBound>;
}

/** Most that a policy can need for any batch within a budget. */
export interface PieceBound {
  /** Rows of workerPieceIndptr. */
  readonly workers: number;
  /** Records that PieceWriter.add is called for. */
  readonly pieceRecords: number;
  /** Partial states that pieces leave. */
  readonly partialSlots: number;
  /** Jobs that leave partial states. */
  readonly splitJobs: number;
  /** Partial states that one piece can leave for each of its rows; 1 unless given. */
  readonly statesPerPiece?: number;
}

/** The size of the largest batch that a budget admits. */
export interface BatchBound {
  /** Rows of Jobs: query tiles of all requests. */
  readonly queryTiles: number;
  /** Heads that each row of Jobs stands for. */
  readonly headCount: number;
  /** P. */
  readonly workers: number;
  /** KV tokens of the longest request, where the budget limits it. */
  readonly maxKvTokens: number | undefined;
}

/** How the pieces of one batch are launched; constant for most policies. */
export interface LaunchShape {
  /** Persistent workers, or a grid of CTAs that start in order. */
  readonly launch: "persistent" | "grid";
  /** Where partial states are merged. `none` where nothing is ever split. */
  readonly merge: "none" | "fused" | "separate";
  /** CTAs resident on one SM; the device's own number unless given. */
  readonly ctasPerSm?: number;
  /** CTAs that act as one worker (clusters); 1 unless given. */
  readonly ctasPerWorker?: number;
  /** Query heads packed into one tile's rows: the group size (true) or one (false). True unless given. */
  readonly packsGroup?: boolean;
  /** KV tokens of a unit of the canonical merge tree's grid (canonical-tree.ts); sequential merging unless given. */
  readonly mergeGridTokens?: number;
}

/** A rule, as one object. Stateless between calls: the same input always gives the same pieces. */
export interface Policy {
  /** Its index in POLICY_NAMES is its number in the plan format; `custom` for a rule of your own. */
  readonly name: PolicyName;
  /** One line for tables and --help. */
  readonly summary: string;
  /** The rule is another system's, kept with its own padding, order and chunk sizes. */
  readonly isComparison: boolean;
  /** Jobs of shared prefixes may be among its jobs. Other policies plan every request alone. */
  readonly sharesPrefixes?: boolean;
  /** Unit of the grid on which shared ranges have to end: its merge grid, where it has one. Any token unless given. */
  readonly prefixGridTokens?: (costModel: CostModel) => number;
  /**
   * Writes all pieces, worker by worker, ending each with `out.endWorker()`; returns how they are launched. Every job's
   * visible KV range is covered exactly once; a job without visible KV tokens still gets one empty piece.
   */
  assign(input: PolicyInput, out: PieceWriter): LaunchShape;
  /** The bound depends on the KV tokens of the longest request: a budget has to say `maxKvTokens`. */
  readonly boundNeedsKvTokens?: boolean;
  /** Undefined: the policy has no bound that is independent of lengths, and plans only into buffers that grow. */
  readonly bound: ((batch: BatchBound) => PieceBound) | undefined;
}

/**
 * The policy itself; UnknownPolicyError for a name, which only the main entry of the package can look up, and
 * InvalidOptionsError for what is no policy.
 */
export function requirePolicy(policy: Policy): Policy {
  if (typeof policy === "string") throw new UnknownPolicyError(policy, []);
  if (!isObject(policy) || typeof policy.assign !== "function") {
    throw new InvalidOptionsError("policy", policy, "a policy object");
  }
  return policy;
}
