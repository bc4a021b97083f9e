// The plan format: one buffer, a header of 256 bytes, then int32 sections at offsets that depend on capacities alone.
//
// Little-endian. Every section starts at a multiple of 16 bytes. What is copied to a GPU is the prefix of `usedBytes`:
// the largest section, pieces, comes last. Field by field: docs/plan-format.md.

/** "ISOP" read as a little-endian int32. */
export const PLAN_MAGIC = 0x504f_5349;
/** Readers refuse any other version. */
export const PLAN_VERSION = 1;
/** Bytes before the first section. */
export const HEADER_BYTES = 256;
const SECTION_ALIGNMENT = 16;

/** Index of each int32 field of the header. The comments are the tables of docs/plan-format.md. */
export const Header = {
  /** `ISOP` in ASCII, 0x504f5349 as a little-endian int32. */
  magic: 0,
  /** Version of this format: 1. */
  version: 1,
  /** Bytes of the header: 256. */
  headerBytes: 2,
  /** Bytes of the whole buffer: the end of the last section at full capacity. */
  totalBytes: 3,
  /** Bytes that carry this plan: piecesOffset + pieceRecordCount × 32. What is copied to a device or a file. */
  usedBytes: 4,
  /** FNV-1a of attention shape, capacities, offsets and launch: equal for all plans that one captured graph can replay. */
  fingerprint: 5,
  /** Index into POLICY_NAMES. */
  policy: 6,
  /** A Launch. */
  launch: 7,
  /** A MergeLaunch. */
  mergeLaunch: 8,
  /** A MergeOrder. */
  mergeOrder: 9,
  /** KV tokens of a unit of the canonical merge tree's grid; 0 unless mergeOrder is canonicalTree. */
  mergeGridTokens: 10,
  /** Streaming multiprocessors given to the launch, 1–4096. */
  smCount: 11,
  /** Resident CTAs on each of them, 1–32. */
  ctasPerSm: 12,
  /** Rows of workerPieceIndptr in use: workers of a persistent launch, CTAs of a grid launch. */
  workers: 13,
  /** Query heads, a multiple of kvHeads. */
  queryHeads: 14,
  /** KV heads, 1–65535. */
  kvHeads: 15,
  /** Elements of one query or key head, 1–1024. */
  headDim: 16,
  /** Elements of one value head, 1–1024. */
  valueHeadDim: 17,
  /** Index into DTYPES: queries and output (bf16, fp16 or fp32). */
  dtype: 18,
  /** Index into DTYPES: keys and values. */
  kvDtype: 19,
  /** KV tokens in one page, 1–256. */
  pageSize: 20,
  /** Index into MASK_KINDS. */
  maskKind: 21,
  /** Tokens of the sliding window; 0 for other masks. */
  window: 22,
  /** Query heads packed into the rows of one head: the group size, or 1 where a policy does not pack. */
  packedHeads: 23,
  /** KV tokens in one KV tile, 1–4096: the unit of the cost model. */
  kvTileTokens: 24,
  /** Rows that one partial slot has room for. */
  slotRows: 25,
  /** 1 when sinks join every softmax. */
  sinks: 26,
  /** float32 bits of the soft cap; 0 for none. */
  softCapBits: 27,
  /** Records in the requests section. */
  requestCount: 28,
  /** Records in the pieces section. */
  pieceRecordCount: 29,
  /** Pieces: records counted once for each head they cover. */
  pieceCount: 30,
  /** Records in the merges section. */
  mergeCount: 31,
  /** Records in the mergeSources section. */
  mergeSourceCount: 32,
  /** Partial slots in use: slots 0 to partialSlotCount − 1, each written once. */
  partialSlotCount: 33,
  /** Jobs that leave partial states: most are cut in two or more pieces. */
  splitJobCount: 34,
  /** Output rows that are written by merges. */
  mergeRowCount: 35,
  /** Shared-prefix groups. */
  groupCount: 36,
  /** Entries of groupMembers in use. */
  groupMemberCount: 37,
  /** Largest `workers`. */
  workerCapacity: 38,
  /** Largest `requestCount`. */
  requestCapacity: 39,
  /** Largest `pieceRecordCount`. */
  pieceCapacity: 40,
  /** Largest `mergeCount`. */
  mergeCapacity: 41,
  /** Largest `mergeSourceCount`. */
  mergeSourceCapacity: 42,
  /** Largest `partialSlotCount`: what the workspace on the device has room for. */
  partialSlotCapacity: 43,
  /** Largest `groupCount`. */
  groupCapacity: 44,
  /** Largest `groupMemberCount`. */
  groupMemberCapacity: 45,
  /** Byte offset of the requests section: 256. */
  requestsOffset: 46,
  /** Byte offset of the workerPieceIndptr section. */
  workerPieceIndptrOffset: 47,
  /** Byte offset of the workerMergeIndptr section. */
  workerMergeIndptrOffset: 48,
  /** Byte offset of the groupIndptr section. */
  groupIndptrOffset: 49,
  /** Byte offset of the groupMembers section. */
  groupMembersOffset: 50,
  /** Byte offset of the merges section. */
  mergesOffset: 51,
  /** Byte offset of the mergeSources section. */
  mergeSourcesOffset: 52,
  /** Byte offset of the pieces section, the last one. */
  piecesOffset: 53,
  /** CTAs that act as one worker (a cluster), 1–16; 1 unless a policy launches clusters. */
  ctasPerWorker: 54,
  /** Byte offset of the groupRanges section, which lies between groupMembers and merges. */
  groupRangesOffset: 55,
  /** One float64 in two int32: largest load of a worker in the device's own cost model, in nanoseconds. */
  makespanNs: 56,
  /** One float64 in two int32: LB*, in nanoseconds; no schedule of these jobs is shorter. */
  lowerBoundNs: 58,
  /** Four int32, all 0. */
  reserved60: 60,
} as const;

