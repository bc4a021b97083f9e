// Which steps' batches outlive the step, so that they can be looked into: a bounded choice made as steps go by, because a
// batch is gone once its step is over.

import type { StepBatch } from "../documents/report.ts";
import type { RequestTable } from "../engine/request-table.ts";
import type { StepInFlight } from "../engine/steps-in-flight.ts";

/** A step somebody asks for by name. */
export interface StepName {
  readonly replica: number;
  readonly step: number;
}

interface Kept {
  readonly replica: number;
  readonly step: number;
  readonly score: number;
  readonly durationUs: number;
  readonly attentionUs: number;
  /** Not a number where the timer does not know. */
  readonly attentionImbalance: number;
  readonly requests: number[];
  readonly qoLens: number[];
  readonly kvLens: number[];
}

/** Chosen: a screenful of each kind. */
const TOP = 3;
const SPACED = 16;
/** First tokens are kept one for each of these many TTFT classes per octave, so within 2.2 % of any percentile. */
const CLASSES_PER_OCTAVE = 32;

export class BatchKeeper {
  readonly #longest: Kept[] = [];
  readonly #wasteful: Kept[] = [];
  readonly #byTtft = new Map<number, Kept>();
  readonly #asked: Kept[] = [];
  readonly #askedNames: Set<string>;
  #spaced: Kept[] = [];
  #spacing = 1;
  #nextSpaced = 0;
  #longestFloorUs = 0;
  #wastedFloorUs = 0;
  #steps = 0;

  constructor(asked: readonly StepName[]) {
    this.#askedNames = new Set(asked.map(({ replica, step }) => `${replica} ${step}`));
  }

  stepStarted(replica: number, flight: StepInFlight, requests: RequestTable): void {
    const { number, durationUs, attentionUs, attentionImbalance } = flight;
    const isSpaced = this.#steps++ === this.#nextSpaced;
    if (durationUs > this.#longestFloorUs) {
      this.#longestFloorUs = keepTop(this.#longest, this.#keep(replica, flight, requests, durationUs));
    }
    // What a perfect plan would save, and not the ratio: tiny launches have the largest ratios, and cost nothing. Not a number
    // where the timer does not know: never larger.
    const wastedUs = attentionUs * (1 - 1 / attentionImbalance);
    if (wastedUs > this.#wastedFloorUs) {
      this.#wastedFloorUs = keepTop(this.#wasteful, this.#keep(replica, flight, requests, wastedUs));
    }
    if (isSpaced) this.#keepSpaced(this.#keep(replica, flight, requests, this.#steps - 1));
    if (this.#askedNames.size > 0 && this.#askedNames.has(`${replica} ${number}`)) {
      this.#asked.push(this.#keep(replica, flight, requests, 0));
    }
  }

  /** Called at the end of the step that gave a request its first token. */
  firstToken(replica: number, flight: StepInFlight, requests: RequestTable, ttftUs: number): void {
    const ttftClass = Math.floor(Math.log2(ttftUs) * CLASSES_PER_OCTAVE);
    if (!this.#byTtft.has(ttftClass)) {
      this.#byTtft.set(ttftClass, this.#keep(replica, flight, requests, ttftUs));
    }
  }

  /** All kept batches by replica and step, each once with all its reasons. */
  batches(ttftMs: { readonly median: number | null; readonly p99: number | null }): StepBatch[] {
    const reasons = new Map<string, { kept: Kept; reasons: string[] }>();
    const give = (kept: Kept | undefined, reason: string): void => {
      if (kept === undefined) return;
      const name = `${kept.replica} ${kept.step}`;
      const entry = reasons.get(name);
      if (entry === undefined) reasons.set(name, { kept, reasons: [reason] });
      else if (!entry.reasons.includes(reason)) entry.reasons.push(reason);
    };
    for (const kept of this.#asked) give(kept, "asked for");
    for (const kept of this.#longest) give(kept, "longest step");
    for (const kept of this.#wasteful) give(kept, "attention above bound");
    give(this.#nearestTtft(ttftMs.median), "p50 TTFT");
    give(this.#nearestTtft(ttftMs.p99), "p99 TTFT");
    for (const kept of this.#spaced) give(kept, "evenly spaced");
    return [...reasons.values()]
      .sort((a, b) => a.kept.replica - b.kept.replica || a.kept.step - b.kept.step)
      .map(({ kept, reasons: why }) => ({
        replica: kept.replica,
        step: kept.step,
        reason: why.join(", "),
        durationUs: kept.durationUs,
        attentionUs: kept.attentionUs,
        attentionImbalance: Number.isNaN(kept.attentionImbalance) ? null : kept.attentionImbalance,
        requests: kept.requests,
        qoLens: kept.qoLens,
        kvLens: kept.kvLens,
      }));
  }

  #keepSpaced(kept: Kept): void {
    this.#spaced.push(kept);
    if (this.#spaced.length > SPACED) {
      this.#spacing *= 2;
      this.#spaced = this.#spaced.filter(({ score }) => score % this.#spacing === 0);
    }
    this.#nextSpaced = this.#spaced.at(-1)!.score + this.#spacing;
  }

  #keep(replica: number, flight: StepInFlight, requests: RequestTable, score: number): Kept {
    const { batch: step, number, durationUs, attentionUs, attentionImbalance } = flight;
    return {
      replica,
      step: number,
      score,
      durationUs,
      attentionUs,
      attentionImbalance,
      requests: Array.from(step.slots.subarray(0, step.count), (slot) => requests.id[slot]!),
      qoLens: Array.from(step.qoLens.subarray(0, step.count)),
      kvLens: Array.from(step.kvLens.subarray(0, step.count)),
    };
  }

  #nearestTtft(ttftMs: number | null): Kept | undefined {
    if (ttftMs === null) return undefined;
    let nearest: Kept | undefined;
    for (const kept of this.#byTtft.values()) {
      const distance = Math.abs(kept.score - ttftMs * 1000);
      if (nearest === undefined || distance < Math.abs(nearest.score - ttftMs * 1000)) nearest = kept;
    }
    return nearest;
  }
}

/** Keeps the TOP highest scores, the earliest of equals; returns what a score must exceed to get in. */
function keepTop(top: Kept[], kept: Kept): number {
  top.push(kept);
  top.sort((a, b) => b.score - a.score);
  if (top.length > TOP) top.pop();
  return top.length < TOP ? 0 : top.at(-1)!.score;
}
