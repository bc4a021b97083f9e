// Replicas that have nothing to do with one another between two arrivals: each runs on its own up to the next one.

import type { Replica } from "../engine/replica.ts";
import { EventQueue } from "../events/event-queue.ts";
import type { SignalPolls } from "../routing/signal-polls.ts";
import type { Fleet } from "./fleet.ts";
import { type ReplayClock, STEPS_PER_TURN } from "./replay-clock.ts";
import type { ReplicaRunner } from "./replica-runner.ts";

export class IndependentRunner implements ReplicaRunner {
  readonly #replicas: readonly Replica[];
  readonly #polls: SignalPolls;
  readonly #clock: ReplayClock;
  /** When each replica with work has to be looked at next. */
  readonly #wakes = new EventQueue();

  constructor({ replicas }: Fleet, polls: SignalPolls, clock: ReplayClock) {
    this.#replicas = replicas;
    this.#polls = polls;
    this.#clock = clock;
  }

  wake(replica: Replica, atUs: number): void {
    if (replica.outstanding === 0 && !replica.isBusy) this.#wakes.push(atUs, replica.index);
  }

  runUntil(arrivalUs: number): boolean {
    const pollUs = this.#polls.dueUs(arrivalUs);
    if (pollUs > 0) {
      if (!this.#run(pollUs)) return false;
      this.#polls.poll(pollUs);
    }
    return this.#run(arrivalUs);
  }

  runOut(): boolean {
    return this.#run(Number.POSITIVE_INFINITY);
  }

  #run(horizonUs: number): boolean {
    const wakes = this.#wakes;
    const clock = this.#clock;
    while (wakes.nextTimeUs < horizonUs) {
      clock.nowUs = wakes.nextTimeUs;
      const index = wakes.pop();
      const nextUs = this.#replicas[index]!.run(clock.nowUs, horizonUs, STEPS_PER_TURN);
      if (nextUs !== Number.POSITIVE_INFINITY) wakes.push(nextUs, index);
      const isBreathDue = clock.isBreathDue();
      if (clock.isStopped) return true;
      if (isBreathDue) return false;
    }
    if (horizonUs !== Number.POSITIVE_INFINITY) clock.nowUs = horizonUs;
    return true;
  }
}