/** Fields of one request record (4 × int32). */
export const Request = {
  stride: 4,
  /** First row of the request in the query tensor, in tokens. */
  queryStart: 0,
  /** Query tokens. */
  qoLen: 1,
  /** KV tokens: the history and the new ones. */
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
  /** Consecutive heads that the record stands for, at least 1. */
  headCount: 2,
  /** First packed query row: token × packedHeads + head within the group. */
  rowStart: 3,
  /** Valid rows in the low 16 bits, rows of the kernel's query tile (padding included) in the high 16. */
  rows: 4,
  /** First KV token, an absolute position within the request. */
  kvStart: 5,
  /** One past the last KV token; equal to kvStart where the rows see nothing. */
  kvEnd: 6,
  /** −1: writes the final output. Else the first partial slot of the first head; those of the next head follow. */
  slot: 7,
} as const;

/** Fields of one shared-prefix group (2 × int32): the KV tokens [kvStart, kvEnd) that its members have in common. */
export const GroupRange = {
  stride: 2,
  /** First KV token: where the range of the enclosing group ends, 0 without one. */
  kvStart: 0,
  /** One past the last KV token. */
  kvEnd: 1,
} as const;

/** Fields of one merge record (8 × int32): some rows of one output tile. */
export const Merge = {
  stride: 8,
  /** Always a request, never a group. */
  request: 0,
  /** Head, counted as in pieces. */
  head: 1,
  /** First packed query row of the request. */
  rowStart: 2,
  /** Packed query rows that this merge writes: at most 16 in plans of this package, any number ≥ 1 in the format. */
  rowCount: 3,
  /** First source in the mergeSources section; sources lie in the order in which they combine. */
  sourceStart: 4,
  /** One past the last source. */
  sourceEnd: 5,
  /** Split job that the rows belong to; merges of one job are consecutive. */
  splitJob: 6,
  /** 0. */
  reserved: 7,
} as const;

