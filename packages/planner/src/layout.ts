// The plan format: one buffer, a header of 256 bytes, then int32 sections at offsets that depend on capacities alone.
//
// Little-endian. Every section starts at a multiple of 16 bytes. What is copied to a GPU is the prefix of `usedBytes`:
// the largest section, pieces, comes last. Field by field: docs/plan-format.md.

/** "ISOP" read as a little-endian int32. */
export const PLAN_MAGIC = 0x504f_5349;
export const PLAN_VERSION = 1;
export const HEADER_BYTES = 256;
const SECTION_ALIGNMENT = 16;

/** Index of each int32 field of the header. */
export const Header = {
  magic: 0,
  version: 1,
  headerBytes: 2,
  totalBytes: 3,
  usedBytes: 4,
  /** Hash of attention shape, capacities and launch: equal for all plans that one captured graph can replay. */
  fingerprint: 5,
  /** Index into POLICY_NAMES. */
  policy: 6,
  /** A Launch. */
  launch: 7,
  /** A MergeLaunch. */
  mergeLaunch: 8,
  /** A MergeOrder. */
  mergeOrder: 9,
  /** KV tokens of one leaf of the canonical merge tree; 0 unless mergeOrder is canonicalTree. */
  mergeGridTokens: 10,
  smCount: 11,
  ctasPerSm: 12,
  /** Rows of workerPieceIndptr in use: workers of a persistent launch, CTAs of a grid launch. */
  workers: 13,
  queryHeads: 14,
  kvHeads: 15,
  headDim: 16,
  valueHeadDim: 17,
  /** Index into DTYPES. */
  dtype: 18,
  /** Index into DTYPES. */
  kvDtype: 19,
  pageSize: 20,
  /** Index into MASK_KINDS. */
  maskKind: 21,
  /** Tokens of the sliding window; 0 for other masks. */
  window: 22,
  /** Query heads packed into the rows of one head: the group size, or 1 where a policy does not pack. */
  packedHeads: 23,
  kvTileTokens: 24,
  /** Rows that one partial slot has room for. */
  slotRows: 25,
  /** 1 when sinks join every softmax. */
  sinks: 26,
  /** float32 bits of the soft cap; 0 for none. */
  softCapBits: 27,
  requestCount: 28,
  /** Records in the pieces section. */
  pieceRecordCount: 29,
  /** Pieces: records counted once for each head they cover. */
  pieceCount: 30,
  mergeCount: 31,
  mergeSourceCount: 32,
  partialSlotCount: 33,
  splitJobCount: 34,
  /** Output rows that are written by merges. */
  mergeRowCount: 35,
  groupCount: 36,
  groupMemberCount: 37,
  workerCapacity: 38,
  requestCapacity: 39,
  pieceCapacity: 40,
  mergeCapacity: 41,
  mergeSourceCapacity: 42,
  partialSlotCapacity: 43,
  groupCapacity: 44,
  groupMemberCapacity: 45,
  /** Byte offsets of the sections, in the order in which they lie. */
  requestsOffset: 46,
  workerPieceIndptrOffset: 47,
  workerMergeIndptrOffset: 48,
  groupIndptrOffset: 49,
  groupMembersOffset: 50,
  mergesOffset: 51,
  mergeSourcesOffset: 52,
  piecesOffset: 53,
  /** Workers on which one cluster of CTAs acts as one; 1 unless a policy launches clusters. */
  ctasPerWorker: 54,
  groupRangesOffset: 55,
  /** Two int32 each, one float64: nanoseconds in the device's own cost model. */
  makespanNs: 56,
  lowerBoundNs: 58,
  reserved60: 60,
} as const;

/** Fields of one request record (4 × int32). */
export const Request = {
  stride: 4,
  /** First row of the request in the query tensor, in tokens. */
  queryStart: 0,
  qoLen: 1,
  kvLen: 2,
  /** First entry of the request in the page table. */
  pageStart: 3,
} as const;

