// The replica whose KV cache is emptiest; among equally full ones the one with the fewest requests, since blocks are only
// taken once a request runs.

import type { Router } from "./router.ts";

export function createLeastKv(): Router {
  return {
    route: (replicas) => {
      let chosen = 0;
      for (let i = 1; i < replicas.length; i++) {
        const { kvUsage, outstanding } = replicas[i]!;
        const best = replicas[chosen]!;
        if (kvUsage < best.kvUsage || (kvUsage === best.kvUsage && outstanding < best.outstanding)) chosen = i;
      }
      return chosen;
    },
  };
}
