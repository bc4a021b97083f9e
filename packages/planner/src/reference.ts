// The meaning of a plan: what it computes, run piece by piece in float64 (or in float32, rounded after every operation).
//
// Slow and plain on purpose. A plan is right when this equals unsplitAttention(), which knows nothing of plans.

import { type AttentionState, mergeState } from "./attention-state.ts";
import {
  type CanonicalNode,
  canonicalNodeSize,
  chunkUnits,
  finishTree,
  unitRange,
  unitTokens,
} from "./canonical-tree.ts";
import { requestRows } from "./check-fields.ts";
import type { AttentionTensors, DeviceInfo, Execution, Executor } from "./execution.ts";
import { Header, Merge, MergeOrder, MergeSource, Piece, Request } from "./layout.ts";
import type { Plan } from "./plan.ts";
import { type ReferencePrecision, type ReferenceResult, RowAttention } from "./row-attention.ts";
import { checkPlan } from "./verify.ts";

/** Part of every JavaScript host (Node, Deno, Bun, browsers); the language's own library does not declare it. */
declare const performance: { now(): number };

/**
 * Runs a plan, piece by piece and merge by merge, in the plan's own order. float64, or float32 with a rounding after every
 * operation, for claims about bits. Time is proportional to rows × KV tokens × head dimension, in plain TypeScript.
 * Throws PlanViolation for a plan that is not sound and InvalidTensorError for tensors that do not fit.
 */
export function runPlan(
  plan: Plan,
  tensors: AttentionTensors,
  precision: ReferencePrecision = "float64",
): ReferenceResult {
  checkPlan(plan);
  const rows = new RowAttention(plan.attention, lengthsOf(plan), tensors, precision);
  const slots = runPieces(plan, rows);
  runMerges(plan, rows, slots);
  return rows.result;
}

/** The batch that a plan was made for, from its own request table. */
export function lengthsOf(plan: Plan): { readonly qoLens: Int32Array; readonly kvLens: Int32Array } {
  const column = (field: number): Int32Array =>
    Int32Array.from({ length: plan.requestCount }, (_, i) => plan.requests[i * Request.stride + field]!);
  return { qoLens: column(Request.qoLen), kvLens: column(Request.kvLen) };
}

/** Runs every piece. Whole jobs are written; the states of the others are returned, slotRows to each slot. */
function runPieces(plan: Plan, rows: RowAttention): CanonicalNode[] {
  const { pieces, header } = plan;
  const slotRows = header[Header.slotRows]!;
  const packedHeads = header[Header.packedHeads]!;
  const slots: CanonicalNode[] = new Array(plan.partialSlotCount * slotRows);
  const owners = groupRowOwners(plan);
  for (let record = 0; record < plan.pieceRecordCount; record++) {
    const at = record * Piece.stride;
    const request = pieces[at + Piece.request]!;
    const rowCount = pieces[at + Piece.rows]! & 0xffff;
    let slot = pieces[at + Piece.slot]!;
    for (let h = 0; h < pieces[at + Piece.headCount]!; h++) {
      let states = 0;
      for (let r = 0; r < rowCount; r++) {
        const row = pieces[at + Piece.rowStart]! + r;
        const head = (pieces[at + Piece.head]! + h) * packedHeads + (row % packedHeads);
        const packedToken = Math.floor(row / packedHeads);
        const owner = request < 0 ? owners[-1 - request]![packedToken]! : { member: request, token: packedToken };
        const nodes = pieceStates(plan, rows, at, owner, head);
        states = nodes.length;
        if (slot < 0) rows.write(request, packedToken, head, combine(plan, rows, nodes));
        else for (let s = 0; s < states; s++) slots[(slot + s) * slotRows + r] = nodes[s]!;
      }
      if (slot >= 0) slot += states;
    }
  }
  return slots;
}

/** Whose query token a packed token is. */
interface TokenOwner {
  readonly member: number;
  readonly token: number;
}

/** For each shared-prefix group: which member's which query token stands behind each packed token. */
function groupRowOwners(plan: Plan): TokenOwner[][] {
  return Array.from({ length: plan.groupCount }, (_, g) => {
    const members = Array.from(plan.groupMembers.subarray(plan.groupIndptr[g]!, plan.groupIndptr[g + 1]!));
    return members.flatMap((member) =>
      Array.from({ length: plan.requests[member * Request.stride + Request.qoLen]! }, (_, token) => ({
        member,
        token,
      })),
    );
  });
}

