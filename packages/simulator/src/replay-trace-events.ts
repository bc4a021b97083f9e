// A replay as Chrome trace events, which Perfetto and speedscope open: one process per replica, in it a thread of steps (or
// one of the host and one of each stage, where several steps are in flight), one thread for each place that a request in
// flight takes, and counters. Microseconds from the first arrival, to the nanosecond.
//
// Slices (X) of one thread must nest. Host and stages have one step at a time; a request takes the first place that is free
// from its arrival on, and its queueing, prompt and answer lie inside it.

import type { Report, RequestSeries } from "./documents/report.ts";
import type { StepPassage } from "./engine/pipeline.ts";
import type { ReplayedStep } from "./metrics/step-observer.ts";

/** First thread of a replica's steps; places of requests follow. */
const STEPS = 0;

const COMPLETED = 0;

/** Steps that follow each other at once may be so far apart. */
const ROUNDING_NS = 2;

export class ReplayTraceEvents {
  readonly #write: (text: string) => void;
  readonly #named = new Set<number>();
  /** Last counters of each replica, as text: written again when they change. */
  readonly #requests = new Map<number, string>();
  readonly #kvBlocks = new Map<number, number>();
  /** When the steps so far of each replica end. */
  readonly #busyUntilUs = new Map<number, number>();
  #isFirst = true;
  /** Threads of steps of each replica, by name. */
  #stepThreads: readonly string[] = ["steps"];

  /** `write` is given the file's text piece by piece. */
  constructor(write: (text: string) => void) {
    this.#write = write;
    write('{"displayTimeUnit":"ms","traceEvents":[');
  }

