// Binary and JSON forms of a plan. Decoding trusts nothing: it yields a plan that checkPlan() accepts, or a typed error.

import {
  GroupRange,
  HEADER_BYTES,
  Header,
  Merge,
  MergeSource,
  Piece,
  PLAN_MAGIC,
  PLAN_VERSION,
  planLayout,
  Request,
} from "./layout.ts";
import { Plan } from "./plan.ts";
import { checkPlan } from "./verify.ts";

/** Bytes or JSON that are not a plan of this version. */
export class PlanFormatError extends Error {
  override readonly name = "PlanFormatError";
}

/** Largest plan that decodePlan makes room for; chosen: 65,536 decodes with 128 heads each stay under it. */
const MAX_DECODED_BYTES = 2 ** 28;

/** The used prefix of the plan buffer: a copy that stands for the whole plan. */
export function encodePlan(plan: Plan): Uint8Array {
  return new Uint8Array(plan.buffer.slice(0, plan.usedBytes));
}

/**
 * Reads bytes from anywhere into a plan with a buffer of its own, which checkPlan() accepts. Bytes beyond the plan's own
 * are ignored. Throws PlanFormatError (no plan, another version, cut short, over 256 MiB) or PlanViolation.
 */
export function decodePlan(bytes: Uint8Array): Plan {
  if (bytes.byteLength < HEADER_BYTES) {
    throw new PlanFormatError(`found ${bytes.byteLength} bytes, expected a header of ${HEADER_BYTES}`);
  }
  const header = new Int32Array(bytes.slice(0, HEADER_BYTES).buffer);
  if (header[Header.magic] !== PLAN_MAGIC)
    throw new PlanFormatError("found no plan: the first four bytes are not ISOP");
  if (header[Header.version] !== PLAN_VERSION) {
    throw new PlanFormatError(`found plan version ${header[Header.version]}, expected ${PLAN_VERSION}`);
  }
  const capacity = (field: number): number => {
    const value = header[field]!;
    if (value < 0) throw new PlanFormatError(`header field ${field} is ${value}, expected a capacity ≥ 0`);
    return value;
  };
  const layout = planLayout({
    workers: capacity(Header.workerCapacity),
    requests: capacity(Header.requestCapacity),
    pieces: capacity(Header.pieceCapacity),
    merges: capacity(Header.mergeCapacity),
    mergeSources: capacity(Header.mergeSourceCapacity),
    partialSlots: capacity(Header.partialSlotCapacity),
    groups: capacity(Header.groupCapacity),
    groupMembers: capacity(Header.groupMemberCapacity),
  });
  if (layout.totalBytes > MAX_DECODED_BYTES) {
    throw new PlanFormatError(`the capacities need ${layout.totalBytes} bytes, expected at most ${MAX_DECODED_BYTES}`);
  }
  const usedBytes = header[Header.usedBytes]!;
  if (usedBytes < layout.pieces || usedBytes > layout.totalBytes || bytes.byteLength < usedBytes) {
    throw new PlanFormatError(`found ${bytes.byteLength} bytes, the plan says it uses ${usedBytes}`);
  }
  const buffer = new ArrayBuffer(layout.totalBytes);
  new Uint8Array(buffer).set(bytes.subarray(0, usedBytes));
  const plan = new Plan(buffer, layout);
  checkPlan(plan);
  return plan;
}

type SectionName =
  | "requests"
  | "workerPieceIndptr"
  | "workerMergeIndptr"
  | "groupIndptr"
  | "groupMembers"
  | "groupRanges"
  | "merges"
  | "mergeSources"
  | "pieces";

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
    (Object.keys(SECTIONS) as SectionName[]).map((name) => [
      name,
      Array.from(plan[name].subarray(0, used[name] * SECTIONS[name])),
    ]),
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
  const field = (name: string): number => {
    const value = header[name];
    if (typeof value !== "number")
      throw new PlanFormatError(`header field ${name} is ${typeof value}, expected a number`);
    return value;
  };
  const headerWords = new Int32Array(HEADER_BYTES / 4);
  const headerFloat64 = new Float64Array(headerWords.buffer);
  for (const [name, index] of Object.entries(Header)) {
    if (name === "makespanNs" || name === "lowerBoundNs") headerFloat64[index / 2] = field(name);
    else headerWords[index] = field(name);
  }
  const totalBytes = headerWords[Header.totalBytes]!;
  if (totalBytes < HEADER_BYTES || totalBytes > MAX_DECODED_BYTES) {
    throw new PlanFormatError(`header field totalBytes is ${totalBytes}`);
  }
  const bytes = new Uint8Array(totalBytes);
  bytes.set(new Uint8Array(headerWords.buffer));
  const words = new Int32Array(bytes.buffer);
  for (const name of Object.keys(SECTIONS) as SectionName[]) {
    const entries = sections[name];
    if (!Array.isArray(entries)) throw new PlanFormatError(`section ${name} is not an array`);
    const offset = headerWords[Header[`${name}Offset`]]!;
    if (offset < HEADER_BYTES || offset % 4 !== 0 || offset + entries.length * 4 > totalBytes) {
      throw new PlanFormatError(`section ${name} does not fit at offset ${offset}`);
    }
    words.set(entries, offset / 4);
  }
  return decodePlan(bytes);
}
