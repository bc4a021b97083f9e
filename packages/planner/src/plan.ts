// A plan: views over one buffer. It says what every worker does; it is data, and does nothing itself.

import type { AttentionShape, Mask } from "./batch.ts";
import type { PlanLayout } from "./layout.ts";
import {
  DTYPES,
  GroupRange,
  HEADER_BYTES,
  Header,
  Launch,
  MASK_KINDS,
  Merge,
  MergeSource,
  Piece,
  Request,
} from "./layout.ts";
import type { PolicyName } from "./policy-names.ts";
import { POLICY_NAMES } from "./policy-names.ts";
import type { PlanStats } from "./timeline.ts";

/** Typed views over a plan buffer. Sections are addressed with the field tables of layout.ts. */
export class Plan {
  /** Header and sections. Of the same length for every plan of one budget. */
  readonly buffer: ArrayBuffer;
  readonly layout: PlanLayout;
  /** Fields by `Header`. */
  readonly header: Int32Array;
  /** The same bytes; float64 field f of `Header` is entry f / 2. */
  readonly headerFloat64: Float64Array;
  /** Fields by `Request`. This and the sections below are as long as their capacity. */
  readonly requests: Int32Array;
  /** Worker w runs piece records [entry w, entry w + 1), in order. */
  readonly workerPieceIndptr: Int32Array;
  /** Worker w runs merges [entry w, entry w + 1). */
  readonly workerMergeIndptr: Int32Array;
  /** Shared-prefix group g has members [entry g, entry g + 1). */
  readonly groupIndptr: Int32Array;
  /** Request indices, ascending within a group. */
  readonly groupMembers: Int32Array;
  /** Fields by `GroupRange`. */
  readonly groupRanges: Int32Array;
  /** Fields by `Merge`. */
  readonly merges: Int32Array;
  /** Fields by `MergeSource`. */
  readonly mergeSources: Int32Array;
  /** Fields by `Piece`. */
  readonly pieces: Int32Array;

  /** The buffer must be at least `layout.totalBytes` long; its content is taken as it is (decodePlan checks). */
  constructor(buffer: ArrayBuffer, layout: PlanLayout) {
    const { capacities } = layout;
    this.buffer = buffer;
    this.layout = layout;
    this.header = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.headerFloat64 = new Float64Array(buffer, 0, HEADER_BYTES / 8);
    this.requests = new Int32Array(buffer, layout.requests, capacities.requests * Request.stride);
    this.workerPieceIndptr = new Int32Array(buffer, layout.workerPieceIndptr, capacities.workers + 1);
    this.workerMergeIndptr = new Int32Array(buffer, layout.workerMergeIndptr, capacities.workers + 1);
    this.groupIndptr = new Int32Array(buffer, layout.groupIndptr, capacities.groups + 1);
    this.groupMembers = new Int32Array(buffer, layout.groupMembers, capacities.groupMembers);
    this.groupRanges = new Int32Array(buffer, layout.groupRanges, capacities.groups * GroupRange.stride);
    this.merges = new Int32Array(buffer, layout.merges, capacities.merges * Merge.stride);
    this.mergeSources = new Int32Array(buffer, layout.mergeSources, capacities.mergeSources * MergeSource.stride);
    this.pieces = new Int32Array(buffer, layout.pieces, capacities.pieces * Piece.stride);
  }

  /** The policy that made it. */
  get policy(): PolicyName {
    return POLICY_NAMES[this.header[Header.policy]!]!;
  }

  /** Rows of workerPieceIndptr in use: resident workers, or CTAs of a grid launch. */
  get workers(): number {
    return this.header[Header.workers]!;
  }

  /** Whether workers are resident, or CTAs of a grid that start in order. */
  get isPersistent(): boolean {
    return this.header[Header.launch] === Launch.persistent;
  }

  get requestCount(): number {
    return this.header[Header.requestCount]!;
  }

  /** Shared-prefix groups. */
  get groupCount(): number {
    return this.header[Header.groupCount]!;
  }

  /** Piece records; each stands for `headCount` pieces. */
  get pieceRecordCount(): number {
    return this.header[Header.pieceRecordCount]!;
  }

  get mergeCount(): number {
    return this.header[Header.mergeCount]!;
  }

  get partialSlotCount(): number {
    return this.header[Header.partialSlotCount]!;
  }

  /** Bytes from the start of the buffer that carry this plan; the rest is capacity. */
  get usedBytes(): number {
    return this.header[Header.usedBytes]!;
  }

  /** Hash of what a captured graph bakes in: plans with the same one can replay each other's graphs. */
  get fingerprint(): number {
    return this.header[Header.fingerprint]!;
  }

  /** Recomputed from the header at each access. */
  get stats(): PlanStats {
    const { header, headerFloat64 } = this;
    const makespanUs = headerFloat64[Header.makespanNs / 2]! / 1000;
    const lowerBoundUs = headerFloat64[Header.lowerBoundNs / 2]! / 1000;
    return {
      pieces: header[Header.pieceCount]!,
      splitJobs: header[Header.splitJobCount]!,
      partialSlots: header[Header.partialSlotCount]!,
      mergeRows: header[Header.mergeRowCount]!,
      makespanUs,
      lowerBoundUs,
      imbalance: lowerBoundUs === 0 ? 1 : makespanUs / lowerBoundUs,
    };
  }

  /** The attention shape, read back from the header. */
  get attention(): AttentionShape {
    const { header } = this;
    const kind = MASK_KINDS[header[Header.maskKind]!]!;
    const mask: Mask = kind === "sliding-window" ? { kind, window: header[Header.window]! } : { kind };
    const softCap = new Float32Array(header.buffer, Header.softCapBits * 4, 1)[0]!;
    const headDim = header[Header.headDim]!;
    const valueHeadDim = header[Header.valueHeadDim]!;
    return {
      queryHeads: header[Header.queryHeads]!,
      kvHeads: header[Header.kvHeads]!,
      headDim,
      ...(valueHeadDim === headDim ? {} : { valueHeadDim }),
      dtype: DTYPES[header[Header.dtype]!] as AttentionShape["dtype"],
      kvDtype: DTYPES[header[Header.kvDtype]!]!,
      pageSize: header[Header.pageSize]!,
      mask,
      ...(softCap > 0 ? { softCap } : {}),
      ...(header[Header.sinks] === 1 ? { sinks: true } : {}),
    };
  }
}
