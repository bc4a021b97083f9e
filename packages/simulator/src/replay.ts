// Replays a trace on a deployment: arrivals are routed to replicas, replicas run steps, a step timer says how long each
// takes. The result is a function of trace, deployment, timer and seed alone.

import type { Generator } from "@isochron/planner";
import type { CreateBatchingPolicy } from "./batching/batching-policy.ts";
import { BATCHING_POLICIES } from "./batching/policies.ts";
import type { Report } from "./documents/report.ts";
import { type DeploymentOptions, type ResolvedDeployment, resolveDeployment } from "./engine/deployment.ts";
import { Replica } from "./engine/replica.ts";
import { RequestTable } from "./engine/request-table.ts";
import { EventQueue } from "./events/event-queue.ts";
import { KvCache } from "./kv-cache/kv-cache.ts";
import type { StepName } from "./metrics/batch-keeper.ts";
import { UNFINISHED } from "./metrics/request-series.ts";
import { StepObserver } from "./metrics/step-observer.ts";
import { summarize, type UtilisationPeaks } from "./metrics/summarize.ts";
import {
  attentionFlopsPerPair,
  DTYPE_BYTES,
  flopsPerToken,
  headFlops,
  rankKvBytesPerToken,
  rankWeightBytes,
} from "./model/model-cost.ts";
import { RandomStream } from "./random.ts";
import type { Router } from "./routing/router.ts";
import { ROUTERS } from "./routing/routers.ts";
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
  /** For the report: the rate that the trace was opened with. */
  readonly rate?: number | undefined;
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
  /** Most entries of the per-step series. Default 20,000. */
  readonly seriesLimit?: number | undefined;
  /** Replays of more requests keep no per-request records. Default 1,000,000. */
  readonly recordLimit?: number | undefined;
  /** Steps whose batches are to be in the report, whatever they are like. */
  readonly recordSteps?: readonly StepName[] | undefined;
}

