// Replicas that hand requests to one another, step together, or whose answers bring the next requests: what happens comes to
// pass in the order of all.

import type { HandedOver } from "../engine/kv-transfers.ts";
import type { Replica } from "../engine/replica.ts";
import { EventQueue } from "../events/event-queue.ts";
import { leastOutstanding } from "../routing/least-outstanding.ts";
import type { ReplicaSignals } from "../routing/router.ts";
import type { SignalPolls } from "../routing/signal-polls.ts";
import type { Fleet } from "./fleet.ts";
import { type ReplayClock, STEPS_PER_TURN } from "./replay-clock.ts";
import type { ReplicaRunner } from "./replica-runner.ts";

export class CoupledRunner implements ReplicaRunner {
  readonly #fleet: Fleet;
  readonly #polls: SignalPolls;
  readonly #clock: ReplayClock;
  readonly #isFull: (() => boolean) | undefined;
  /** Ends of steps, by unit; arrivals of transfers, as −1 less their number. */
  readonly #events = new EventQueue();
  /** Units that may have work and have no step in flight. */
  readonly #between = new Set<number>();
  /** Replicas that go on with what others began, and what is seen of them. */
  readonly #decoders: readonly Replica[];
  readonly #decoderSignals: readonly ReplicaSignals[];

  /** `isFull`, for a closed loop: whether the next request has to wait for another to end. Arrival times are then ignored. */
  constructor(fleet: Fleet, polls: SignalPolls, clock: ReplayClock, isFull?: () => boolean) {
    this.#fleet = fleet;
    this.#polls = polls;
    this.#clock = clock;
    this.#isFull = isFull;
    const { replicas, entryReplicas, transfers } = fleet;
    this.#decoders = replicas.slice(entryReplicas);
    this.#decoderSignals = polls.signals.slice(entryReplicas);
    if (transfers === undefined) return;
    for (const { desk } of replicas.slice(0, entryReplicas)) {
      desk.handOver = (request) => {
        const { transfer, arrivesUs } = transfers.send(request, clock.nowUs);
        this.#events.push(arrivesUs, -1 - transfer);
      };
    }
  }

  wake(replica: Replica): void {
    const unit = Math.floor(replica.index / this.#fleet.unitSize);
    if (!this.#fleet.units[unit]!.isBusy) this.#between.add(unit);
  }

  runUntil(arrivalUs: number): boolean {
    const clock = this.#clock;
    if (this.#isFull !== undefined) return this.#runWhile(this.#isFull, Number.POSITIVE_INFINITY);
    // Arrivals of one instant come before any step that begins at it.
    if (!this.#runWhile(() => clock.nowUs < arrivalUs, arrivalUs)) return false;
    if (clock.isStopped) return true;
    this.#polls.poll(this.#polls.dueUs(arrivalUs));
    clock.nowUs = arrivalUs;
    return true;
  }

  runOut(): boolean {
    return this.#runWhile(() => true, Number.POSITIVE_INFINITY);
  }

  #runWhile(holds: () => boolean, horizonUs: number): boolean {
    while (holds() && this.#passEvent(horizonUs)) if (this.#clock.isBreathDue()) return false;
    return true;
  }

  /**
   * Starts steps on the units that stand between two; then the earliest event before the horizon comes to pass. False when
   * there is none, or the replay was stopped.
   */
  #passEvent(horizonUs: number): boolean {
    const events = this.#events;
    const clock = this.#clock;
    const { units, transfers } = this.#fleet;
    if (clock.isStopped) return false;
    for (const index of this.#between) {
      const endUs = units[index]!.begin(clock.nowUs);
      if (endUs !== Number.POSITIVE_INFINITY) events.push(endUs, index);
    }
    this.#between.clear();
    if (events.nextTimeUs >= horizonUs) return false;
    this.#polls.poll(this.#polls.dueUs(events.nextTimeUs));
    clock.nowUs = events.nextTimeUs;
    const event = events.pop();
    if (event < 0) this.#arriveTransferred(transfers!.receive(-1 - event));
    else if (!this.#repeat(event, Math.min(horizonUs, events.nextTimeUs))) {
      units[event]!.end(clock.nowUs);
      this.#between.add(event);
    }
    return true;
  }

  /** Passes over events of a replica's steps that repeat, where nobody looks at it before the horizon. False where there are none. */
  #repeat(event: number, horizonUs: number): boolean {
    const { replicas, unitSize } = this.#fleet;
    if (unitSize > 1 || this.#polls.arePolled) return false;
    const replica = replicas[event]!;
    if (replica.repeat(horizonUs, STEPS_PER_TURN) === 0) return false;
    this.#events.push(replica.actsUs, event);
    return true;
  }

  #arriveTransferred(request: HandedOver): void {
    const from = this.#fleet.replicas[request.from]!;
    from.desk.releaseGivenAway(request.slot);
    this.wake(from);
    const to = this.#decoders[leastOutstanding(this.#decoderSignals)]!;
    this.wake(to);
    to.desk.acceptTransferred(request);
  }
}