  /** To be given every step of the replay. */
  step({ replica, step, startUs, timing, running, waiting, tokens, prefillTokens, ...more }: ReplayedStep): void {
    const { passage } = more;
    const endUs = passage?.stageEndUs.at(-1) ?? startUs + timing.durationUs;
    if (this.#named.size === 0 && passage !== undefined) this.#stepThreads = stepThreads(passage);
    if (!this.#named.has(replica)) this.#nameReplica(replica);
    const name = prefillTokens === 0 ? "decode" : prefillTokens === tokens ? "prefill" : "mixed";
    const { attentionUs, gemmUs, collectiveUs, otherUs, hostUs, attentionImbalance } = timing;
    const args = {
      step,
      requests: running,
      tokens,
      prefillTokens,
      preemptions: more.preemptions,
      ...rounded({ attentionUs, gemmUs, collectiveUs, otherUs, hostUs }),
      // Not a number where the timer does not know.
      ...(attentionImbalance >= 0 ? rounded({ attentionImbalance }) : {}),
    };
    if (passage === undefined) {
      this.#slice(replica, STEPS, "step", name, startUs, startUs + timing.durationUs, args);
    } else {
      this.#slice(replica, STEPS, "host", name, passage.hostStartUs, passage.hostEndUs, args);
      passage.stageStartUs.forEach((fromUs, stage) => {
        this.#slice(replica, STEPS + 1 + stage, "step", name, fromUs, passage.stageEndUs[stage]!, args);
      });
    }
    // A replica without a step has no request: with one it would have taken its next.
    const busyUntilUs = this.#busyUntilUs.get(replica) ?? startUs;
    if (nanoseconds(startUs) - nanoseconds(busyUntilUs) > ROUNDING_NS) this.#count(replica, busyUntilUs, 0, 0, 0);
    this.#busyUntilUs.set(replica, Math.max(busyUntilUs, endUs));
    this.#count(replica, startUs, running, waiting, more.kvBlocksUsed);
  }

  /** Closes the document. Nothing may be given afterwards. */
  end(report: Report): void {
    const endUs = report.metrics.durationS * 1e6;
    for (const replica of this.#named) this.#count(replica, this.#busyUntilUs.get(replica) ?? endUs, 0, 0, 0);
    if (report.requests !== undefined) this.#requestSlices(report.requests, endUs);
    const { generator, trace, deployment, partial } = report;
    this.#write(`],"otherData":${JSON.stringify({ replay: { generator, trace, deployment, partial } })}}\n`);
  }

  #requestSlices(requests: RequestSeries, endUs: number): void {
    /** For each replica, when each of its places is free again. */
    const freeAtUs = new Map<number, number[]>();
    for (let i = 0; i < requests.id.length; i++) {
      const replica = requests.replica[i]!;
      if (replica < 0) continue;
      const arrivalUs = requests.arrivalUs[i]!;
      const isCompleted = requests.status[i] === COMPLETED;
      const leftUs = isCompleted ? requests.endUs[i]! : Math.max(endUs, arrivalUs);
      const places = freeAtUs.get(replica) ?? [];
      freeAtUs.set(replica, places);
      let place = places.findIndex((freeUs) => freeUs <= arrivalUs);
      if (place < 0) {
        place = places.length;
        if (!this.#named.has(replica)) this.#nameReplica(replica);
        this.#nameThread(replica, this.#stepThreads.length + place, `request ${place + 1}`);
      }
      places[place] = leftUs;
      const thread = this.#stepThreads.length + place;
      const id = requests.id[i]!;
      const args = {
        request: id,
        inputTokens: requests.inputTokens[i]!,
        outputTokens: requests.outputTokens[i]!,
        cachedTokens: requests.cachedTokens[i]!,
        preemptions: requests.preemptions[i]!,
        firstStep: requests.firstStep[i]!,
        lastStep: requests.lastStep[i]!,
      };
      this.#slice(
        replica,
        thread,
        "request",
        `request ${id}${isCompleted ? "" : " (unfinished)"}`,
        arrivalUs,
        leftUs,
        args,
      );
      const reached = (us: number): number => (us < 0 ? leftUs : us);
      const scheduledUs = reached(requests.scheduledUs[i]!);
      const firstTokenUs = reached(requests.firstTokenUs[i]!);
      const phases = [
        ["queued", arrivalUs, scheduledUs],
        ["prompt", scheduledUs, firstTokenUs],
        ["answer", firstTokenUs, leftUs],
      ] as const;
      for (const [phase, fromUs, toUs] of phases) {
        if (toUs > fromUs) this.#slice(replica, thread, phase, phase, fromUs, toUs, { request: id });
      }
    }
  }

  #nameReplica(replica: number): void {
    this.#named.add(replica);
    const place = { pid: replica, tid: STEPS };
    this.#event({ ph: "M", name: "process_name", ...place, args: { name: `replica ${replica}` } });
    this.#event({ ph: "M", name: "process_sort_index", ...place, args: { sort_index: replica } });
    this.#stepThreads.forEach((name, thread) => {
      this.#nameThread(replica, STEPS + thread, name);
    });
  }

  #nameThread(pid: number, tid: number, name: string): void {
    this.#event({ ph: "M", name: "thread_name", pid, tid, args: { name } });
    this.#event({ ph: "M", name: "thread_sort_index", pid, tid, args: { sort_index: tid } });
  }

  #count(pid: number, atUs: number, running: number, waiting: number, kvBlocks: number): void {
    const ts = nanoseconds(atUs) / 1000;
    const requests = `${running} ${waiting}`;
    if (this.#requests.get(pid) !== requests) {
      this.#requests.set(pid, requests);
      this.#event({ ph: "C", name: "requests", pid, tid: STEPS, ts, args: { running, waiting } });
    }
    if (this.#kvBlocks.get(pid) !== kvBlocks) {
      this.#kvBlocks.set(pid, kvBlocks);
      this.#event({ ph: "C", name: "KV blocks", pid, tid: STEPS, ts, args: { used: kvBlocks } });
    }
  }

  #slice(pid: number, tid: number, cat: string, name: string, fromUs: number, toUs: number, args: object): void {
    const from = nanoseconds(fromUs);
    const dur = (nanoseconds(toUs) - from) / 1000;
    this.#event({ ph: "X", name, cat, pid, tid, ts: from / 1000, dur, args });
  }

  #event(event: object): void {
    this.#write(`${this.#isFirst ? "\n" : ",\n"}${JSON.stringify(event)}`);
    this.#isFirst = false;
  }
}

function stepThreads({ stageStartUs }: StepPassage): string[] {
  const { length } = stageStartUs;
  return [
    "host",
    ...Array.from(stageStartUs, (_, stage) => (length === 1 ? "GPU" : `stage ${stage + 1} of ${length}`)),
  ];
}

/** Whole ones: ends that are equal stay equal. */
function nanoseconds(us: number): number {
  return Math.round(us * 1000);
}

function rounded<Fields extends Record<string, number>>(fields: Fields): Record<string, number> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, Math.round(value * 1000) / 1000]));
}
