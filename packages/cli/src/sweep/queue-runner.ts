// Runs tasks through the queue: puts them there, and takes results away as they come. Whatever ends this process, results and
// jobs stay in the queue, and the same sweep, started again, takes them from there.

import { setTimeout as wait } from "node:timers/promises";
import type { JobType } from "bullmq";
import { openQueue, type SweepQueue } from "./queue.ts";
import { diedOutcome, type Finished, MAX_ATTEMPTS, type RunHooks, type Runner, type SweepTask } from "./task.ts";

/** Chosen: seldom enough to cost the server nothing, often enough to feel immediate. */
const POLL_MS = 200;
/** Jobs that someone else has taken away, and the number of workers, are looked for at every so many polls. */
const POLLS_PER_CHECK = 25;
/** Chosen: some hundred kilobytes in one command. */
const JOBS_PER_COMMAND = 500;
/** A worker that has other files or another version fails at once; this leaves time for another one to take the job. */
const RETRY_MS = 1000;

/** Throws InputError where the server cannot be used. */
export async function openQueueRunner(url: string): Promise<Runner> {
  const queue = await openQueue(url);
  return {
    run: async (tasks, hooks) => {
      try {
        await new QueueRun(queue, tasks, hooks).run();
      } finally {
        await queue.close();
      }
    },
  };
}

class QueueRun {
  readonly #queue: SweepQueue;
  readonly #hooks: RunHooks;
  /** By job. */
  readonly #pending: Map<string, SweepTask>;

  constructor(queue: SweepQueue, tasks: readonly SweepTask[], hooks: RunHooks) {
    this.#queue = queue;
    this.#hooks = hooks;
    this.#pending = new Map(tasks.map((task) => [jobOf(task), task]));
  }

  async run(): Promise<void> {
    const { signal } = this.#hooks;
    // What failed for an earlier coordinator is tried again.
    for (const job of await this.#ours("failed")) await this.#queue.remove(job);
    await this.#add([...this.#pending.keys()]);
    for (let poll = 0; !signal.aborted; poll++) {
      await this.#collect();
      if (this.#pending.size === 0) return;
      if (poll % POLLS_PER_CHECK === 0) await this.#check();
      await wait(POLL_MS, undefined, { signal }).catch(() => {});
    }
    // Nobody would wait for these; what runs now is found by the next start.
    for (const job of await this.#ours("wait", "delayed")) await this.#queue.remove(job).catch(() => {});
    await this.#collect();
  }

  /** A job that is there already stays as it is. */
  async #add(jobs: readonly string[]): Promise<void> {
    for (let first = 0; first < jobs.length; first += JOBS_PER_COMMAND) {
      await this.#queue.addBulk(
        jobs.slice(first, first + JOBS_PER_COMMAND).map((jobId) => ({
          name: "replay",
          data: this.#pending.get(jobId)!,
          opts: { jobId, attempts: MAX_ATTEMPTS, backoff: { type: "fixed", delay: RETRY_MS } },
        })),
      );
    }
  }

  async #collect(): Promise<void> {
    for (const state of ["completed", "failed"] as const) {
      for (const id of await this.#ours(state)) {
        const job = await this.#queue.getJob(id);
        // Another coordinator of the same sweep was faster: the check below puts it there again.
        if (job === undefined) continue;
        const { key } = this.#pending.get(id)!;
        const finished: Finished =
          state === "completed"
            ? job.returnvalue
            : {
                key,
                outcome: diedOutcome(`its workers gave up: ${job.failedReason}`),
                wallClock: {
                  startedAt: new Date(job.processedOn ?? job.timestamp).toISOString(),
                  durationMs: 0,
                  worker: "",
                },
              };
        this.#hooks.onFinished(finished);
        this.#pending.delete(id);
        // Only now: it is in the journal.
        await this.#queue.remove(id);
      }
    }
  }

  async #check(): Promise<void> {
    const known = new Set(await this.#jobs("wait", "active", "delayed", "prioritized", "completed", "failed"));
    await this.#add([...this.#pending.keys()].filter((job) => !known.has(job)));
    // Managed servers may not tell who is connected.
    const workers = await this.#queue.getWorkersCount().catch(() => undefined);
    this.#hooks.onNote(
      workers === undefined
        ? ""
        : workers === 0
          ? "no worker: start `isochron sweep --worker --queue URL`"
          : `${workers} ${workers === 1 ? "worker" : "workers"}`,
    );
  }

  /** Jobs of this sweep in these states. */
  async #ours(...states: JobType[]): Promise<string[]> {
    return (await this.#jobs(...states)).filter((job) => this.#pending.has(job));
  }

  /** Jobs of all sweeps. */
  #jobs(...states: JobType[]): Promise<string[]> {
    return this.#queue.getRanges(states, 0, -1);
  }
}

/** A sweep that keeps reports does not take the results of one that did not. */
function jobOf({ key, keepReport }: SweepTask): string {
  return keepReport ? `${key}-report` : `${key}-row`;
}
