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
  readonly buffer: ArrayBuffer;
  readonly layout: PlanLayout;
  readonly header: Int32Array;
  readonly headerFloat64: Float64Array;
  readonly requests: Int32Array;
  readonly workerPieceIndptr: Int32Array;
  readonly workerMergeIndptr: Int32Array;
  readonly groupIndptr: Int32Array;
  readonly groupMembers: Int32Array;
  readonly groupRanges: Int32Array;
  readonly merges: Int32Array;
  readonly mergeSources: Int32Array;
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

  get policy(): PolicyName {
    return POLICY_NAMES[this.header[Header.policy]!]!;
  }

  /** Rows of workerPieceIndptr in use: resident workers, or CTAs of a grid launch. */
  get workers(): number {
    return this.header[Header.workers]!;
  }

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

  get fingerprint(): number {
    return this.header[Header.fingerprint]!;
  }

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
