// A replica as a router sees it that polls: what it was like at the last poll.

import type { ReplicaSignals } from "./router.ts";

/** What has to be known of a replica to poll it. */
export interface PolledReplica extends ReplicaSignals {
  readonly kvCache: {
    rememberContent(): void;
    rememberedMatchTokens(content: Int32Array | undefined, inputTokens: number): number;
  };
}

export class StaleSignals implements ReplicaSignals {
  outstanding = 0;
  kvUsage = 0;
  readonly #replica: PolledReplica;

  /** As of a replica that has nothing to do yet. */
  constructor(replica: PolledReplica) {
    this.#replica = replica;
    replica.kvCache.rememberContent();
  }

  refresh(): void {
    this.outstanding = this.#replica.outstanding;
    this.kvUsage = this.#replica.kvUsage;
    this.#replica.kvCache.rememberContent();
  }

  matchTokens(content: Int32Array | undefined, inputTokens: number): number {
    return this.#replica.kvCache.rememberedMatchTokens(content, inputTokens);
  }
}
