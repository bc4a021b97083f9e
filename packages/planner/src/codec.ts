// The binary form of a plan. Decoding trusts nothing: it yields a plan that checkPlan() accepts, or a typed error.

import { found } from "./field-error.ts";
import {
  CAPACITY_FIELDS,
  CAPACITY_NAMES,
  HEADER_BYTES,
  Header,
  PLAN_MAGIC,
  PLAN_VERSION,
  type PlanCapacities,
  planLayout,
} from "./layout.ts";
import { Plan } from "./plan.ts";
import { checkPlan } from "./verify.ts";

/** Bytes or JSON that are not a plan of this version. */
export class PlanFormatError extends Error {
  override readonly name = "PlanFormatError";
}

/** Largest plan that decodePlan makes room for; chosen: 65,536 decodes with 128 heads each stay under it. */
export const MAX_DECODED_BYTES: number = 2 ** 28;

/** The used prefix of the plan buffer: a copy that stands for the whole plan. */
export function encodePlan(plan: Plan): Uint8Array {
  return new Uint8Array(plan.buffer.slice(0, plan.usedBytes));
}

/**
 * Reads bytes from anywhere into a plan with a buffer of its own, which checkPlan() accepts. Bytes beyond the plan's own
 * are ignored. Throws PlanFormatError (no plan, another version, cut short, over 256 MiB) or PlanViolation.
 */
export function decodePlan(bytes: Uint8Array): Plan {
  if (!(bytes instanceof Uint8Array)) throw new PlanFormatError(`found ${found(bytes)}, expected a Uint8Array`);
  if (bytes.byteLength < HEADER_BYTES) {
    throw new PlanFormatError(`found ${bytes.byteLength} bytes, expected a header of ${HEADER_BYTES}`);
  }
  // A copy: the bytes may lie anywhere in a buffer, and those of Node share theirs even in slice().
  const header = new Int32Array(HEADER_BYTES / 4);
  new Uint8Array(header.buffer).set(bytes.subarray(0, HEADER_BYTES));
  if (header[Header.magic] !== PLAN_MAGIC)
    throw new PlanFormatError("found no plan: the first four bytes are not ISOP");
  if (header[Header.version] !== PLAN_VERSION) {
    throw new PlanFormatError(`found plan version ${header[Header.version]}, expected ${PLAN_VERSION}`);
  }
  const capacities = {} as { -readonly [K in keyof PlanCapacities]: number };
  for (const name of CAPACITY_NAMES) {
    const field = CAPACITY_FIELDS[name];
    const value = header[field]!;
    if (value < 0) throw new PlanFormatError(`header field ${field} is ${value}, expected a capacity ≥ 0`);
    capacities[name] = value;
  }
  const layout = planLayout(capacities);
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
