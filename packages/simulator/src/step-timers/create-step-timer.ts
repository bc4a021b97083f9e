// createStepTimer(): the timers by name.

import type { AttentionShape, PolicyName } from "@isochron/planner";
import type { GpuProfile } from "../gpu/profile.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { rankAttention } from "../model/model-config.ts";
import type { StepTimer } from "../step.ts";
import { AnalyticTimer } from "./analytic-timer.ts";
import { type AttentionRunner, ExecutorTimer } from "./executor-timer.ts";
import { KernelTimer } from "./kernel-timer.ts";
import type { StepCostOptions } from "./step-costs.ts";

export interface StepTimerOptions extends StepCostOptions {
  readonly kind: StepTimerKind;
  /** Runs the attention of each step; `kind` then says nothing. */
  readonly runner?: AttentionRunner | undefined;
  readonly model: ModelConfig;
  readonly profile: GpuProfile;
  /** GPUs that share every layer; 1 unless given. Must divide the model's query heads. */
  readonly tensorParallel?: number;
  /** Policy that plans each step's attention; balanced unless given. The analytic timer knows no policies. */
  readonly attentionPolicy?: PolicyName;
  /**
   * The kernel timer plans decodes with their very lengths, and not with the nearest multiple of up to a 64th of them.
   * False unless given: several times as fast, and 0.8 % off in one step of a hundred.
   */
  readonly exactLengths?: boolean | undefined;
  /** KV tokens in one page; 16 unless given. */
  readonly pageSize?: number;
}

type TimerFactory = (options: StepTimerOptions, attention: AttentionShape) => StepTimer;

/** A row for each timer: adding one is one file and one row. */
const TIMERS: Readonly<Record<"analytic" | "kernel", TimerFactory>> = {
  analytic: ({ model, profile, tensorParallel = 1, ...costs }, attention) =>
    new AnalyticTimer(model, profile, tensorParallel, attention, costs),
  kernel: ({ model, profile, tensorParallel = 1, attentionPolicy = "balanced", exactLengths, ...costs }, attention) =>
    new KernelTimer(model, profile, tensorParallel, attention, attentionPolicy, costs, exactLengths),
};

export type StepTimerKind = keyof typeof TIMERS;
export const STEP_TIMER_KINDS: readonly StepTimerKind[] = Object.keys(TIMERS) as StepTimerKind[];

/** A step timer that does not exist, or that cannot time this model on this many GPUs. */
export class StepTimerError extends Error {
  override readonly name = "StepTimerError";
  readonly field: string;
  readonly value: unknown;
  readonly expected: string;

  constructor(field: string, value: unknown, expected: string) {
    super(`step timer: ${field} is ${JSON.stringify(value)}, expected ${expected}`);
    this.field = field;
    this.value = value;
    this.expected = expected;
  }
}

/**
 * A timer of steps of one model on one group of GPUs.
 * @throws StepTimerError
 */
export function createStepTimer(options: StepTimerOptions): StepTimer {
  const { kind, model, profile, tensorParallel = 1, pageSize = 16 } = options ?? {};
  if (!Object.hasOwn(TIMERS, kind)) {
    throw new StepTimerError("kind", kind, `one of ${STEP_TIMER_KINDS.join(", ")}`);
  }
  // Programs in JavaScript leave them out, or give their names.
  if (typeof model?.queryHeads !== "number") throw new StepTimerError("model", model, "what findModel() returns");
  if (profile?.device === undefined) throw new StepTimerError("profile", profile, "what findProfile() returns");
  if (!Number.isInteger(tensorParallel) || tensorParallel < 1 || model.queryHeads % tensorParallel !== 0) {
    throw new StepTimerError(
      "tensorParallel",
      tensorParallel,
      `a divisor of the ${model.queryHeads} query heads of ${model.name}`,
    );
  }
  const { expertParallel, expertShareCv = 0, pipelineParallel = 1 } = options;
  if (!Number.isInteger(pipelineParallel) || pipelineParallel < 1 || pipelineParallel > model.layers) {
    const expected = `an integer from 1 to the ${model.layers} layers of ${model.name}`;
    throw new StepTimerError("pipelineParallel", pipelineParallel, expected);
  }
  if (expertParallel !== undefined) checkExpertParallel(expertParallel, options);
  if (!(expertShareCv >= 0 && Number.isFinite(expertShareCv))) {
    throw new StepTimerError("expertShareCv", expertShareCv, "a finite number of at least 0");
  }
  const { runner, exactLengths } = options;
  if (runner !== undefined) return new ExecutorTimer(model, profile, tensorParallel, runner, options, exactLengths);
  return TIMERS[kind](options, rankAttention(model, tensorParallel, pageSize));
}

function checkExpertParallel(
  gpus: number,
  { model, tensorParallel = 1, pipelineParallel = 1 }: StepTimerOptions,
): void {
  const refuse = (expected: string): never => {
    throw new StepTimerError("expertParallel", gpus, expected);
  };
  const experts = model.moe?.experts;
  if (experts === undefined) refuse(`a mixture of experts: ${model.name} is dense`);
  if (!(Number.isInteger(gpus) && gpus > 0 && gpus % tensorParallel === 0)) {
    refuse(`a multiple of the ${tensorParallel} GPUs that share a layer's attention`);
  }
  if (experts! % gpus !== 0) refuse(`a divisor of the ${experts} experts of ${model.name}`);
  if (pipelineParallel > 1 && gpus > tensorParallel) {
    refuse(`${tensorParallel} in a pipeline, whose stages do not share experts with other replicas`);
  }
}