/** Fields of one piece record (8 × int32). A record stands for `headCount` equal pieces on consecutive heads. */
export const Piece = {
  stride: 8,
  /** Index of the request; −1 − g for shared-prefix group g. */
  request: 0,
  /** First head. KV heads, or query heads where packedHeads is 1 (see Header.packedHeads). */
  head: 1,
  headCount: 2,
  /** First packed query row: token × packedHeads + head within the group. */
  rowStart: 3,
  /** Valid rows in the low 16 bits, rows of the kernel's query tile (padding included) in the high 16. */
  rows: 4,
  /** KV tokens [kvStart, kvEnd), absolute positions within the request. */
  kvStart: 5,
  kvEnd: 6,
  /** −1: writes the final output. Else the partial slot of the first head; the next head's follow it. */
  slot: 7,
} as const;

/** Fields of one shared-prefix group (2 × int32): the KV tokens [kvStart, kvEnd) that its members have in common. */
export const GroupRange = { stride: 2, kvStart: 0, kvEnd: 1 } as const;

/** Fields of one merge record (8 × int32): some rows of one output tile. */
export const Merge = {
  stride: 8,
  /** Always a request, never a group. */
  request: 0,
  head: 1,
  /** First packed query row of the request. */
  rowStart: 2,
  rowCount: 3,
  /** Sources [sourceStart, sourceEnd) of the mergeSources section, in the order in which they combine. */
  sourceStart: 4,
  sourceEnd: 5,
  /** Split job that the rows belong to; merges of one job are consecutive. */
  splitJob: 6,
  reserved: 7,
} as const;

/** Fields of one merge source (2 × int32). */
export const MergeSource = {
  stride: 2,
  slot: 0,
  /** Row of the slot that holds the merge's first row. */ slotRow: 1,
} as const;

/** Persistent: worker w runs its pieces in order. Grid: CTAs start in order as slots (smCount × ctasPerSm) come free. */
export const Launch = { persistent: 0, grid: 1 } as const;
/** Where merges run: nowhere (none), in the attention launch, or in a launch of their own after it. */
export const MergeLaunch = { none: 0, fused: 1, separate: 2 } as const;
/** sequential: sources fold in order. canonicalTree: they are nodes of a binary tree over grid chunks (see merge.ts). */
export const MergeOrder = { sequential: 0, canonicalTree: 1 } as const;

export const DTYPES = ["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"] as const;
export const MASK_KINDS = ["causal", "full", "sliding-window"] as const;

/** How much fits. Fixed for the life of a plan buffer, and with it every section offset. */
export interface PlanCapacities {
  readonly workers: number;
  readonly requests: number;
  /** Piece records. */
  readonly pieces: number;
  readonly merges: number;
  readonly mergeSources: number;
  readonly partialSlots: number;
  readonly groups: number;
  readonly groupMembers: number;
}

/** Byte offset of each section and the size of the whole. */
export interface PlanLayout {
  readonly capacities: PlanCapacities;
  readonly requests: number;
  readonly workerPieceIndptr: number;
  readonly workerMergeIndptr: number;
  readonly groupIndptr: number;
  readonly groupMembers: number;
  readonly groupRanges: number;
  readonly merges: number;
  readonly mergeSources: number;
  readonly pieces: number;
  readonly totalBytes: number;
}

/** Lays the sections out one after another. A pure function of the capacities. */
export function planLayout(capacities: PlanCapacities): PlanLayout {
  let end = HEADER_BYTES;
  const place = (int32s: number): number => {
    const start = end;
    end += Math.ceil((int32s * 4) / SECTION_ALIGNMENT) * SECTION_ALIGNMENT;
    return start;
  };
  return {
    capacities,
    requests: place(capacities.requests * Request.stride),
    workerPieceIndptr: place(capacities.workers + 1),
    workerMergeIndptr: place(capacities.workers + 1),
    groupIndptr: place(capacities.groups + 1),
    groupMembers: place(capacities.groupMembers),
    groupRanges: place(capacities.groups * GroupRange.stride),
    merges: place(capacities.merges * Merge.stride),
    mergeSources: place(capacities.mergeSources * MergeSource.stride),
    pieces: place(capacities.pieces * Piece.stride),
    totalBytes: end,
  };
}
