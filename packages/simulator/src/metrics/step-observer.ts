// Everything a replay measures while it runs. One object for all replicas; called at each start of a step, each first
// token and each end of a request, so it only adds and stores.

import type { StepPassage } from "../engine/pipeline.ts";
import type { RequestTable } from "../engine/request-table.ts";
import type { StepInFlight } from "../engine/steps-in-flight.ts";
import { integerPower } from "../integer-power.ts";
import type { StepTiming } from "../step.ts";
import { BatchKeeper, type StepName } from "./batch-keeper.ts";
import { Distribution } from "./distribution.ts";
import { COMPLETED, RequestSeriesRecorder, UNFINISHED } from "./request-series.ts";
import { StepSeriesRecorder } from "./step-series.ts";

/** Limits in milliseconds; a request is good when it meets all that are given. */
export interface ServiceLevel {
  readonly ttftMs?: number | undefined;
  readonly tpotMs?: number | undefined;
  readonly e2eMs?: number | undefined;
}

/** One step as it begins. All times in microseconds. */
export interface ReplayedStep {
  readonly replica: number;
  /** Number within the replica. */
  readonly step: number;
  readonly startUs: number;
  readonly timing: StepTiming;
  /** Where it is when; undefined where steps follow one another. The engine's own, overwritten by the next step. */
  readonly passage: StepPassage | undefined;
  /** Requests in the batch. */
  readonly running: number;
  readonly waiting: number;
  readonly tokens: number;
  readonly prefillTokens: number;
  readonly kvBlocksUsed: number;
  readonly preemptions: number;
}

export interface StepObserverOptions {
  readonly onStep: ((step: ReplayedStep) => void) | undefined;
  readonly slo: ServiceLevel;
  readonly seriesLimit: number;
  readonly recordLimit: number;
  readonly recordSteps: readonly StepName[];
  /** Keeps no series, batches or records, only what metrics are made of. */
  readonly metricsOnly: boolean;
  /** Of the pipeline; 1 without one. */
  readonly stages: number;
  /** Whether replicas take their steps together. */
  readonly areStepsShared: boolean;
  /** Share of the routed experts that one token visits; 0 without a mixture of experts. */
  readonly expertShare: number;
}

export class StepObserver {
  readonly ttftUs: Distribution = new Distribution();
  readonly tpotUs: Distribution = new Distribution();
  readonly itlUs: Distribution = new Distribution();
  readonly e2eUs: Distribution = new Distribution();
  readonly queueUs: Distribution = new Distribution();
  readonly steps: StepSeriesRecorder;
  readonly batches: BatchKeeper;
  readonly requests: RequestSeriesRecorder;

  completed = 0;
  good = 0;
  inputTokens = 0;
  outputTokens = 0;
  lastTokenUs = 0;
  latencySumUs = 0;
  preemptions = 0;
  recomputedTokens = 0;
  /** Drafts that steps verified, and those of them that became output. */
  draftTokens = 0;
  acceptedTokens = 0;
  lookedUpTokens = 0;
  hitTokens = 0;

  stepCount = 0;
  /** Time in which replicas had steps in flight. Durations of steps that overlap add up to overlapUs more. */
  busyUs = 0;
  overlapUs = 0;
  /** What each stage of a pipeline worked, in all replicas. */
  readonly stageBusyUs: Float64Array;
  attentionUs = 0;
  gemmUs = 0;
  collectiveUs = 0;
  otherUs = 0;
  hostUs = 0;
  batchSum = 0;
  batchMax = 0;
  tokenSum = 0;
  tokenMax = 0;
  sampledSum = 0;
  /** KV tokens read, and (query token, KV token) pairs, summed over steps. */
  kvTokenSum = 0;
  pairSum = 0;
  /** Share of the routed experts that a step's tokens visit, each choosing at random, summed over steps. */
  visitedShareSum = 0;
  /** Used blocks × µs. */
  kvBlockUs = 0;
  kvBlocksMax = 0;
  /** Sums over the steps whose timer knows, weighted by attention time. */
  smBusyUs = 0;
  smKnownUs = 0;
  imbalanceUs = 0;
  imbalanceKnownUs = 0;
  imbalanceMax = 0;

  /** Whether steps last longer than what they do: those of a pipeline, and those that go along with others. */
  readonly hasWaits: boolean;

  readonly #slo: ServiceLevel;
  readonly #expertShare: number;
  readonly #keepsDetails: boolean;
  readonly #onStep: ((step: ReplayedStep) => void) | undefined;

  constructor(options: StepObserverOptions) {
    this.#slo = options.slo;
    this.#expertShare = options.expertShare;
    this.#keepsDetails = !options.metricsOnly;
    this.hasWaits = options.stages > 1 || options.areStepsShared;
    this.stageBusyUs = new Float64Array(options.stages);
    this.#onStep = options.onStep;
    this.steps = new StepSeriesRecorder(options.seriesLimit);
    this.batches = new BatchKeeper(options.recordSteps);
    this.requests = new RequestSeriesRecorder(options.recordLimit);
  }

