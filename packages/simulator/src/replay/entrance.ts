// Where requests arrive: those that no replica could ever hold are turned away, a router says who gets the others.

import { checkBlockSizes, contentIn } from "../engine/block-content.ts";
import type { ResolvedDeployment } from "../engine/deployment.ts";
import type { StepObserver } from "../metrics/step-observer.ts";
import type { ReplicaSignals, Router } from "../routing/router.ts";
import type { Trace, TraceRequest } from "../trace/trace.ts";
import type { Fleet } from "./fleet.ts";
import type { ReplicaRunner } from "./replica-runner.ts";

export interface EntranceParts {
  readonly trace: Trace;
  readonly deployment: ResolvedDeployment;
  readonly fleet: Fleet;
  readonly router: Router;
  /** Of all replicas, as the router sees them. */
  readonly signals: readonly ReplicaSignals[];
  readonly runner: ReplicaRunner;
  readonly observer: StepObserver;
}

export class Entrance {
  arrived = 0;
  rejected = 0;
  peakConcurrency = 0;
  readonly #parts: EntranceParts;
  /** Of the replicas that get what arrives. */
  readonly #signals: readonly ReplicaSignals[];

  /** @throws DeploymentError when blocks of the KV cache and of the trace do not nest */
  constructor(parts: EntranceParts) {
    const { trace, deployment, fleet, signals } = parts;
    this.#parts = parts;
    this.#signals = signals.slice(0, fleet.entryReplicas);
    checkBlockSizes(trace.blockTokens, deployment.description.blockSizeTokens);
  }

  /** Requests that are with a replica, or on their way between two. */
  get inFlight(): number {
    return this.arrived - this.rejected - this.#parts.observer.completed;
  }

  take({ inputTokens, outputTokens, content }: TraceRequest, arrivalUs: number): void {
    const { trace, deployment, fleet, router, runner, observer } = this.#parts;
    const id = this.arrived++;
    if (!this.#canEverFit(inputTokens, outputTokens)) {
      this.rejected++;
      observer.requestRejected(id, arrivalUs, inputTokens, outputTokens);
      return;
    }
    const cacheContent = contentIn(content, trace.blockTokens, deployment.description.blockSizeTokens);
    const replica = fleet.replicas[router.route(this.#signals, cacheContent, inputTokens)]!;
    runner.wake(replica, arrivalUs);
    replica.desk.accept(id, arrivalUs, inputTokens, outputTokens, cacheContent);
    if (this.inFlight > this.peakConcurrency) this.peakConcurrency = this.inFlight;
  }

  /** The last token is sampled but its KV is never computed; drafts behind the one before it are. */
  #canEverFit(inputTokens: number, outputTokens: number): boolean {
    const { deployment, fleet } = this.#parts;
    const { limits, description } = deployment;
    const drafted = inputTokens + outputTokens - 1 + (outputTokens > 1 ? (description.speculation?.tokens ?? 0) : 0);
    const kvTokens = Math.max(inputTokens + outputTokens - 1, Math.min(drafted, limits.maxContextTokens - 1));
    return (
      inputTokens + outputTokens <= limits.maxContextTokens &&
      Math.ceil(kvTokens / description.blockSizeTokens) <= fleet.usableBlocks
    );
  }
}