/** Fields of one merge source (2 × int32). */
export const MergeSource = {
  stride: 2,
  /** Partial slot. */
  slot: 0,
  /** Row of the slot that holds the merge's first row; the merge's other rows follow it. */
  slotRow: 1,
} as const;

/** Persistent: worker w runs its pieces in order. Grid: CTAs start in order as slots (smCount × ctasPerSm) come free. */
export const Launch = { persistent: 0, grid: 1 } as const;
/** Where merges run: nowhere (none), in the attention launch, or in a launch of their own after it. */
export const MergeLaunch = { none: 0, fused: 1, separate: 2 } as const;
/** sequential: sources fold in order. canonicalTree: they are nodes of a binary tree over grid chunks (see canonical-tree.ts). */
export const MergeOrder = { sequential: 0, canonicalTree: 1 } as const;

/** Element types by the number that stands for them in the header: append, never reorder. */
export const DTYPES = ["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"] as const;
/** Mask kinds by the number that stands for them in the header: append, never reorder. */
export const MASK_KINDS = ["causal", "full", "sliding-window"] as const;

/** How much fits. Fixed for the life of a plan buffer, and with it every section offset. */
export interface PlanCapacities {
  /** Rows of workerPieceIndptr and workerMergeIndptr. */
  readonly workers: number;
  readonly requests: number;
  /** Piece records; each stands for one or more pieces. */
  readonly pieces: number;
  readonly merges: number;
  readonly mergeSources: number;
  /** Slots of the workspace on the device, slotRows rows each. */
  readonly partialSlots: number;
  /** Shared-prefix groups. */
  readonly groups: number;
  /** Members of all groups together. */
  readonly groupMembers: number;
}

/** Byte offset of each section, in the order in which they lie, and the size of the whole. */
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

/** Where the header keeps each capacity. */
export const CAPACITY_FIELDS: Readonly<Record<keyof PlanCapacities, number>> = {
  workers: Header.workerCapacity,
  requests: Header.requestCapacity,
  pieces: Header.pieceCapacity,
  merges: Header.mergeCapacity,
  mergeSources: Header.mergeSourceCapacity,
  partialSlots: Header.partialSlotCapacity,
  groups: Header.groupCapacity,
  groupMembers: Header.groupMemberCapacity,
};

/** Where the header counts what is in use of each capacity. */
export const COUNT_FIELDS: Readonly<Record<keyof PlanCapacities, number>> = {
  workers: Header.workers,
  requests: Header.requestCount,
  pieces: Header.pieceRecordCount,
  merges: Header.mergeCount,
  mergeSources: Header.mergeSourceCount,
  partialSlots: Header.partialSlotCount,
  groups: Header.groupCount,
  groupMembers: Header.groupMemberCount,
};

/** Where the header keeps the offset of each section. */
export const OFFSET_FIELDS: Readonly<Record<Exclude<keyof PlanLayout, "capacities" | "totalBytes">, number>> = {
  requests: Header.requestsOffset,
  workerPieceIndptr: Header.workerPieceIndptrOffset,
  workerMergeIndptr: Header.workerMergeIndptrOffset,
  groupIndptr: Header.groupIndptrOffset,
  groupMembers: Header.groupMembersOffset,
  groupRanges: Header.groupRangesOffset,
  merges: Header.mergesOffset,
  mergeSources: Header.mergeSourcesOffset,
  pieces: Header.piecesOffset,
};

/** Names of the capacities. */
export const CAPACITY_NAMES: readonly (keyof PlanCapacities)[] = Object.keys(
  CAPACITY_FIELDS,
) as (keyof PlanCapacities)[];
/** Names of the sections, in the order of PlanLayout. */
export const SECTION_NAMES: readonly (keyof typeof OFFSET_FIELDS)[] = Object.keys(
  OFFSET_FIELDS,
) as (keyof typeof OFFSET_FIELDS)[];

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
