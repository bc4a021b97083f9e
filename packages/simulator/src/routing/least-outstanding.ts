// The replica with the fewest requests that wait or run.

import type { ReplicaSignals, Router } from "./router.ts";

export function createLeastOutstanding(): Router {
  return { route: leastOutstanding };
}

export function leastOutstanding(replicas: readonly ReplicaSignals[]): number {
  let chosen = 0;
  for (let i = 1; i < replicas.length; i++) {
    if (replicas[i]!.outstanding < replicas[chosen]!.outstanding) chosen = i;
  }
  return chosen;
}
