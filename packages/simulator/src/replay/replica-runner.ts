// What lets the time between two arrivals go by.

import type { Replica } from "../engine/replica.ts";

/** Both `run` methods return false where it is time for a breath: they are to be called again after it. */
export interface ReplicaRunner {
  /** A replica is about to get something to do. */
  wake(replica: Replica, atUs: number): void;
  /** Lets all come to pass that does before the next arrival, at which the clock then stands. */
  runUntil(arrivalUs: number): boolean;
  /** Lets all come to pass. */
  runOut(): boolean;
}
