// The prefixes that a batch names, remembered from one step to the next: a plan is kept while they are the same.

import type { SharedPrefix } from "./batch.ts";

/** A copy, for batches are read and never kept. */
export function copyPrefixes(prefixes: readonly SharedPrefix[] | undefined): readonly SharedPrefix[] | undefined {
  return prefixes?.map(({ requests, kvLen }) => ({ requests: Array.from(requests), kvLen }));
}

/** Whether two lists name the same requests and lengths in the same order. Allocates nothing. */
export function namesTheSame(
  prefixes: readonly SharedPrefix[] | undefined,
  others: readonly SharedPrefix[] | undefined,
): boolean {
  if (prefixes?.length !== others?.length) return false;
  for (let g = 0; g < (prefixes?.length ?? 0); g++) {
    const { requests, kvLen } = prefixes![g]!;
    const other = others![g]!;
    if (kvLen !== other.kvLen || requests.length !== other.requests.length) return false;
    for (let m = 0; m < requests.length; m++) if (requests[m] !== other.requests[m]) return false;
  }
  return true;
}
