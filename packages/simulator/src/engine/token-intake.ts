// The tokens of a step that is over: who gets one or more, whose first or last it is. Hot: once for each request of a step
// that does not repeat the one before.

import type { ReplicaParts } from "./replica-parts.ts";
import type { RequestDesk } from "./request-desk.ts";
import type { StepInFlight, StepsInFlight } from "./steps-in-flight.ts";

export class TokenIntake {
  readonly #parts: ReplicaParts;
  readonly #desk: RequestDesk;
  readonly #inFlight: StepsInFlight;
  readonly #draftTokens: number;

  constructor(parts: ReplicaParts, desk: RequestDesk, inFlight: StepsInFlight) {
    this.#parts = parts;
    this.#desk = desk;
    this.#inFlight = inFlight;
    this.#draftTokens = parts.speculation?.tokens ?? 0;
  }

  takeIn(flight: StepInFlight): void {
    const { index, requests, asyncScheduling: isAsync, observer } = this.#parts;
    const desk = this.#desk;
    const { inputTokens, knownTokens, draftTokens } = requests.visible;
    const { generatedTokens, outputTokens, firstTokenUs, lastTokenUs } = requests;
    const { batch, number, endUs: nowUs, previousEndUs } = flight;
    const { slots, kvLens } = batch;
    const mayOthersBeInFlight = this.#inFlight.depth > 1;
    let regular = 0;
    for (let i = 0; i < batch.count; i++) {
      const slot = slots[i]!;
      if (mayOthersBeInFlight && requests.land(slot)) continue;
      const before = generatedTokens[slot]!;
      // Scheduling ahead, more is taken for known than is there.
      const known = isAsync ? inputTokens[slot]! + before : knownTokens[slot]!;
      const drafts = kvLens[i]! - known;
      if (drafts < 0) continue;
      const gained = drafts === 0 ? 1 : this.#verify(slot, drafts);
      const generated = before + gained;
      if (!isAsync) knownTokens[slot] = known + gained;
      generatedTokens[slot] = generated;
      draftTokens[slot] = this.#draftTokens;
      const last = lastTokenUs[slot]!;
      lastTokenUs[slot] = nowUs;
      // Most requests of a step got their last tokens together.
      if (last === previousEndUs && before > 0) regular++;
      else if (before === 0) {
        firstTokenUs[slot] = nowUs;
        observer.firstToken(index, flight, requests, slot);
      } else observer.tokenGap(nowUs - last);
      if (generated === outputTokens[slot]!) {
        observer.requestFinished(index, number, requests, slot);
        desk.finish(slot);
      } else if (desk.handOver !== undefined) desk.giveAway(slot);
    }
    if (regular > 0) observer.tokenGaps(flight, regular);
    this.#inFlight.lastEndUs = nowUs;
  }

  /** Keeps the right ones of a request's drafts, gives the others' KV up, and returns how many tokens it has got. */
  #verify(slot: number, drafts: number): number {
    const { requests, speculation, observer } = this.#parts;
    const { id, generatedTokens, outputTokens, visible } = requests;
    const generated = generatedTokens[slot]!;
    const right = speculation!.acceptance.accepted(id[slot]!, generated, drafts);
    const gained = Math.min(1 + right, outputTokens[slot]! - generated);
    visible.computedTokens[slot]! -= drafts - (gained - 1);
    observer.verified(drafts, gained - 1);
    return gained;
  }
}
