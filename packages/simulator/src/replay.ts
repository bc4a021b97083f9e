// Replays a trace on a deployment: arrivals are routed to replicas, replicas run steps, a step timer says how long each
// takes. The result is a function of trace, deployment, timer and seed alone.

import type { Generator } from "@isochron/planner";
import type { CreateBatchingPolicy } from "./batching/batching-policy.ts";
import { BATCHING_POLICIES } from "./batching/policies.ts";
import type { Report } from "./documents/report.ts";
import { checkBlockSizes, contentIn } from "./engine/block-content.ts";
import {
  DeploymentError,
  type DeploymentOptions,
  type ResolvedDeployment,
  resolveDeployment,
} from "./engine/deployment.ts";
import { deploymentWarnings } from "./engine/deployment-warnings.ts";
import { ExpertGroup } from "./engine/expert-group.ts";
import { type HandedOver, KvTransfers } from "./engine/kv-transfers.ts";
import { Replica } from "./engine/replica.ts";
import { RequestTable } from "./engine/request-table.ts";
import { Acceptance, draftingTimer } from "./engine/speculation.ts";
import { EventQueue } from "./events/event-queue.ts";
import { KvCache } from "./kv-cache/kv-cache.ts";
import type { StepName } from "./metrics/batch-keeper.ts";
import { type ReplayedStep, StepObserver } from "./metrics/step-observer.ts";
import { summarize, utilisationPeaks } from "./metrics/summarize.ts";
import { rankKvBytesPerToken } from "./model/model-cost.ts";
import { modelStages } from "./model/model-stages.ts";
import { RandomStream } from "./random.ts";
import { leastOutstanding } from "./routing/least-outstanding.ts";
import type { ReplicaSignals, Router } from "./routing/router.ts";
import { ROUTERS } from "./routing/routers.ts";
import { StaleSignals } from "./routing/stale-signals.ts";
import type { StepTimer } from "./step.ts";
import type { Trace, TraceRequest } from "./trace/trace.ts";

export interface ReplayProgress {
  readonly arrived: number;
  readonly completed: number;
  /** How far the simulated clock is. */
  readonly simulatedUs: number;
}

export interface ReplayOptions {
  readonly trace: Trace;
  readonly deployment: DeploymentOptions;
  /** One for all replicas, or one for each. */
  readonly stepTimer: StepTimer | readonly StepTimer[];
  readonly seed?: number | undefined;
  /** What the report says made it. */
  readonly generator?: Generator | undefined;
  /**
   * Closed loop: so many requests are in flight, the next one is sent at the instant another ends, and the trace's times
   * are ignored. Default: open loop.
   */
  readonly concurrency?: number | undefined;
  /** A batching policy of one's own, in place of the deployment's. */
  readonly batchingPolicy?: { readonly name: string; readonly create: CreateBatchingPolicy } | undefined;
  /** Stops the replay: the report is then partial. */
  readonly signal?: AbortSignal | undefined;
  /** Called some times a second. */
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined;
  /** Called as each step begins, in order within each replica; the timing is the step timer's own and is overwritten. */
  readonly onStep?: ((step: ReplayedStep) => void) | undefined;
  /** Most entries of the per-step series. Default 20,000. */
  readonly seriesLimit?: number | undefined;
  /** Replays of more requests keep no per-request records. Default 1,000,000. */
  readonly recordLimit?: number | undefined;
  /** Steps whose batches are to be in the report, whatever they are like. */
  readonly recordSteps?: readonly StepName[] | undefined;
  /**
   * Metrics and warnings are all that is wanted: series, curve, batches and records stay empty, which saves a fifth of the time of
   * a short replay. Default false.
   */
  readonly metricsOnly?: boolean | undefined;
}

