// One forward pass of an engine, and the port that says how long it takes.

/** The steps that replicas take together because the experts are spread over the GPUs of all. */
export interface StepGroup {
  /** Tokens of all of these steps. */
  readonly tokens: number;
  /** Those of the step with most. */
  readonly mostTokens: number;
}

/**
 * The batch of one step. The engine owns the arrays and reuses them: a step timer reads entries [0, count) during the
 * call and keeps nothing. Requests are in the engine's running order.
 */
export interface Step {
  count: number;
  /** New tokens of each scheduled request. */
  readonly qoLens: Int32Array;
  /** KV tokens of each scheduled request once the step is done: history plus the new ones. */
  readonly kvLens: Int32Array;
  /** Sum of qoLens. */
  tokens: number;
  /**
   * Rows of logits: one for each request whose last known token is in this step, and one for each draft that is verified
   * behind it.
   */
  sampled: number;
  /** This step among those of other replicas; absent where the replica is on its own. */
  group?: StepGroup | undefined;
}

/**
 * Where the time of one step goes. All in microseconds; durationUs is what the clock moves by, in a pipeline when no other
 * step is in the way: host, stages and transfers one after the other.
 */
export interface StepTiming {
  durationUs: number;
  /** All layers' attention launches. */
  attentionUs: number;
  /** All layers' projections and MLPs, and the output head. */
  gemmUs: number;
  /** All-reduces, all-to-alls of experts, and transfers between the stages of a pipeline. */
  collectiveUs: number;
  /** Norms, activations, rotary embeddings, KV append, sampling. */
  otherUs: number;
  /** Scheduling, input preparation and launch time that the GPU waits for. */
  hostUs: number;
  /** Simulated attention makespan over its lower bound; NaN where the timer does not know. */
  attentionImbalance: number;
  /** Mean busy share of all SMs during attention; NaN where the timer does not know. */
  smBusyFraction: number;
  /** What the GPUs of each stage of a pipeline take, in order; absent where one group of GPUs has all layers. */
  stageUs?: Float64Array | undefined;
  /** From each stage of a pipeline to the next; absent where there is one stage. */
  transferUs?: number | undefined;
}

/** A replay does not know which implementation it has: analytic, kernel, or hardware in the loop. */
export interface StepTimer {
  readonly name: string;
  /** GPUs that share every layer in its times, where it knows: a replay of another deployment is refused. */
  readonly tensorParallel?: number;
  /** The returned object is the timer's own and is overwritten by the next call. */
  time(step: Step): StepTiming;
  /**
   * What `time` would give, for a step of decodes alone that is the one of the last call of either with all kvLens one higher.
   * For timers that find what changed sooner than the whole.
   */
  timeRepeated?(step: Step): StepTiming;
}