  stepStarted(
    replica: number,
    flight: StepInFlight,
    timing: StepTiming,
    passage: StepPassage | undefined,
    waiting: number,
    kvBlocksUsed: number,
    requests: RequestTable,
  ): void {
    const { batch: step, number, startUs, occupiedUs } = flight;
    const { count, tokens } = step;
    const { attentionUs, attentionImbalance, smBusyFraction } = timing;
    this.kvTokenSum += flight.kvTokens;
    this.pairSum += flight.pairs;
    this.stepCount++;
    this.busyUs += occupiedUs;
    this.attentionUs += attentionUs;
    this.gemmUs += timing.gemmUs;
    this.collectiveUs += timing.collectiveUs;
    this.otherUs += timing.otherUs;
    this.hostUs += timing.hostUs;
    this.batchSum += count;
    if (count > this.batchMax) this.batchMax = count;
    this.tokenSum += tokens;
    if (tokens > this.tokenMax) this.tokenMax = tokens;
    this.sampledSum += step.sampled;
    if (this.#expertShare > 0) {
      this.visitedShareSum += 1 - integerPower(1 - this.#expertShare, step.group?.tokens ?? tokens);
    }
    this.kvBlockUs += kvBlocksUsed * occupiedUs;
    if (kvBlocksUsed > this.kvBlocksMax) this.kvBlocksMax = kvBlocksUsed;
    if (smBusyFraction >= 0) {
      this.smBusyUs += smBusyFraction * attentionUs;
      this.smKnownUs += attentionUs;
    }
    if (attentionImbalance >= 0) {
      this.imbalanceUs += attentionImbalance * attentionUs;
      this.imbalanceKnownUs += attentionUs;
      if (attentionImbalance > this.imbalanceMax) this.imbalanceMax = attentionImbalance;
    }
    this.#onStep?.({
      replica,
      step: number,
      startUs,
      timing,
      passage,
      running: count,
      waiting,
      tokens,
      prefillTokens: step.prefillTokens,
      kvBlocksUsed,
      preemptions: step.preemptedCount,
    });
    if (!this.#keepsDetails) return;
    this.batches.stepStarted(replica, flight, requests);
    if ((number & (this.steps.stride - 1)) === 0) {
      this.steps.add(
        replica,
        number,
        startUs,
        flight.durationUs,
        count,
        waiting,
        tokens,
        step.prefillTokens,
        kvBlocksUsed,
        attentionUs,
        attentionImbalance,
        step.preemptedCount,
      );
    }
  }

  /** A step among others in flight: where it is when, and what of its duration the replica's earlier steps had too. */
  stepEntered({ stageStartUs, stageEndUs }: StepPassage, overlapUs: number): void {
    const { stageBusyUs } = this;
    for (let s = 0; s < stageBusyUs.length; s++) stageBusyUs[s]! += stageEndUs[s]! - stageStartUs[s]!;
    this.overlapUs += overlapUs;
  }

  preempted(count: number): void {
    this.preemptions += count;
  }

  recomputed(tokens: number): void {
    this.recomputedTokens += tokens;
  }

  verified(drafts: number, accepted: number): void {
    this.draftTokens += drafts;
    this.acceptedTokens += accepted;
  }

  prefixLookedUp(hitTokens: number, inputTokens: number): void {
    this.hitTokens += hitTokens;
    this.lookedUpTokens += inputTokens;
  }

  /** A request got output `gapUs` after what it had got before: one token, or what a verification yields. */
  tokenGap(gapUs: number): void {
    this.itlUs.add(gapUs, 1);
  }

  /** The same for `count` requests that got what they had before from the step before. */
  tokenGaps({ endUs, previousEndUs }: StepInFlight, count: number): void {
    this.itlUs.add(endUs - previousEndUs, count);
  }

  firstToken(replica: number, flight: StepInFlight, requests: RequestTable, slot: number): void {
    if (!this.#keepsDetails) return;
    const ttftUs = requests.firstTokenUs[slot]! - requests.arrivalUs[slot]!;
    this.batches.firstToken(replica, flight, requests, ttftUs);
  }

  requestRejected(id: number, arrivalUs: number, inputTokens: number, outputTokens: number): void {
    if (this.#keepsDetails) this.requests.rejected(id, arrivalUs, inputTokens, outputTokens);
  }

  requestUnfinished(replica: number, requests: RequestTable, slot: number): void {
    if (this.#keepsDetails) this.requests.record(UNFINISHED, replica, -1, requests, slot);
  }

  requestFinished(replica: number, number: number, requests: RequestTable, slot: number): void {
    const arrivalUs = requests.arrivalUs[slot]!;
    const endUs = requests.lastTokenUs[slot]!;
    const outputTokens = requests.outputTokens[slot]!;
    const ttftUs = requests.firstTokenUs[slot]! - arrivalUs;
    const e2eUs = endUs - arrivalUs;
    // One token has no time per further token: it counts as 0 for goodput and not at all in the summary.
    const tpotUs = outputTokens > 1 ? (e2eUs - ttftUs) / (outputTokens - 1) : 0;
    this.ttftUs.add(ttftUs, 1);
    if (outputTokens > 1) this.tpotUs.add(tpotUs, 1);
    this.e2eUs.add(e2eUs, 1);
    this.queueUs.add(requests.scheduledUs[slot]! - arrivalUs, 1);
    this.completed++;
    this.inputTokens += requests.visible.inputTokens[slot]!;
    this.outputTokens += outputTokens;
    this.latencySumUs += e2eUs;
    if (endUs > this.lastTokenUs) this.lastTokenUs = endUs;
    const { ttftMs, tpotMs, e2eMs } = this.#slo;
    const isGood =
      (ttftMs === undefined || ttftUs <= ttftMs * 1000) &&
      (tpotMs === undefined || tpotUs <= tpotMs * 1000) &&
      (e2eMs === undefined || e2eUs <= e2eMs * 1000);
    if (isGood) this.good++;
    if (this.#keepsDetails) this.requests.record(COMPLETED, replica, number, requests, slot);
  }
}
