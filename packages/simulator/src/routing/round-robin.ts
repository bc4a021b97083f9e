// One after the other.

import type { Router } from "./router.ts";

export function createRoundRobin(): Router {
  let next = 0;
  return {
    route: (replicas) => {
      const chosen = next;
      next = (next + 1) % replicas.length;
      return chosen;
    },
  };
}
