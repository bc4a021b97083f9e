// What a replay is asked: a trace, a deployment, how long steps take, and what is to be kept of it.

import type { Generator } from "@isochron/planner";
import type { CreateBatchingPolicy } from "../batching/batching-policy.ts";
import type { DeploymentOptions } from "../engine/deployment.ts";
import type { StepName } from "../metrics/batch-keeper.ts";
import type { ReplayedStep } from "../metrics/step-observer.ts";
import type { StepTimer } from "../step.ts";
import type { Trace } from "../trace/trace.ts";

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

/** Default of recordLimit: per-request records of some hundred MB of report. */
export const RECORD_LIMIT = 1_000_000;
