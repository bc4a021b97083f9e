// The JSON form of a plan. Reading it ends in decodePlan(), so it trusts as little.

import { decodePlan, MAX_DECODED_BYTES, PlanFormatError } from "./codec.ts";
import { found } from "./field-error.ts";
import {
  GroupRange,
  HEADER_BYTES,
  Header,
  Merge,
  MergeSource,
  OFFSET_FIELDS,
  Piece,
  Request,
  SECTION_NAMES,
} from "./layout.ts";
import type { Plan } from "./plan.ts";

type SectionName = (typeof SECTION_NAMES)[number];

/** Sections of the JSON form: int32 to one record. */
const SECTIONS: Readonly<Record<SectionName, number>> = {
  requests: Request.stride,
  workerPieceIndptr: 1,
  workerMergeIndptr: 1,
  groupIndptr: 1,
  groupMembers: 1,
  groupRanges: GroupRange.stride,
  merges: Merge.stride,
  mergeSources: MergeSource.stride,
  pieces: Piece.stride,
};

/** The JSON form: every header field by name, every used entry of every section. */
export interface PlanDocument {
  readonly isochron: "plan/1";
  /** Fields of the table `Header`: int32, and the two times as float64 nanoseconds. */
  readonly header: Readonly<Record<string, number>>;
  /** int32 of the records in use, in the order of the section's field table. */
  readonly sections: Readonly<Record<SectionName, readonly number[]>>;
}

/** The JSON form of a plan; nothing in it refers to the plan's memory. */
export function planToJson(plan: Plan): PlanDocument {
  const { header } = plan;
  const fields = Object.entries(Header).filter(([name]) => name !== "makespanNs" && name !== "lowerBoundNs");
  const used: Record<SectionName, number> = {
    requests: plan.requestCount,
    workerPieceIndptr: plan.workers + 1,
    workerMergeIndptr: plan.workers + 1,
    groupIndptr: header[Header.groupCount]! + 1,
    groupMembers: header[Header.groupMemberCount]!,
    groupRanges: plan.groupCount,
    merges: plan.mergeCount,
    mergeSources: header[Header.mergeSourceCount]!,
    pieces: plan.pieceRecordCount,
  };
  const sections = Object.fromEntries(
    SECTION_NAMES.map((name) => [name, Array.from(plan[name].subarray(0, used[name] * SECTIONS[name]))]),
  ) as Record<SectionName, number[]>;
  return {
    isochron: "plan/1",
    header: {
      ...Object.fromEntries(fields.map(([name, index]) => [name, header[index]!])),
      makespanNs: plan.headerFloat64[Header.makespanNs / 2]!,
      lowerBoundNs: plan.headerFloat64[Header.lowerBoundNs / 2]!,
    },
    sections,
  };
}

/** Reads the JSON form. Throws PlanFormatError or PlanViolation. */
export function planFromJson(document: unknown): Plan {
  const { isochron, header, sections } = (document ?? {}) as Partial<PlanDocument>;
  if (isochron !== "plan/1") throw new PlanFormatError(`found ${JSON.stringify(isochron)}, expected "plan/1"`);
  if (typeof header !== "object" || typeof sections !== "object" || header === null || sections === null) {
    throw new PlanFormatError("expected the keys header and sections");
  }
  const time = (name: string): number => {
    const value: unknown = header[name];
    if (typeof value === "number") return value;
    throw new PlanFormatError(`header.${name} is ${found(value)}, expected a number`);
  };
  const headerWords = new Int32Array(HEADER_BYTES / 4);
  const headerFloat64 = new Float64Array(headerWords.buffer);
  for (const [name, index] of Object.entries(Header)) {
    if (name === "makespanNs" || name === "lowerBoundNs") headerFloat64[index / 2] = time(name);
    else headerWords[index] = requireInt32(`header.${name}`, header[name]);
  }
  const totalBytes = headerWords[Header.totalBytes]!;
  if (totalBytes < HEADER_BYTES || totalBytes > MAX_DECODED_BYTES) {
    throw new PlanFormatError(`header field totalBytes is ${totalBytes}`);
  }
  const bytes = new Uint8Array(totalBytes);
  bytes.set(new Uint8Array(headerWords.buffer));
  const words = new Int32Array(bytes.buffer);
  for (const name of SECTION_NAMES) {
    const entries = sections[name];
    if (!Array.isArray(entries)) throw new PlanFormatError(`section ${name} is not an array`);
    const offset = headerWords[OFFSET_FIELDS[name]]!;
    if (offset < HEADER_BYTES || offset % 4 !== 0 || offset + entries.length * 4 > totalBytes) {
      throw new PlanFormatError(`section ${name} does not fit at offset ${offset}`);
    }
    for (let i = 0; i < entries.length; i++) words[offset / 4 + i] = requireInt32(`sections.${name}`, entries[i], i);
  }
  return decodePlan(bytes);
}

function requireInt32(field: string, value: unknown, index?: number): number {
  if (typeof value === "number" && (value | 0) === value) return value;
  const where = index === undefined ? field : `${field}[${index}]`;
  throw new PlanFormatError(`${where} is ${found(value)}, expected an integer of 32 bits`);
}
