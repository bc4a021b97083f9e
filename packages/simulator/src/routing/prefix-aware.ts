// The replica that has most of the prompt cached, as long as load stays even; else the one with the fewest requests.

import { leastOutstanding } from "./least-outstanding.ts";
import type { Router } from "./router.ts";

/** SGLang's router leaves affinity when loads differ by more than 64 requests and by more than half (its defaults). */
const IMBALANCE_REQUESTS = 64;
const IMBALANCE_RATIO = 1.5;
/** Share of the prompt that must match to matter. SGLang's router: cache_threshold 0.5; chosen lower here because the
 * shared system prompts of production traces are a small share of long prompts and still worth a hit. */
const LEAST_MATCH = 0.1;

export function createPrefixAware(): Router {
  return {
    route: (replicas, content, inputTokens) => {
      const emptiest = leastOutstanding(replicas);
      const least = replicas[emptiest]!.outstanding;
      let chosen = emptiest;
      let longest = replicas[emptiest]!.matchTokens(content, inputTokens);
      for (let i = 0; i < replicas.length; i++) {
        const { outstanding } = replicas[i]!;
        if (outstanding - least > IMBALANCE_REQUESTS && outstanding > IMBALANCE_RATIO * least) continue;
        const match = replicas[i]!.matchTokens(content, inputTokens);
        const isLonger = match > longest && match >= LEAST_MATCH * inputTokens;
        const isEmptier = match === longest && match > 0 && outstanding < replicas[chosen]!.outstanding;
        if (isLonger || isEmptier) {
          chosen = i;
          longest = match;
        }
      }
      return chosen;
    },
  };
}
