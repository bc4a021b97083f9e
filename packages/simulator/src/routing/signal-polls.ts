// What a router sees of the replicas: them as they are, or, where it polls, as they were at the last multiple of a period.

import type { ReplicaSignals } from "./router.ts";
import { type PolledReplica, StaleSignals } from "./stale-signals.ts";

export class SignalPolls {
  readonly signals: readonly ReplicaSignals[];
  /** 0: it does not poll. */
  readonly #periodUs: number;
  readonly #polled: readonly StaleSignals[];
  #polledUs = 0;

  constructor(replicas: readonly PolledReplica[], periodMs: number) {
    this.#periodUs = periodMs * 1000;
    this.#polled = periodMs > 0 ? replicas.map((replica) => new StaleSignals(replica)) : [];
    this.signals = periodMs > 0 ? this.#polled : replicas;
  }

  get arePolled(): boolean {
    return this.#periodUs > 0;
  }

  /** When it asks last before `timeUs` passes, if that is later than it last did; else 0. */
  dueUs(timeUs: number): number {
    if (this.#periodUs === 0) return 0;
    const dueUs = Math.floor(timeUs / this.#periodUs) * this.#periodUs;
    return dueUs > this.#polledUs ? dueUs : 0;
  }

  /** It asks, unless `atUs` is 0: what comes to pass at this instant it does not see yet. */
  poll(atUs: number): void {
    if (atUs === 0) return;
    this.#polledUs = atUs;
    for (const signals of this.#polled) signals.refresh();
  }
}
