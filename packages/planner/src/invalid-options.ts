// What createPlanner and budgetFor are called with: programs in JavaScript leave things out, and are told what.

import { FieldError, requireObject } from "./field-error.ts";

/** An option that no planner and no budget can be made with: `field` is its name, or "options" where there are none. */
export class InvalidOptionsError extends FieldError {
  override readonly name = "InvalidOptionsError";
}

/** Throws InvalidOptionsError unless there are options at all. */
export function requireOptions(options: unknown): void {
  requireObject(InvalidOptionsError, "options", options, "an object with attention and device");
}