/** Chosen: a breath every few milliseconds of real time, so that signals and progress get through. */
const STEPS_PER_TURN = 10_000;
const BREATH_MS = 40;

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
  readonly #timers: readonly StepTimer[];
  /** When each replica with work has to be looked at next. */
  readonly #wakes = new EventQueue();
  /** Closed loop: replicas with work and no step in flight. */
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
    const { replicas, blockSizeTokens } = description;
    const timers = Array.isArray(options.stepTimer) ? options.stepTimer : [options.stepTimer];
    if (timers.length !== 1 && timers.length !== replicas) {
      throw new RangeError(`${timers.length} step timers for ${replicas} replicas, expected one or one each`);
    }
    this.#timers = timers;
    this.#usableBlocks = description.kvBlocks - 1;
    this.#observer = new StepObserver({
      slo: description.slo,
      seriesLimit: Math.max(options.seriesLimit ?? 20_000, 2 * replicas),
      recordLimit: options.recordLimit ?? 1_000_000,
      recordSteps: options.recordSteps ?? [],
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
        stepTimer: timers[index % timers.length]!,
        observer: this.#observer,
      });
    });
    this.#router = ROUTERS[router].create(new RandomStream(seed, "router"));
    if (options.concurrency !== undefined && !(options.concurrency >= 1)) {
      throw new RangeError(`concurrency is ${options.concurrency}, expected at least 1`);
    }
    checkBlockSizes(trace.blockTokens, blockSizeTokens);
  }

  async run(): Promise<void> {
    if (this.#options.concurrency === undefined) await this.#runOpenLoop();
    else await this.#runClosedLoop(this.#options.concurrency);
    if (!this.#isPartial) this.#checkEnd();
  }

  async #runOpenLoop(): Promise<void> {
    for await (const requests of this.#options.trace.chunks()) {
      for (const request of requests) {
        if (this.#wakes.nextTimeUs < request.arrivalUs) await this.#runUntil(request.arrivalUs);
        if (this.#isPartial) return;
        this.#arrive(request);
      }
    }
    await this.#runUntil(Number.POSITIVE_INFINITY);
  }

  /** Replicas depend on one another through the client, so steps end one at a time, in the order of all. */
  async #runClosedLoop(concurrency: number): Promise<void> {
    for await (const requests of this.#options.trace.chunks()) {
      for (const request of requests) {
        while (this.#inFlight() >= concurrency) await this.#endNextStep();
        if (this.#isPartial) return;
        this.#arrive({ ...request, arrivalUs: this.#nowUs });
      }
    }
    while (this.#inFlight() > 0 && !this.#isPartial) await this.#endNextStep();
  }

  #inFlight(): number {
    // A replay that was stopped takes no more.
    return this.#isPartial ? 0 : this.#arrived - this.#rejected - this.#observer.completed;
  }

  /** Replicas between two steps start the next one; then the earliest end of a step comes to pass. */
  async #endNextStep(): Promise<void> {
    for (const index of this.#between) {
      const endUs = this.#replicas[index]!.begin(this.#nowUs);
      if (endUs !== Number.POSITIVE_INFINITY) this.#wakes.push(endUs, index);
    }
    this.#between.clear();
    this.#nowUs = this.#wakes.nextTimeUs;
    const index = this.#wakes.pop();
    this.#replicas[index]!.end();
    this.#between.add(index);
    if (this.#isBreathDue()) await this.#breathe();
  }

  /** Whoever ended has given back what it held. */
  #checkEnd(): void {
    for (const { index, requests, kvCache } of this.#replicas) {
      if (requests.count === 0 && kvCache.usedBlocks === 0) continue;
      throw new Error(`replica ${index} ended with ${requests.count} requests and ${kvCache.usedBlocks} used blocks`);
    }
  }

  /** Runs all replicas until nothing more happens before the horizon. */
  async #runUntil(horizonUs: number): Promise<void> {
    const wakes = this.#wakes;
    while (wakes.nextTimeUs < horizonUs) {
      const atUs = wakes.nextTimeUs;
      const index = wakes.pop();
      const nextUs = this.#replicas[index]!.run(atUs, horizonUs, STEPS_PER_TURN);
      if (nextUs !== Number.POSITIVE_INFINITY) wakes.push(nextUs, index);
      this.#nowUs = atUs;
      if (this.#isBreathDue()) await this.#breathe();
      if (this.#isPartial) return;
    }
    if (horizonUs !== Number.POSITIVE_INFINITY) this.#nowUs = horizonUs;
    else this.#nowUs = this.#observer.lastTokenUs;
  }

  /** Also looks for the signal to stop. */
  #isBreathDue(): boolean {
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
      this.#observer.requests.rejected(id, arrivalUs, inputTokens, outputTokens);
      return;
    }
    const content = contentIn(
      request.content,
      this.#options.trace.blockTokens,
      this.#replicas[0]!.kvCache.blockSizeTokens,
    );
    const index = this.#router.route(this.#replicas, content, inputTokens);
    const replica = this.#replicas[index]!;
    const isIdle = replica.outstanding === 0;
    replica.accept(id, arrivalUs, inputTokens, outputTokens, content);
    if (isIdle) {
      if (this.#options.concurrency === undefined) this.#wakes.push(arrivalUs, index);
      else this.#between.add(index);
    }
    const concurrency = this.#replicas.reduce((sum, { outstanding }) => sum + outstanding, 0);
    if (concurrency > this.#peakConcurrency) this.#peakConcurrency = concurrency;
  }

  /** The last token is sampled but its KV is never computed. */
  #canEverFit(inputTokens: number, outputTokens: number): boolean {
    const { limits, description } = this.#deployment;
    const kvTokens = inputTokens + outputTokens - 1;
    return (
      inputTokens + outputTokens <= limits.maxContextTokens &&
      Math.ceil(kvTokens / description.blockSizeTokens) <= this.#usableBlocks
    );
  }

  report(): Report {
    const { trace, generator, rate = 1, seed = 0, batchingPolicy, concurrency } = this.#options;
    const observer = this.#observer;
    let unfinished = 0;
    for (const { index, requests } of this.#replicas) {
      for (const slot of requests.slots()) {
        unfinished++;
        observer.requests.record(UNFINISHED, index, -1, requests, slot);
      }
    }
    const endUs = this.#isPartial ? Math.max(this.#nowUs, observer.lastTokenUs) : observer.lastTokenUs;
    const { description } = this.#deployment;
    const metrics = summarize(
      observer,
      {
        rejected: this.#rejected,
        unfinished,
        peakConcurrency: this.#peakConcurrency,
        endUs,
        kvBlocks: this.#usableBlocks,
        hasSlo: Object.values(description.slo).some((limit) => limit !== undefined),
      },
      this.#peaks(),
    );
    const requests = observer.requests.series();
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
        rate,
        ...(concurrency === undefined ? {} : { concurrency }),
      },
      metrics,
      steps: observer.steps.series(),
      stepStride: observer.steps.stride,
      stepBatches: observer.batches.batches(metrics.ttftMs),
      ...(requests === undefined ? {} : { requests }),
      warnings: this.#warnings(requests === undefined),
      wallClock: {
        startedAt: this.#startedAt.toISOString(),
        durationMs: wallMs,
        requestsPerSecond: this.#arrived / (wallMs / 1000),
      },
    };
  }

  #warnings(isWithoutRecords: boolean): string[] {
    const warnings = [...this.#options.trace.warnings()];
    const { limits, description } = this.#deployment;
    if (this.#rejected > 0) {
      const kvTokens = this.#usableBlocks * description.blockSizeTokens;
      warnings.push(
        `${this.#rejected} requests rejected: longer than the context of ${limits.maxContextTokens} tokens or the KV cache of ${kvTokens}`,
      );
    }
    if (this.#isPartial) warnings.push("stopped before its end: unfinished requests are in no latency");
    if (isWithoutRecords) {
      warnings.push(`no per-request records: more than ${this.#options.recordLimit ?? 1_000_000} requests`);
    }
    const { ttftUs, tpotUs, itlUs, e2eUs, queueUs } = this.#observer;
    if (![ttftUs, tpotUs, itlUs, e2eUs, queueUs].every(({ isExact }) => isExact)) {
      warnings.push("some percentiles come from histograms with bins of 0.1 %");
    }
    return warnings;
  }

  #peaks(): UtilisationPeaks {
    const { model, gpu } = this.#options.deployment;
    const { tensorParallel } = this.#deployment.description;
    const embeddingBytes = (model.vocabSize * model.hiddenSize * DTYPE_BYTES[model.dtype]) / tensorParallel;
    return {
      flopsPerToken: flopsPerToken(model),
      headFlops: headFlops(model),
      attentionFlopsPerPair: attentionFlopsPerPair(model),
      // A lookup reads single rows of the embedding table.
      weightBytesPerStep: rankWeightBytes(model, tensorParallel) - (model.tiedEmbeddings ? 0 : embeddingBytes),
      kvBytesPerToken: rankKvBytesPerToken(model, tensorParallel),
      peakFlopsPerS: (gpu.peakTensorTflops[model.dtype] ?? 0) * 1e12,
      peakBytesPerS: gpu.memoryBandwidthGBps * 1e9,
      gpus: tensorParallel,
    };
  }
}

function checkBlockSizes(traceBlockTokens: number, blockSizeTokens: number): void {
  if (traceBlockTokens % blockSizeTokens === 0 || blockSizeTokens % traceBlockTokens === 0) return;
  throw new RangeError(
    `blockSizeTokens is ${blockSizeTokens}, expected a divisor or a multiple of the trace's blocks of ${traceBlockTokens} tokens`,
  );
}

/** Where a cache block spans several ids, the last one stands for all: an id means everything up to its end. */
function contentIn(
  content: Int32Array | undefined,
  traceBlockTokens: number,
  blockSizeTokens: number,
): Int32Array | undefined {
  const ids = blockSizeTokens / traceBlockTokens;
  if (content === undefined || !(ids > 1)) return content;
  return Int32Array.from({ length: Math.floor(content.length / ids) }, (_, i) => content[(i + 1) * ids - 1]!);
}
