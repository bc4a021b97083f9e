// Plans written by hand, for tests that must not depend on any policy.

import type { AttentionShape } from "@isochron/planner";
import {
  DTYPES,
  Header,
  Launch,
  MASK_KINDS,
  Merge,
  MergeLaunch,
  MergeSource,
  Piece,
  Plan,
  POLICY_NAMES,
  planLayout,
  Request,
} from "@isochron/planner";

export interface HandPiece {
  request: number;
  kvStart: number;
  kvEnd: number;
  head?: number;
  headCount?: number;
  rowStart?: number;
  rows?: number;
  tileRows?: number;
  /** −1 unless given. */
  slot?: number;
}

export interface HandMerge {
  worker: number;
  request: number;
  rowCount: number;
  slots: number[];
}

export interface HandPlan {
  workers: HandPiece[][];
  requests?: { qoLen: number; kvLen: number }[];
  merges?: HandMerge[];
  smCount?: number;
  ctasPerSm?: number;
  grid?: boolean;
  separateMerge?: boolean;
  attention?: AttentionShape;
}

export const LLAMA_8B_ATTENTION: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

/** A plan of exactly these pieces, on 132 SMs with two workers each unless said otherwise. */
export function handMadePlan(hand: HandPlan): Plan {
  const { smCount = 132, ctasPerSm = 2, attention = LLAMA_8B_ATTENTION, merges = [] } = hand;
  const workers = hand.grid ? hand.workers.length : smCount * ctasPerSm;
  const pieces = hand.workers.flat();
  const requestCount = 1 + pieces.reduce((most, piece) => Math.max(most, piece.request), -1);
  const requests =
    hand.requests ??
    Array.from({ length: requestCount }, (_, i) => ({
      qoLen: 1,
      kvLen: Math.max(0, ...pieces.filter((piece) => piece.request === i).map((piece) => piece.kvEnd)),
    }));
  const slots = Math.max(
    0,
    ...pieces.map((piece) => ((piece.slot ?? -1) < 0 ? 0 : piece.slot! + (piece.headCount ?? 1))),
  );
  const layout = planLayout({
    workers,
    requests: requests.length,
    pieces: pieces.length,
    merges: merges.length,
    mergeSources: merges.reduce((sum, merge) => sum + merge.slots.length, 0),
    partialSlots: slots,
    groups: 0,
    groupMembers: 0,
  });
  const plan = new Plan(new ArrayBuffer(layout.totalBytes), layout);
  const { header } = plan;
  header[Header.policy] = POLICY_NAMES.indexOf("balanced");
  header[Header.launch] = hand.grid ? Launch.grid : Launch.persistent;
  header[Header.mergeLaunch] =
    merges.length === 0 ? MergeLaunch.none : hand.separateMerge ? MergeLaunch.separate : MergeLaunch.fused;
  header[Header.smCount] = smCount;
  header[Header.ctasPerSm] = ctasPerSm;
  header[Header.workers] = workers;
  header[Header.queryHeads] = attention.queryHeads;
  header[Header.kvHeads] = attention.kvHeads;
  header[Header.headDim] = attention.headDim;
  header[Header.valueHeadDim] = attention.valueHeadDim ?? attention.headDim;
  header[Header.dtype] = DTYPES.indexOf(attention.dtype);
  header[Header.kvDtype] = DTYPES.indexOf(attention.kvDtype);
  header[Header.pageSize] = attention.pageSize;
  header[Header.maskKind] = MASK_KINDS.indexOf(attention.mask.kind);
  header[Header.packedHeads] = attention.queryHeads / attention.kvHeads;
  header[Header.kvTileTokens] = 64;
  header[Header.ctasPerWorker] = 1;
  header[Header.requestCount] = requests.length;
  header[Header.pieceRecordCount] = pieces.length;
  header[Header.pieceCount] = pieces.reduce((sum, piece) => sum + (piece.headCount ?? 1), 0);
  header[Header.mergeCount] = merges.length;
  header[Header.partialSlotCount] = slots;
  requests.forEach(({ qoLen, kvLen }, i) => {
    plan.requests[i * Request.stride + Request.qoLen] = qoLen;
    plan.requests[i * Request.stride + Request.kvLen] = kvLen;
  });
  let record = 0;
  for (let worker = 0; worker < workers; worker++) {
    for (const piece of hand.workers[worker] ?? []) {
      const at = record++ * Piece.stride;
      plan.pieces[at + Piece.request] = piece.request;
      plan.pieces[at + Piece.head] = piece.head ?? 0;
      plan.pieces[at + Piece.headCount] = piece.headCount ?? 1;
      plan.pieces[at + Piece.rowStart] = piece.rowStart ?? 0;
      plan.pieces[at + Piece.rows] = (piece.rows ?? 4) | ((piece.tileRows ?? 16) << 16);
      plan.pieces[at + Piece.kvStart] = piece.kvStart;
      plan.pieces[at + Piece.kvEnd] = piece.kvEnd;
      plan.pieces[at + Piece.slot] = piece.slot ?? -1;
    }
    plan.workerPieceIndptr[worker + 1] = record;
  }
  let source = 0;
  let count = 0;
  for (let worker = 0; worker < workers; worker++) {
    for (const merge of merges.filter((candidate) => candidate.worker === worker)) {
      const at = count++ * Merge.stride;
      plan.merges[at + Merge.request] = merge.request;
      plan.merges[at + Merge.rowCount] = merge.rowCount;
      plan.merges[at + Merge.sourceStart] = source;
      for (const slot of merge.slots) plan.mergeSources[source++ * MergeSource.stride + MergeSource.slot] = slot;
      plan.merges[at + Merge.sourceEnd] = source;
    }
    plan.workerMergeIndptr[worker + 1] = count;
  }
  return plan;
}

/** Every worker reads `tokens` KV tokens of a request of its own. */
export function evenPlan(ctas: number, tokens: number, options: Partial<HandPlan> = {}): Plan {
  return handMadePlan({
    ...options,
    workers: Array.from({ length: ctas }, (_, i) => [{ request: i, kvStart: 0, kvEnd: tokens, rows: 1 }]),
  });
}