/** What one piece leaves for one row: one state, or the canonical nodes of its chunks from left to right. */
function pieceStates(
  plan: Plan,
  rows: RowAttention,
  at: number,
  { member, token }: TokenOwner,
  head: number,
): CanonicalNode[] {
  const request = plan.pieces[at + Piece.request]!;
  const kvStart = plan.pieces[at + Piece.kvStart]!;
  const kvEnd = plan.pieces[at + Piece.kvEnd]!;
  // The pages of a group are read from the table of its first member: they are the same in all.
  const pagesOf = request < 0 ? plan.groupMembers[plan.groupIndptr[-1 - request]!]! : request;
  const attend = (from: number, to: number): AttentionState => rows.attend(member, token, head, from, to, pagesOf);
  if (plan.header[Header.mergeOrder] === MergeOrder.sequential || kvStart === kvEnd) {
    return [{ state: attend(kvStart, kvEnd), unit: 0, size: 0 }];
  }
  const grid = plan.header[Header.mergeGridTokens]!;
  const ownRows = requestRows(plan, request);
  const tokens = unitTokens(grid, ownRows);
  const [first, end] = unitRange(kvStart, kvEnd, grid, ownRows);
  const node = (unit: number, size: number): AttentionState => {
    if (size === chunkUnits(unit, ownRows)) {
      return attend(Math.max(kvStart, unit * tokens), Math.min(kvEnd, (unit + size) * tokens));
    }
    const left = node(unit, size / 2);
    mergeState(left, node(unit + size / 2, size / 2), rows.round);
    return left;
  };
  const nodes: CanonicalNode[] = [];
  for (let unit = first; unit < end; ) {
    const size = canonicalNodeSize(unit, end, ownRows);
    nodes.push({ state: node(unit, size), unit, size });
    unit += size;
  }
  return nodes;
}

function runMerges(plan: Plan, rows: RowAttention, slots: readonly CanonicalNode[]): void {
  const { merges, mergeSources, header } = plan;
  const slotRows = header[Header.slotRows]!;
  const packedHeads = header[Header.packedHeads]!;
  for (let m = 0; m < plan.mergeCount; m++) {
    const at = m * Merge.stride;
    for (let r = 0; r < merges[at + Merge.rowCount]!; r++) {
      const row = merges[at + Merge.rowStart]! + r;
      const sources: CanonicalNode[] = [];
      for (let s = merges[at + Merge.sourceStart]!; s < merges[at + Merge.sourceEnd]!; s++) {
        const source = s * MergeSource.stride;
        const slotRow = mergeSources[source + MergeSource.slotRow]! + r;
        sources.push(slots[mergeSources[source + MergeSource.slot]! * slotRows + slotRow]!);
      }
      const head = merges[at + Merge.head]! * packedHeads + (row % packedHeads);
      const request = merges[at + Merge.request]!;
      rows.write(request, Math.floor(row / packedHeads), head, combine(plan, rows, sources));
    }
  }
}

/** Combines states in the plan's order. The first state is written over. */
function combine(plan: Plan, rows: RowAttention, nodes: readonly CanonicalNode[]): AttentionState {
  if (plan.header[Header.mergeOrder] === MergeOrder.canonicalTree) return finishTree(nodes, rows.round);
  const first = nodes[0]!.state;
  for (let i = 1; i < nodes.length; i++) mergeState(first, nodes[i]!.state, rows.round);
  return first;
}

/** A closed executor, or one that is asked for something after close(). */
export class ExecutorClosedError extends Error {
  override readonly name = "ExecutorClosedError";

  constructor() {
    super("the executor is closed: create another one");
  }
}

/** Runs plans in plain TypeScript, in float64. The executor that needs no GPU. */
export class ReferenceExecutor implements Executor {
  readonly device: DeviceInfo = { name: "reference (float64)", kind: "reference", smCount: 0, memoryBytes: 0 };
  private isClosed: boolean = false;

  async execute(plan: Plan, tensors: AttentionTensors): Promise<Execution> {
    if (this.isClosed) throw new ExecutorClosedError();
    const startedMs = performance.now();
    const { output, lse } = runPlan(plan, tensors);
    return { output, lse, durationUs: (performance.now() - startedMs) * 1000 };
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
