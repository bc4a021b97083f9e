// The simulated clock of a replay, and the breaths in real time that let the rest of the program do something.

import { DeploymentError } from "../engine/deployment.ts";

/** Chosen: a breath every few milliseconds of real time, so that signals and progress get through. */
export const STEPS_PER_TURN = 10_000;
const BREATH_MS = 40;
/** Beyond it a float64 no longer tells two microseconds apart. */
const MAX_CLOCK_US = 2 ** 53;

export class ReplayClock {
  nowUs = 0;
  /** By its signal: the report is then of what was replayed so far. */
  isStopped = false;
  readonly #signal: AbortSignal | undefined;
  readonly #onBreath: (nowUs: number) => void;
  #breathMs = performance.now();

  constructor(signal: AbortSignal | undefined, onBreath: (nowUs: number) => void) {
    this.#signal = signal;
    this.#onBreath = onBreath;
  }

  /**
   * Also looks for the signal to stop.
   * @throws DeploymentError where the clock no longer resolves a step
   */
  isBreathDue(): boolean {
    if (this.nowUs > MAX_CLOCK_US) {
      throw new DeploymentError(
        "the simulated clock",
        `${this.nowUs} µs`,
        "at most 285 years: steps or arrivals less far apart",
      );
    }
    if (this.#signal?.aborted === true) this.isStopped = true;
    return performance.now() - this.#breathMs > BREATH_MS;
  }

  async breathe(): Promise<void> {
    this.#onBreath(this.nowUs);
    await new Promise((resolve) => setImmediate(resolve));
    this.#breathMs = performance.now();
  }
}
