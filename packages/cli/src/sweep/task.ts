// What workers are given and what they give back, as plain data: it travels between threads and through Redis.

import type { Fields, Outcome } from "@isochron/simulator";

export interface SweepTask {
  /** What the result depends on, hashed: fields, the content of files, this version. */
  readonly key: string;
  readonly fields: Fields;
  /** Whether the whole report is wanted. */
  readonly keepReport: boolean;
}

/** When and where it ran: of no influence on the outcome. */
export interface WallClock {
  readonly startedAt: string;
  readonly durationMs: number;
  readonly worker: string;
}

export interface Finished {
  readonly key: string;
  readonly outcome: Outcome;
  /** The report as gzipped JSON, in base64. */
  readonly report?: string | undefined;
  readonly wallClock: WallClock;
}

/** What runs tasks: threads of this process, or a queue. */
export interface Runner {
  /**
   * Comes back when every task has been finished or `signal` was aborted; what was finished by then was handed over.
   * Throws where nothing can run at all.
   */
  run(tasks: readonly SweepTask[], hooks: RunHooks): Promise<void>;
}

export interface RunHooks {
  readonly signal: AbortSignal;
  /** Once for each task. */
  readonly onFinished: (finished: Finished) => void;
  /** What there is to say beside the count, such as how many workers there are. */
  readonly onNote: (note: string) => void;
}

/** Chosen: a worker that died for a reason of its machine lives the next time; one that dies thrice dies of the task. */
export const MAX_ATTEMPTS = 3;

/** The result of a task whose workers all died. */
export function diedOutcome(message: string): Outcome {
  return { status: "failed", error: { message } };
}
