// What the next step computes: the batching policy is asked, and the books are kept of whom it let in and whom it sent back.

import type { ScheduledStep } from "../batching/batching-policy.ts";
import { clearScheduledStep } from "../batching/batching-policy.ts";
import type { ReplicaParts } from "./replica-parts.ts";
import type { RequestDesk } from "./request-desk.ts";
import type { StepsInFlight } from "./steps-in-flight.ts";

export class StepDecision {
  readonly #parts: ReplicaParts;
  readonly #desk: RequestDesk;
  readonly #inFlight: StepsInFlight;

  constructor(parts: ReplicaParts, desk: RequestDesk, inFlight: StepsInFlight) {
    this.#parts = parts;
    this.#desk = desk;
    this.#inFlight = inFlight;
  }

  /** Fills the step. False when nothing can be scheduled yet. */
  decide(step: ScheduledStep, nowUs: number): boolean {
    const { index, policy } = this.#parts;
    if (policy.runningCount === 0 && policy.waitingCount === 0) return false;
    clearScheduledStep(step);
    policy.schedule(step);
    if (step.preemptedCount > 0) this.#notePreemptions(step);
    if (step.count === 0) {
      // Somebody comes back from a step in flight, or blocks come free that are being sent elsewhere.
      if (this.#inFlight.count > 0 || this.#desk.sending > 0) return false;
      throw new Error(`replica ${index} has ${policy.waitingCount} waiting requests and scheduled none`);
    }
    if (step.admittedCount > 0) this.#noteAdmissions(step, nowUs);
    return true;
  }

  #noteAdmissions(step: ScheduledStep, nowUs: number): void {
    const { requests, observer } = this.#parts;
    for (let i = 0; i < step.admittedCount; i++) {
      const slot = step.admitted[i]!;
      const cached = step.admittedCachedTokens[i]!;
      if (requests.firstStep[slot]! < 0) requests.firstStep[slot] = this.#inFlight.nextNumber;
      if (requests.scheduledUs[slot]! < 0) {
        requests.scheduledUs[slot] = nowUs;
        requests.cachedTokens[slot] = cached;
        observer.prefixLookedUp(cached, requests.visible.inputTokens[slot]!);
      } else {
        observer.recomputed(Math.max(0, requests.lostTokens[slot]! - cached));
      }
    }
  }

  #notePreemptions(step: ScheduledStep): void {
    const { requests, observer } = this.#parts;
    for (let i = 0; i < step.preemptedCount; i++) {
      const slot = step.preempted[i]!;
      const computed = step.preemptedTokens[i]!;
      requests.preemptions[slot]!++;
      // What an earlier preemption lost and has not been computed again by now was counted too early.
      const lost = requests.lostTokens[slot]!;
      if (lost > computed) observer.recomputed(computed - lost);
      else requests.lostTokens[slot] = computed;
    }
    observer.preempted(step.preemptedCount);
  }
}
