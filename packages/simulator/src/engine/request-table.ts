// Requests in flight on one replica, as a struct of arrays by slot. Slots of requests that ended are used again, so
// memory follows the number of requests in flight and not the length of the trace.

import type { SchedulerRequests } from "../batching/batching-policy.ts";
import { grown } from "../typed-arrays.ts";

/** What the scheduler may see. Kept apart from how long answers will be. */
export class VisibleRequests implements SchedulerRequests {
  inputTokens: Int32Array = new Int32Array(64);
  knownTokens: Int32Array = new Int32Array(64);
  computedTokens: Int32Array = new Int32Array(64);
  draftTokens: Int32Array = new Int32Array(64);
  transferredTokens: Int32Array = new Int32Array(64);
  stepsInFlight: Int32Array = new Int32Array(64);
}

export class RequestTable {
  readonly visible: VisibleRequests = new VisibleRequests();
  /** Tokens that the request will have generated when it ends: the trace's truth, for the engine alone. */
  outputTokens: Int32Array = new Int32Array(64);
  generatedTokens: Int32Array = new Int32Array(64);
  /** Prompt and answer at which the engine knows that the request ends, whatever its answer is: max_tokens. */
  mostTokens: Int32Array = new Int32Array(64);
  /** Position in the trace. */
  id: Float64Array = new Float64Array(64);
  arrivalUs: Float64Array = new Float64Array(64);
  /** −1 until it has happened. */
  scheduledUs: Float64Array = new Float64Array(64);
  firstTokenUs: Float64Array = new Float64Array(64);
  lastTokenUs: Float64Array = new Float64Array(64);
  cachedTokens: Int32Array = new Int32Array(64);
  preemptions: Int32Array = new Int32Array(64);
  /** Most tokens that were ever computed before a preemption: what is computed again below it is waste. */
  lostTokens: Int32Array = new Int32Array(64);
  firstStep: Int32Array = new Int32Array(64);

  /** Slots in use. */
  count = 0;
  #capacity = 64;
  #nextSlot = 0;
  readonly #freed: number[] = [];
  /** 1 for requests that are gone and still in steps in flight: their slots are not free yet. */
  #hasEnded: Int32Array = new Int32Array(64);

  add(id: number, arrivalUs: number, inputTokens: number, outputTokens: number, mostTokens: number): number {
    const slot = this.#freed.pop() ?? this.#nextSlot++;
    if (slot === this.#capacity) this.#grow();
    this.count++;
    this.id[slot] = id;
    this.arrivalUs[slot] = arrivalUs;
    this.visible.inputTokens[slot] = inputTokens;
    this.visible.knownTokens[slot] = inputTokens;
    this.visible.computedTokens[slot] = 0;
    this.visible.draftTokens[slot] = 0;
    this.visible.transferredTokens[slot] = 0;
    this.visible.stepsInFlight[slot] = 0;
    this.outputTokens[slot] = outputTokens;
    this.generatedTokens[slot] = 0;
    this.mostTokens[slot] = mostTokens;
    this.scheduledUs[slot] = -1;
    this.firstTokenUs[slot] = -1;
    this.lastTokenUs[slot] = -1;
    this.cachedTokens[slot] = 0;
    this.preemptions[slot] = 0;
    this.lostTokens[slot] = 0;
    this.firstStep[slot] = -1;
    return slot;
  }

  /** The slot keeps what it says until it is used again: a step's batch still names the requests that ended with it. */
  remove(slot: number): void {
    this.count--;
    if (this.visible.stepsInFlight[slot]! > 0) this.#hasEnded[slot] = 1;
    else this.#freed.push(slot);
  }

  /** A step that the request is in has come back. Returns whether the request was gone by then. */
  land(slot: number): boolean {
    const left = --this.visible.stepsInFlight[slot]!;
    if (this.#hasEnded[slot] === 0) return false;
    if (left === 0) {
      this.#hasEnded[slot] = 0;
      this.#freed.push(slot);
    }
    return true;
  }

  /** Slots in use, in no particular order. */
  slots(): number[] {
    const freed = new Set(this.#freed);
    return Array.from({ length: this.#nextSlot }, (_, slot) => slot).filter(
      (slot) => !freed.has(slot) && this.#hasEnded[slot] === 0,
    );
  }

  #grow(): void {
    this.#capacity *= 2;
    const { visible } = this;
    visible.inputTokens = grown(visible.inputTokens, this.#capacity);
    visible.knownTokens = grown(visible.knownTokens, this.#capacity);
    visible.draftTokens = grown(visible.draftTokens, this.#capacity);
    visible.transferredTokens = grown(visible.transferredTokens, this.#capacity);
    visible.stepsInFlight = grown(visible.stepsInFlight, this.#capacity);
    this.#hasEnded = grown(this.#hasEnded, this.#capacity);
    visible.computedTokens = grown(visible.computedTokens, this.#capacity);
    this.outputTokens = grown(this.outputTokens, this.#capacity);
    this.generatedTokens = grown(this.generatedTokens, this.#capacity);
    this.mostTokens = grown(this.mostTokens, this.#capacity);
    this.cachedTokens = grown(this.cachedTokens, this.#capacity);
    this.preemptions = grown(this.preemptions, this.#capacity);
    this.lostTokens = grown(this.lostTokens, this.#capacity);
    this.firstStep = grown(this.firstStep, this.#capacity);
    this.id = grown(this.id, this.#capacity);
    this.arrivalUs = grown(this.arrivalUs, this.#capacity);
    this.scheduledUs = grown(this.scheduledUs, this.#capacity);
    this.firstTokenUs = grown(this.firstTokenUs, this.#capacity);
    this.lastTokenUs = grown(this.lastTokenUs, this.#capacity);
  }
}
