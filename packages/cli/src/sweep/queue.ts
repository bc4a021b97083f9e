// The queue of tasks on Redis or Valkey, which coordinators fill and workers empty, on any number of machines.
//
// A job's name is the key of its task, so that a sweep that is started again, or twice, finds the jobs and results that are
// there. A result stays in Redis until a coordinator has written it to its journal.

import { type ConnectionOptions, Queue } from "bullmq";
import { Redis } from "ioredis";
import { InputError, oneLine } from "../errors.ts";
import type { Finished, SweepTask } from "./task.ts";

export const QUEUE_NAME = "sweep";
export const QUEUE_PREFIX = "isochron";

/** BullMQ's scripts need it. Valkey, which began with 7.2, says an equal number. */
const OLDEST_VERSION = [6, 2] as const;
const CONNECT_MS = 10_000;

export type SweepQueue = Queue<SweepTask, Finished>;

/** The address as it can be shown: without the password. */
export function shownUrl(url: string): string {
  return url.replace(/(\/\/[^/@]*:)[^/@]*@/, "$1…@");
}

export function connectionTo(url: string): ConnectionOptions {
  // Null: a command waits for as long as the server is away.
  return { url, maxRetriesPerRequest: null };
}

/** The queue, once the server has answered. Throws InputError where it cannot be reached or used. */
export async function openQueue(url: string): Promise<SweepQueue> {
  await requireServer(url);
  const queue: SweepQueue = new Queue(QUEUE_NAME, { connection: connectionTo(url), prefix: QUEUE_PREFIX });
  // A connection that breaks is made again; without a listener it would end the process.
  queue.on("error", () => {});
  return queue;
}

async function requireServer(url: string): Promise<void> {
  if (!/^rediss?:\/\/./.test(url)) {
    throw new InputError(`--queue: found "${shownUrl(url)}", expected an address such as redis://127.0.0.1:6379`);
  }
  const probe = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let reason = "";
  probe.on("error", (error: Error) => {
    reason ||= oneLine(error.message);
  });
  let info: string;
  try {
    await probe.connect();
    info = await probe.info();
  } catch (error) {
    const found = reason || oneLine((error as Error).message);
    throw new InputError(
      `--queue: ${shownUrl(url)} does not answer (${found}), expected a Redis or Valkey server that does`,
    );
  } finally {
    probe.disconnect();
  }
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? "unknown";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor < OLDEST_VERSION[1])) {
    throw new InputError(
      `--queue: ${shownUrl(url)} has version ${version}, expected ${OLDEST_VERSION.join(".")} or newer`,
    );
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy !== undefined && policy !== "noeviction") {
    throw new InputError(
      `--queue: ${shownUrl(url)} has the maxmemory-policy ${policy}, under which results can be lost, expected noeviction`,
    );
  }
}
