// Which replica a request goes to, decided when it arrives.

import type { RandomStream } from "../random.ts";

/** What a router can see of a replica: as it is at the instant of an arrival, or as it was when it was last asked. */
export interface ReplicaSignals {
  /** Requests that wait or run there. */
  readonly outstanding: number;
  /** Used share of the KV cache, 0 to 1. */
  readonly kvUsage: number;
  /** Tokens of a prompt in its prefix cache. */
  matchTokens(content: Int32Array | undefined, inputTokens: number): number;
}

export interface Router {
  /** Index of the replica. Ties go to the lowest index. */
  route(replicas: readonly ReplicaSignals[], content: Int32Array | undefined, inputTokens: number): number;
}

export type CreateRouter = (random: RandomStream) => Router;
