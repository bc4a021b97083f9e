// Runs tasks on threads of this process, as many side by side as it has. A thread that dies (out of memory) is replaced, and
// its task is tried again.

import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import { oneLine } from "../errors.ts";
import { diedOutcome, type Finished, MAX_ATTEMPTS, type RunHooks, type Runner, type SweepTask } from "./task.ts";

/** Threads run built JavaScript; the same path from src/sweep and from dist/sweep. */
const TASK_FILE = fileURLToPath(new URL("../../dist/sweep/run-task.js", import.meta.url));

export interface Threads extends Runner {
  /** One task, however often its thread dies. Throws AbortError when the threads are ended. */
  runOne(task: SweepTask): Promise<Finished>;
  end(): Promise<void>;
}

/** `file`: what runs a task, for tests. */
export function startThreads(threads: number, file: string = TASK_FILE): Threads {
  const pool = new Piscina({
    filename: file,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
    // Options of this process's own loading, as test runners set them, are not for built files.
    execArgv: [],
  });
  const ended = new AbortController();
  // A thread that dies without a task did not start: no other would.
  const broken = new Promise<never>((_, reject) => pool.on("error", reject));
  broken.catch(() => {});

  const runOne = async (task: SweepTask): Promise<Finished> => {
    const startedAt = new Date().toISOString();
    const startMs = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        return (await Promise.race([pool.run(task), broken])) as Finished;
      } catch (error) {
        ended.signal.throwIfAborted();
        if (attempt < MAX_ATTEMPTS) continue;
        const message = `its thread died ${MAX_ATTEMPTS} times (${oneLine((error as Error).message)})`;
        const wallClock = { startedAt, durationMs: performance.now() - startMs, worker: "" };
        return { key: task.key, outcome: diedOutcome(message), wallClock };
      }
    }
  };
  const end = async (): Promise<void> => {
    ended.abort();
    await pool.destroy();
  };
  return {
    runOne,
    end,
    run: async (tasks: readonly SweepTask[], { signal, onFinished }: RunHooks) => {
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < tasks.length && !signal.aborted) onFinished(await runOne(tasks[next++]!));
      };
      const stop = (): void => void end();
      signal.addEventListener("abort", stop, { once: true });
      try {
        await Promise.all(Array.from({ length: threads }, lane));
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        signal.removeEventListener("abort", stop);
        await end();
      }
    },
  };
}