/** Chosen: a breath every few milliseconds of real time, so that signals and progress get through. */
const STEPS_PER_TURN = 10_000;
/** Beyond it a float64 no longer tells two microseconds apart. */
const MAX_CLOCK_US = 2 ** 53;
const BREATH_MS = 40;
/** Of per-request records: some hundred MB of report. */
const RECORD_LIMIT = 1_000_000;

/**
 * @throws DeploymentError when the deployment cannot be
 * @throws TraceError when the trace cannot be read
 */
export async function replay(options: ReplayOptions): Promise<Report> {
  const run = new ReplayRun(options);
  await run.run();
  return run.report();
}

class ReplayRun {
  readonly #options: ReplayOptions;
  readonly #deployment: ResolvedDeployment;
  readonly #observer: StepObserver;
  readonly #replicas: Replica[];
  readonly #router: Router;
  /** Where arrivals go: all replicas, or those that compute prompts. */
  readonly #entryReplicas: Replica[];
  /** Replicas as routers see them. */
  readonly #signals: readonly ReplicaSignals[];
  readonly #entrySignals: readonly ReplicaSignals[];
  /** The same, where routers see what they asked for a while ago. */
  readonly #polled: readonly StaleSignals[];
  readonly #pollPeriodUs: number;
  #polledUs = 0;
  readonly #transfers: KvTransfers | undefined;
  /** Whether replicas depend on one another between two arrivals. */
  readonly #isCoupled: boolean;
  readonly #timers: readonly StepTimer[];
  /** When each replica with work has to be looked at next. */
  readonly #wakes = new EventQueue();
  /** What takes steps by itself where replicas depend on one another: each of them, or groups that share experts. */
  readonly #units: readonly (Replica | ExpertGroup)[];
  /** Replicas in each. */
  readonly #groupSize: number;
  /** Those of them that may have work and have no step in flight. */
  readonly #between = new Set<number>();
  /** Blocks that requests can hold: vLLM keeps one as a placeholder. */
  readonly #usableBlocks: number;
  readonly #startedAt = new Date();
  readonly #startedMs = performance.now();
  #breathMs = performance.now();
  #nowUs = 0;
  #arrived = 0;
  #rejected = 0;
  #peakConcurrency = 0;
  #isPartial = false;

