// Replicas whose experts are spread over the GPUs of all: data-parallel attention, as vLLM has it. Each schedules on its own,
// but no layer's experts compute before everybody's tokens are there, so all take their steps together, and as long as the
// slowest of them. Who has nothing to schedule goes along empty; who arrives during a step waits for its end.

import type { Replica } from "./replica.ts";

const IDLE: number = Number.POSITIVE_INFINITY;

export class ExpertGroup {
  readonly #replicas: readonly Replica[];
  /** Those with a step in flight. */
  readonly #stepping: Replica[] = [];

  constructor(replicas: readonly Replica[]) {
    this.#replicas = replicas;
  }

  get isBusy(): boolean {
    return this.#stepping.length > 0;
  }

  /** Takes in the tokens of the steps in flight, which are over. */
  end(nowUs: number): void {
    for (const replica of this.#stepping) replica.end(nowUs);
    this.#stepping.length = 0;
  }

  /** Decides on everybody's next step. Returns when they are over, Infinity where nobody has one. */
  begin(nowUs: number): number {
    let tokens = 0;
    let mostTokens = 0;
    for (const replica of this.#replicas) {
      const step = replica.scheduleShared(nowUs);
      if (step === undefined) continue;
      this.#stepping.push(replica);
      tokens += step.tokens;
      mostTokens = Math.max(mostTokens, step.tokens);
    }
    if (this.#stepping.length === 0) return IDLE;
    const group = { tokens, mostTokens };
    let durationUs = 0;
    for (const replica of this.#stepping) durationUs = Math.max(durationUs, replica.timeShared(group));
    for (const replica of this.#stepping) replica.beginShared(nowUs, durationUs);
    return nowUs + durationUs;
  }
}
