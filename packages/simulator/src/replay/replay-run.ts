// Everything that takes part in one replay, put together from its options.

import { type ResolvedDeployment, resolveDeployment } from "../engine/deployment.ts";
import { StepObserver } from "../metrics/step-observer.ts";
import { RandomStream } from "../random.ts";
import { ROUTERS } from "../routing/routers.ts";
import { SignalPolls } from "../routing/signal-polls.ts";
import { CoupledRunner } from "./coupled-runner.ts";
import { Entrance } from "./entrance.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import { IndependentRunner } from "./independent-runner.ts";
import { ReplayClock } from "./replay-clock.ts";
import { RECORD_LIMIT, type ReplayOptions } from "./replay-options.ts";
import type { ReplicaRunner } from "./replica-runner.ts";

export interface ReplayRun {
  readonly options: ReplayOptions;
  readonly deployment: ResolvedDeployment;
  readonly observer: StepObserver;
  readonly fleet: Fleet;
  readonly clock: ReplayClock;
  readonly runner: ReplicaRunner;
  readonly entrance: Entrance;
  /** In real time. */
  readonly startedAt: Date;
  readonly startedMs: number;
}

/**
 * @throws DeploymentError when the deployment cannot be
 * @throws RangeError for numbers of timers or of concurrent requests that make no sense
 */
export function setUp(options: ReplayOptions): ReplayRun {
  const startedAt = new Date();
  const startedMs = performance.now();
  const { trace, seed = 0, concurrency, signal, onProgress } = options;
  if (concurrency !== undefined && !(concurrency >= 1)) {
    throw new RangeError(`concurrency is ${concurrency}, expected at least 1`);
  }
  const deployment = resolveDeployment(options.deployment);
  const observer = observerOf(options, deployment);
  const fleet = createFleet(options, deployment, observer);
  const polls = new SignalPolls(fleet.replicas, deployment.description.routerStalenessMs ?? 0);
  const clock = new ReplayClock(signal, (simulatedUs) =>
    onProgress?.({ arrived: entrance.arrived, completed: observer.completed, simulatedUs }),
  );
  const isFull = concurrency === undefined ? undefined : () => entrance.inFlight >= concurrency;
  const isCoupled = isFull !== undefined || fleet.transfers !== undefined || fleet.unitSize > 1;
  const runner: ReplicaRunner = isCoupled
    ? new CoupledRunner(fleet, polls, clock, isFull)
    : new IndependentRunner(fleet, polls, clock);
  const router = ROUTERS[deployment.router].create(new RandomStream(seed, "router"));
  const entrance: Entrance = new Entrance({
    trace,
    deployment,
    fleet,
    router,
    signals: polls.signals,
    runner,
    observer,
  });
  return { options, deployment, observer, fleet, clock, runner, entrance, startedAt, startedMs };
}

function observerOf(options: ReplayOptions, { description }: ResolvedDeployment): StepObserver {
  const { moe } = options.deployment.model;
  const { replicas, tensorParallel, pipelineParallel = 1, expertParallel = tensorParallel } = description;
  return new StepObserver({
    onStep: options.onStep,
    slo: description.slo,
    seriesLimit: Math.max(options.seriesLimit ?? 20_000, 2 * replicas),
    recordLimit: options.recordLimit ?? RECORD_LIMIT,
    recordSteps: options.recordSteps ?? [],
    metricsOnly: options.metricsOnly ?? false,
    stages: pipelineParallel,
    areStepsShared: expertParallel > tensorParallel,
    expertShare: moe === undefined ? 0 : moe.expertsPerToken / moe.experts,
  });
}
