// Steps that repeat. Between two arrivals most steps are the step before once more, with every request a token further:
// nobody comes or goes, nobody is sent back. Such a run of steps is taken here at the cost of what changes from one to the
// next, and the requests' books are brought up to date once, when the run is over.
//
// Why nothing is different from taking each step by itself. A run begins at a step in flight in which everybody decodes:
// all get a token from it (sampled = count), none of them the first (so that it is a gap like everybody's, since the step
// before), none the last, and the policy says that it would decide the same again. What one step then does is
//  - to the requests: one token more, known, computed and generated, and the time of the last one. All integers but the
//    time, which is the end of the last step that came back: k steps are k tokens.
//  - to the KV cache: a block for whoever goes beyond those it has, every blockSize steps. Blocks without content are taken
//    from the front of one list and bear no name, so how many are taken in a step says all; it is done in the step.
//  - to the clock and the statistics: the same additions in the same order, by the same functions as for any other step.
// The run ends before the first step in which more would happen: somebody's last token, a block too many, the horizon.

import { BoundaryWheel } from "../boundary-wheel.ts";
import type { ReplicaParts } from "./replica-parts.ts";
import { checkDuration, type StepInFlight } from "./steps-in-flight.ts";

/** Chosen: below it the books of a run cost what it saves. */
const FEWEST_STEPS = 3;

export class RepeatedSteps {
  readonly #parts: ReplicaParts;
  /** When requests go beyond the KV blocks that they have. */
  readonly #blockWheel: BoundaryWheel;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
    this.#blockWheel = new BoundaryWheel(parts.kvCache.blockSizeTokens);
  }

  /**
   * Takes in the tokens of the step in flight and begins its repetition, over and over, as long as nothing else happens and
   * it ends before the horizon, `most` times at most. Returns how often; the flight is then the last of them.
   */
  run(flight: StepInFlight, horizonUs: number, most: number): number {
    const { policy } = this.#parts;
    const { batch } = flight;
    if (flight.endUs + (FEWEST_STEPS - 1) * flight.durationUs >= horizonUs) return 0;
    const isDecode = batch.sampled === batch.count && batch.tokens === batch.count && batch.prefillTokens === 0;
    if (!isDecode || batch.admittedCount > 0 || batch.preemptedCount > 0) return 0;
    if (policy.repeats === undefined || !policy.repeats(batch)) return 0;
    const steps = this.#stepsWithoutLastToken(flight, most);
    if (steps < FEWEST_STEPS) return 0;
    const taken = this.#take(flight, horizonUs, this.#planBlocks(flight, steps));
    if (taken > 0) this.#settle(flight, taken);
    return taken;
  }

  /** Steps that can be taken in before somebody gets the last token; 0 also where somebody is about to get the first. */
  #stepsWithoutLastToken({ batch, previousEndUs }: StepInFlight, most: number): number {
    const { generatedTokens, outputTokens, lastTokenUs } = this.#parts.requests;
    const { count, slots } = batch;
    let steps = most;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const generated = generatedTokens[slot]!;
      const left = outputTokens[slot]! - generated - 1;
      if (left < steps) steps = left;
      if (generated === 0 || lastTokenUs[slot] !== previousEndUs) return 0;
    }
    return steps;
  }

  /** Fills the wheel. Returns the steps for which it is right: all, unless a policy set blocks aside. */
  #planBlocks({ batch }: StepInFlight, steps: number): number {
    const { kvCache } = this.#parts;
    const { blockSizeTokens, heldBlocks } = kvCache;
    const { count, slots, kvLens } = batch;
    const wheel = this.#blockWheel;
    let planned = steps;
    wheel.clear();
    for (let i = 0; i < count; i++) {
      const room = heldBlocks[slots[i]!]! * blockSizeTokens - kvLens[i]!;
      if (room < blockSizeTokens) wheel.add(room + 1);
      else if (room < planned) planned = room;
    }
    return planned;
  }

  #take(flight: StepInFlight, horizonUs: number, steps: number): number {
    const { index, requests, kvCache, policy, stepTimer, observer } = this.#parts;
    const { batch } = flight;
    const { count, kvLens } = batch;
    const wheel = this.#blockWheel;
    const waiting = policy.waitingCount;
    let taken = 0;
    while (taken < steps && flight.endUs < horizonUs) {
      const blocks = wheel.next;
      if (blocks > 0 && !kvCache.takeBlocks(blocks)) break;
      wheel.turn();
      observer.tokenGaps(flight, count);
      for (let i = 0; i < count; i++) kvLens[i]!++;
      // The first time as for any step: a timer may be everybody's, and have timed another replica's step last.
      const timing =
        taken > 0 && stepTimer.timeRepeated !== undefined ? stepTimer.timeRepeated(batch) : stepTimer.time(batch);
      const durationUs = checkDuration(stepTimer, timing);
      const nowUs = flight.endUs;
      flight.number++;
      flight.previousEndUs = nowUs;
      flight.startUs = nowUs;
      flight.endUs = nowUs + durationUs;
      flight.durationUs = flight.occupiedUs = durationUs;
      flight.attentionUs = timing.attentionUs;
      flight.attentionImbalance = timing.attentionImbalance;
      flight.kvTokens += count;
      flight.pairs += count;
      observer.stepStarted(index, flight, timing, undefined, waiting, kvCache.usedBlocks, requests);
      taken++;
    }
    return taken;
  }

  /** Brings the books of all requests up to date. */
  #settle({ batch, previousEndUs }: StepInFlight, taken: number): void {
    const { requests, kvCache } = this.#parts;
    const { generatedTokens, lastTokenUs, visible } = requests;
    const { knownTokens, computedTokens } = visible;
    const { count, slots, kvLens } = batch;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      knownTokens[slot]! += taken;
      computedTokens[slot]! += taken;
      generatedTokens[slot]! += taken;
      lastTokenUs[slot] = previousEndUs;
      kvCache.giveTaken(slot, kvLens[i]!);
    }
  }
}
