// What a program in JavaScript leaves out of a replay, or gives by its name: told in a sentence, before anything runs.

import type { ReplayOptions } from "./replay-options.ts";

/** A part of a replay that is missing, or is not what it should be. */
export class ReplayOptionsError extends Error {
  override readonly name = "ReplayOptionsError";
  /** Path of the option, such as "deployment.model". */
  readonly field: string;
  readonly value: unknown;
  readonly expected: string;

  constructor(field: string, value: unknown, expected: string) {
    const found = typeof value === "object" && value !== null ? "another object" : JSON.stringify(value);
    super(`replay: ${field} is ${found}, expected ${expected}`);
    this.field = field;
    this.value = value;
    this.expected = expected;
  }
}

/** @throws ReplayOptionsError at the first part that is none, or a timer of other GPUs than the deployment's */
export function requireParts(options: ReplayOptions): void {
  const { trace, deployment, stepTimer } = options ?? {};
  if (typeof trace?.chunks !== "function") {
    throw new ReplayOptionsError("trace", trace, "what openTrace() or traceOf() returns");
  }
  if (typeof deployment?.model?.queryHeads !== "number") {
    throw new ReplayOptionsError("deployment.model", deployment?.model, "what findModel() returns");
  }
  if (typeof deployment.gpu?.memoryBytes !== "number") {
    throw new ReplayOptionsError("deployment.gpu", deployment.gpu, "what gpuFacts() returns");
  }
  for (const timer of Array.isArray(stepTimer) ? stepTimer : [stepTimer]) {
    if (typeof timer?.time !== "function") {
      throw new ReplayOptionsError("stepTimer", timer, "what createStepTimer() returns");
    }
    const { tensorParallel = 1 } = deployment;
    if (timer.tensorParallel !== undefined && timer.tensorParallel !== tensorParallel) {
      const expected = `${tensorParallel}, the deployment's: give createStepTimer() the same`;
      throw new ReplayOptionsError("stepTimer.tensorParallel", timer.tensorParallel, expected);
    }
  }
}