  constructor(options: ReplayOptions) {
    this.#options = options;
    const { trace, seed = 0 } = options;
    this.#deployment = resolveDeployment(options.deployment);
    const { description, limits, router, batching } = this.#deployment;
    const { replicas, blockSizeTokens, tensorParallel, expertParallel = tensorParallel } = description;
    const groupSize = expertParallel / tensorParallel;
    const { moe } = options.deployment.model;
    const timers = Array.isArray(options.stepTimer) ? options.stepTimer : [options.stepTimer];
    if (timers.length !== 1 && timers.length !== replicas) {
      throw new RangeError(`${timers.length} step timers for ${replicas} replicas, expected one or one each`);
    }
    const { speculation } = description;
    this.#timers = speculation === undefined ? timers : timers.map((timer) => draftingTimer(timer, speculation));
    this.#usableBlocks = description.kvBlocks - 1;
    this.#observer = new StepObserver({
      onStep: options.onStep,
      slo: description.slo,
      seriesLimit: Math.max(options.seriesLimit ?? 20_000, 2 * replicas),
      recordLimit: options.recordLimit ?? RECORD_LIMIT,
      recordSteps: options.recordSteps ?? [],
      metricsOnly: options.metricsOnly ?? false,
      stages: description.pipelineParallel ?? 1,
      areStepsShared: groupSize > 1,
      expertShare: moe === undefined ? 0 : moe.expertsPerToken / moe.experts,
    });
    const create = options.batchingPolicy?.create ?? BATCHING_POLICIES[batching].create;
    const blocksPerContent = Math.max(1, Math.floor(trace.blockTokens / blockSizeTokens));
    this.#replicas = Array.from({ length: replicas }, (_, index) => {
      const requests = new RequestTable();
      const kvCache = new KvCache({
        blocks: this.#usableBlocks,
        blockSizeTokens,
        blocksPerContent,
        prefixCaching: description.prefixCaching,
      });
      return new Replica({
        index,
        requests,
        kvCache,
        policy: create({ requests: requests.visible, kvCache, limits }),
        maxRunningRequests: limits.maxRunningRequests,
        maxContextTokens: limits.maxContextTokens,
        asyncScheduling: description.asyncScheduling ?? false,
        stages: description.pipelineParallel ?? 1,
        stepTimer: this.#timers[index % timers.length]!,
        observer: this.#observer,
        speculation:
          speculation === undefined
            ? undefined
            : { tokens: speculation.tokens, acceptance: new Acceptance(seed, speculation.acceptanceRate) },
      });
    });
    this.#units =
      groupSize === 1
        ? this.#replicas
        : Array.from(
            { length: replicas / groupSize },
            (_, i) => new ExpertGroup(this.#replicas.slice(i * groupSize, (i + 1) * groupSize)),
          );
    this.#groupSize = groupSize;
    const { disaggregation, routerStalenessMs = 0 } = description;
    this.#pollPeriodUs = routerStalenessMs * 1000;
    this.#polled = routerStalenessMs > 0 ? this.#replicas.map((replica) => new StaleSignals(replica)) : [];
    this.#signals = routerStalenessMs > 0 ? this.#polled : this.#replicas;
    this.#entryReplicas = this.#replicas.slice(0, disaggregation?.prefillReplicas ?? replicas);
    this.#entrySignals = this.#signals.slice(0, this.#entryReplicas.length);
    if (disaggregation !== undefined) {
      const { model } = options.deployment;
      // All stages send at the same time.
      const bytesPerToken = Math.max(
        ...modelStages(model, description.pipelineParallel ?? 1).map((stage) =>
          rankKvBytesPerToken(model, description.tensorParallel, stage),
        ),
      );
      const { kvTransferGBps: bandwidthGBps, kvTransferLatencyUs: latencyUs } = disaggregation;
      this.#transfers = new KvTransfers({ bandwidthGBps, latencyUs }, bytesPerToken, replicas);
      for (const replica of this.#entryReplicas) replica.desk.handOver = (request) => this.#handOver(request);
    }
    this.#isCoupled = options.concurrency !== undefined || disaggregation !== undefined || groupSize > 1;
    this.#router = ROUTERS[router].create(new RandomStream(seed, "router"));
    if (options.concurrency !== undefined && !(options.concurrency >= 1)) {
      throw new RangeError(`concurrency is ${options.concurrency}, expected at least 1`);
    }
    checkBlockSizes(trace.blockTokens, blockSizeTokens);
  }

  async run(): Promise<void> {
    if (this.#options.concurrency !== undefined) await this.#runClosedLoop(this.#options.concurrency);
    else if (this.#isCoupled) await this.#runCoupled();
    else await this.#runOpenLoop();
    if (!this.#isPartial) this.#checkEnd();
  }

  async #runOpenLoop(): Promise<void> {
    for await (const requests of this.#options.trace.chunks()) {
      for (const request of requests) {
        const pollUs = this.#pollDueUs(request.arrivalUs);
        if (pollUs > 0) {
          while (!this.#runUntil(pollUs)) await this.#breathe();
          this.#poll(pollUs);
        }
        while (!this.#runUntil(request.arrivalUs)) await this.#breathe();
        if (this.#isPartial) return;
        this.#arrive(request);
      }
    }
    while (!this.#runUntil(Number.POSITIVE_INFINITY)) await this.#breathe();
  }

  /** Open loop where replicas hand requests to one another or step together, so that events come to pass in the order of all. */
  async #runCoupled(): Promise<void> {
    for await (const requests of this.#options.trace.chunks()) {
      for (const request of requests) {
        // Arrivals of one instant come before any step that begins at it.
        while (this.#nowUs < request.arrivalUs && (await this.#passEvent(request.arrivalUs)));
        if (this.#isPartial) return;
        this.#poll(this.#pollDueUs(request.arrivalUs));
        this.#nowUs = request.arrivalUs;
        this.#arrive(request);
      }
    }
    while (await this.#passEvent(Number.POSITIVE_INFINITY));
  }

  async #runClosedLoop(concurrency: number): Promise<void> {
    for await (const requests of this.#options.trace.chunks()) {
      for (const request of requests) {
        while (this.#inFlight() >= concurrency) await this.#passEvent(Number.POSITIVE_INFINITY);
        if (this.#isPartial) return;
        this.#arrive({ ...request, arrivalUs: this.#nowUs });
      }
    }
    while (await this.#passEvent(Number.POSITIVE_INFINITY));
  }

  #inFlight(): number {
    // A replay that was stopped takes no more.
    return this.#isPartial ? 0 : this.#arrived - this.#rejected - this.#observer.completed;
  }

  /**
   * Starts steps on those that stand between two; then the earliest event before the horizon comes to pass. False when
   * there is none, or the replay was stopped.
   */
  async #passEvent(horizonUs: number): Promise<boolean> {
    const wakes = this.#wakes;
    for (const index of this.#between) {
      const endUs = this.#units[index]!.begin(this.#nowUs);
      if (endUs !== Number.POSITIVE_INFINITY) wakes.push(endUs, index);
    }
    this.#between.clear();
    if (this.#isPartial || wakes.nextTimeUs >= horizonUs) return false;
    this.#poll(this.#pollDueUs(wakes.nextTimeUs));
    this.#nowUs = wakes.nextTimeUs;
    const event = wakes.pop();
    if (event >= 0) {
      if (!this.#repeat(event, Math.min(horizonUs, wakes.nextTimeUs))) {
        this.#units[event]!.end(this.#nowUs);
        this.#between.add(event);
      }
    } else this.#arriveTransferred(this.#transfers!.receive(-1 - event));
    if (this.#isBreathDue()) await this.#breathe();
    return true;
  }

  /** Passes over events of a replica's steps that repeat, where nobody looks at it before the horizon. False where there are none. */
  #repeat(event: number, horizonUs: number): boolean {
    if (this.#groupSize > 1 || this.#pollPeriodUs > 0) return false;
    const replica = this.#replicas[event]!;
    if (replica.repeat(horizonUs, STEPS_PER_TURN) === 0) return false;
    this.#wakes.push(replica.actsUs, event);
    return true;
  }

  /** When routers ask last before `timeUs` passes, if that is later than they last did; else 0. */
  #pollDueUs(timeUs: number): number {
    if (this.#pollPeriodUs === 0) return 0;
    const dueUs = Math.floor(timeUs / this.#pollPeriodUs) * this.#pollPeriodUs;
    return dueUs > this.#polledUs ? dueUs : 0;
  }

  /** Routers ask: what comes to pass at this instant they do not see yet. */
  #poll(atUs: number): void {
    if (atUs === 0) return;
    this.#polledUs = atUs;
    for (const signals of this.#polled) signals.refresh();
  }

  /** Whoever ended has given back what it held. */
  #checkEnd(): void {
    for (const { index, requests, kvCache } of this.#replicas) {
      if (requests.count === 0 && kvCache.usedBlocks === 0) continue;
      throw new Error(`replica ${index} ended with ${requests.count} requests and ${kvCache.usedBlocks} used blocks`);
    }
  }

  /** Runs all replicas until nothing more happens before the horizon, or it is stopped. False: not yet, it is time for a breath. */
  #runUntil(horizonUs: number): boolean {
    const wakes = this.#wakes;
    while (wakes.nextTimeUs < horizonUs) {
      const atUs = wakes.nextTimeUs;
      const index = wakes.pop();
      const nextUs = this.#replicas[index]!.run(atUs, horizonUs, STEPS_PER_TURN);
      if (nextUs !== Number.POSITIVE_INFINITY) wakes.push(nextUs, index);
      this.#nowUs = atUs;
      const isBreathDue = this.#isBreathDue();
      if (this.#isPartial) return true;
      if (isBreathDue) return false;
    }
    if (horizonUs !== Number.POSITIVE_INFINITY) this.#nowUs = horizonUs;
    else this.#nowUs = this.#observer.lastTokenUs;
    return true;
  }

  /** Also looks for the signal to stop, and whether the clock still resolves a step. */
  #isBreathDue(): boolean {
    if (this.#nowUs > MAX_CLOCK_US) {
      throw new DeploymentError(
        "the simulated clock",
        `${this.#nowUs} µs`,
        "at most 285 years: steps or arrivals less far apart",
      );
    }
    if (this.#options.signal?.aborted === true) this.#isPartial = true;
    return performance.now() - this.#breathMs > BREATH_MS;
  }

  /** Lets the rest of the program do something. */
  async #breathe(): Promise<void> {
    this.#options.onProgress?.({
      arrived: this.#arrived,
      completed: this.#observer.completed,
      simulatedUs: this.#nowUs,
    });
    await new Promise((resolve) => setImmediate(resolve));
    this.#breathMs = performance.now();
  }

  #arrive(request: TraceRequest): void {
    const { arrivalUs, inputTokens, outputTokens } = request;
    const id = this.#arrived++;
    if (!this.#canEverFit(inputTokens, outputTokens)) {
      this.#rejected++;
      this.#observer.requestRejected(id, arrivalUs, inputTokens, outputTokens);
      return;
    }
    const content = contentIn(
      request.content,
      this.#options.trace.blockTokens,
      this.#replicas[0]!.kvCache.blockSizeTokens,
    );
    const index = this.#router.route(this.#entrySignals, content, inputTokens);
    const replica = this.#replicas[index]!;
    if (this.#isCoupled) this.#wakeUp(replica);
    else if (replica.outstanding === 0 && !replica.isBusy) this.#wakes.push(arrivalUs, index);
    replica.desk.accept(id, arrivalUs, inputTokens, outputTokens, content);
    const concurrency = this.#replicas.reduce((sum, { outstanding }) => sum + outstanding, 0);
    if (concurrency > this.#peakConcurrency) this.#peakConcurrency = concurrency;
  }

  #wakeUp(replica: Replica): void {
    const unit = Math.floor(replica.index / this.#groupSize);
    if (!this.#units[unit]!.isBusy) this.#between.add(unit);
  }

  #handOver(request: HandedOver): void {
    const { transfer, arrivesUs } = this.#transfers!.send(request, this.#nowUs);
    this.#wakes.push(arrivesUs, -1 - transfer);
  }

  #arriveTransferred(request: HandedOver): void {
    const from = this.#replicas[request.from]!;
    from.desk.releaseGivenAway(request.slot);
    this.#wakeUp(from);
    const decoders = this.#replicas.slice(this.#entryReplicas.length);
    const to = decoders[leastOutstanding(this.#signals.slice(this.#entryReplicas.length))]!;
    this.#wakeUp(to);
    to.desk.acceptTransferred(request);
  }

  /** The last token is sampled but its KV is never computed; drafts behind the one before it are. */
  #canEverFit(inputTokens: number, outputTokens: number): boolean {
    const { limits, description } = this.#deployment;
    const drafted = inputTokens + outputTokens - 1 + (outputTokens > 1 ? (description.speculation?.tokens ?? 0) : 0);
    const kvTokens = Math.max(inputTokens + outputTokens - 1, Math.min(drafted, limits.maxContextTokens - 1));
    return (
      inputTokens + outputTokens <= limits.maxContextTokens &&
      Math.ceil(kvTokens / description.blockSizeTokens) <= this.#usableBlocks
    );
  }

  report(): Report {
    const { trace, deployment, generator, seed = 0, batchingPolicy, concurrency, metricsOnly = false } = this.#options;
    const observer = this.#observer;
    let unfinished = 0;
    for (const { index, requests } of this.#replicas) {
      for (const slot of requests.slots()) {
        unfinished++;
        observer.requestUnfinished(index, requests, slot);
      }
    }
    const endUs = this.#isPartial ? Math.max(this.#nowUs, observer.lastTokenUs) : observer.lastTokenUs;
    const { description } = this.#deployment;
    // The curve first: the summary's percentiles are among its own, found in the same pass.
    const itlCurveMs = metricsOnly ? undefined : observer.itlUs.curve(1e-3);
    const metrics = summarize(
      observer,
      {
        rejected: this.#rejected,
        unfinished,
        peakConcurrency: this.#peakConcurrency,
        endUs,
        kvBlocks: this.#usableBlocks,
        hasSlo: Object.values(description.slo).some((limit) => limit !== undefined),
        kvTransfers: this.#transfers?.summary(endUs, this.#entryReplicas.length),
      },
      utilisationPeaks(deployment.model, deployment.gpu, description),
    );
    const requests = metricsOnly ? undefined : observer.requests.series();
    const wallMs = performance.now() - this.#startedMs;
    return {
      isochron: "report/1",
      generator: generator ?? { version: "0.1.0", command: "replay", seed },
      partial: this.#isPartial,
      trace: { ...trace.identity(), ...(this.#isPartial ? { requestsUsed: this.#arrived } : {}) },
      deployment: {
        ...description,
        ...(batchingPolicy === undefined ? {} : { batching: batchingPolicy.name }),
        stepTimer: this.#timers[0]!.name,
        rate: trace.rate,
        ...(concurrency === undefined ? {} : { concurrency }),
      },
      metrics,
      ...(itlCurveMs === undefined ? {} : { itlCurveMs }),
      steps: observer.steps.series(),
      stepStride: observer.steps.stride,
      stepBatches: observer.batches.batches(metrics.ttftMs),
      ...(requests === undefined ? {} : { requests }),
      warnings: this.#warnings(),
      wallClock: {
        startedAt: this.#startedAt.toISOString(),
        durationMs: wallMs,
        requestsPerSecond: this.#arrived / (wallMs / 1000),
      },
    };
  }

  #warnings(): string[] {
    const { limits, description } = this.#deployment;
    const warnings = [
      ...this.#options.trace.warnings(),
      ...deploymentWarnings(this.#options.deployment, this.#deployment, {
        usableBlocks: this.#usableBlocks,
        timer: this.#timers[0]!.name,
      }),
    ];
    if (this.#rejected > 0) {
      const kvTokens = this.#usableBlocks * description.blockSizeTokens;
      const text = (value: number): string => value.toLocaleString("en-US");
      warnings.push(
        `${text(this.#rejected)} ${this.#rejected === 1 ? "request" : "requests"} rejected: longer than the context of ${text(limits.maxContextTokens)} tokens or the KV cache of ${text(kvTokens)}`,
      );
    }
    if (this.#isPartial) warnings.push("stopped before its end: unfinished requests are in no latency");
    const { recordLimit = RECORD_LIMIT } = this.#options;
    if (this.#arrived > recordLimit) {
      warnings.push(`no per-request records: more than ${recordLimit.toLocaleString("en-US")} requests`);
    }
    const { ttftUs, tpotUs, itlUs, e2eUs, queueUs } = this.#observer;
    if (![ttftUs, tpotUs, itlUs, e2eUs, queueUs].every(({ isExact }) => isExact)) {
      warnings.push("some percentiles come from histograms with bins of 0.1 %");
    }
    return warnings;
  }
}
