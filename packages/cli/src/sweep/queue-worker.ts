// A worker of the queue: takes jobs, runs them on threads, gives results back. This thread stays free to tell the server that
// the worker lives; when it no longer does, another worker gets its jobs.

import { hostname } from "node:os";
import { type Job, WaitingError, Worker } from "bullmq";
import { connectionTo, openQueue, QUEUE_NAME, QUEUE_PREFIX } from "./queue.ts";
import { type Finished, MAX_ATTEMPTS, type SweepTask } from "./task.ts";
import { TaskKeys } from "./task-key.ts";
import { startThreads, type Threads } from "./threads.ts";

export interface QueueWorkerOptions {
  readonly url: string;
  readonly threads: number;
  /** A worker that is silent for so long is taken for dead. */
  readonly lostAfterS: number;
  readonly signal: AbortSignal;
  /** Called when the number of finished or running jobs changes. */
  readonly onChange: (done: number, running: number) => void;
}

/** Works until `signal`; jobs that run then go back to the queue. Throws InputError where the server cannot be used. */
export async function workOnQueue(options: QueueWorkerOptions): Promise<{ readonly done: number }> {
  const { url, threads: count, lostAfterS, signal, onChange } = options;
  await (await openQueue(url)).close();
  const threads = startThreads(count);
  let done = 0;
  let running = 0;
  const run = jobRunner(threads, signal);
  const worker = new Worker<SweepTask, Finished>(
    QUEUE_NAME,
    async (job, token) => {
      onChange(done, ++running);
      try {
        const finished = await run(job, token);
        done++;
        return finished;
      } finally {
        onChange(done, --running);
      }
    },
    {
      connection: connectionTo(url),
      prefix: QUEUE_PREFIX,
      name: `${hostname()}/${process.pid}`,
      concurrency: count,
      lockDuration: lostAfterS * 1000,
      stalledInterval: lostAfterS * 1000,
      maxStalledCount: MAX_ATTEMPTS - 1,
    },
  );
  // A connection that breaks is made again.
  worker.on("error", () => {});
  try {
    await aborted(signal);
  } finally {
    // Closing takes no more jobs and waits for those that run, which end with their threads.
    const closing = worker.close();
    await threads.end();
    await closing;
  }
  return { done };
}

function jobRunner(threads: Threads, signal: AbortSignal): (job: Job<SweepTask>, token?: string) => Promise<Finished> {
  const keys = new TaskKeys();
  return async (job, token) => {
    const { key, fields } = job.data;
    if ((await keys.keyOf(fields)) !== key) {
      throw new Error(
        `${hostname()} has another version of isochron, or other files of these names, than the machine that started the sweep (files are read once: start a worker again after a change)`,
      );
    }
    try {
      return await threads.runOne(job.data);
    } catch (error) {
      if (!signal.aborted) throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    }
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
