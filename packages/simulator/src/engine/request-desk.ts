// Where requests come to a replica and leave it: at their last token, or to another replica once they have their first. Table,
// KV cache and batching policy hear of it here, in this order when one comes and the other way round when it goes.

import type { HandedOver } from "./kv-transfers.ts";
import type { ReplicaParts } from "./replica-parts.ts";

export class RequestDesk {
  readonly #parts: ReplicaParts;
  /** Takes over requests that have their first token; undefined where they stay. */
  handOver: ((request: HandedOver) => void) | undefined;
  /** Requests whose KV is on its way to another replica. */
  sending = 0;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  /** A request that has just arrived. The caller sees to it that the replica acts at that time or later. */
  accept(
    id: number,
    arrivalUs: number,
    inputTokens: number,
    outputTokens: number,
    content: Int32Array | undefined,
  ): void {
    const { requests, kvCache, policy, maxContextTokens } = this.#parts;
    // Who gives requests away asks for one token.
    const mostTokens = this.handOver === undefined ? maxContextTokens : inputTokens + 1;
    const slot = requests.add(id, arrivalUs, inputTokens, outputTokens, mostTokens);
    kvCache.attach(slot, content, inputTokens);
    policy.enqueue(slot);
  }

  /** A request whose prompt another replica has computed and whose KV has come over. */
  acceptTransferred(request: HandedOver): void {
    const { requests, kvCache, policy, maxContextTokens } = this.#parts;
    const { id, arrivalUs, inputTokens, outputTokens, content } = request;
    const slot = requests.add(id, arrivalUs, inputTokens, outputTokens, maxContextTokens);
    requests.visible.knownTokens[slot] = inputTokens + 1;
    requests.visible.transferredTokens[slot] = inputTokens;
    requests.generatedTokens[slot] = 1;
    requests.scheduledUs[slot] = request.scheduledUs;
    requests.firstTokenUs[slot] = request.firstTokenUs;
    requests.lastTokenUs[slot] = request.firstTokenUs;
    requests.cachedTokens[slot] = request.cachedTokens;
    requests.preemptions[slot] = request.preemptions;
    kvCache.attach(slot, content, inputTokens);
    policy.enqueue(slot);
  }

  /** A request has its last token. */
  finish(slot: number): void {
    this.#parts.policy.finish(slot);
    this.#release(slot);
  }

  /** A request has its first token and goes on elsewhere. Its blocks stay until all of its KV is sent. */
  giveAway(slot: number): void {
    const { index, requests, kvCache, policy } = this.#parts;
    policy.finish(slot);
    this.sending++;
    this.handOver!({
      from: index,
      slot,
      id: requests.id[slot]!,
      arrivalUs: requests.arrivalUs[slot]!,
      scheduledUs: requests.scheduledUs[slot]!,
      firstTokenUs: requests.firstTokenUs[slot]!,
      inputTokens: requests.visible.inputTokens[slot]!,
      outputTokens: requests.outputTokens[slot]!,
      content: kvCache.contentOf(slot),
      cachedTokens: requests.cachedTokens[slot]!,
      preemptions: requests.preemptions[slot]!,
    });
  }

  /** The KV of a request that was given away has arrived elsewhere. */
  releaseGivenAway(slot: number): void {
    this.sending--;
    this.#release(slot);
  }

  #release(slot: number): void {
    const { requests, kvCache } = this.#parts;
    kvCache.release(slot, requests.visible.computedTokens[slot]!);
    kvCache.detach(slot);
    requests.remove(slot);
  }
}
