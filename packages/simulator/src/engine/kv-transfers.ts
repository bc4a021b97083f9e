// KV caches on their way from prefill replicas to decode replicas. Each prefill replica sends over a link of its own, one
// request after another; all ranks of a tensor-parallel group send their shares at the same time.

import type { Metrics } from "../documents/report.ts";

export interface KvLink {
  /** Of each GPU, one direction. */
  readonly bandwidthGBps: number;
  /** Before the first byte. */
  readonly latencyUs: number;
}

/** A request that has its first token and goes on elsewhere. */
export interface HandedOver {
  readonly from: number;
  /** Slot on the prefill replica, whose blocks stay until all is sent. */
  readonly slot: number;
  readonly id: number;
  readonly arrivalUs: number;
  readonly scheduledUs: number;
  readonly firstTokenUs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly content: Int32Array | undefined;
  readonly cachedTokens: number;
  readonly preemptions: number;
}

export class KvTransfers {
  readonly #link: KvLink;
  readonly #bytesPerToken: number;
  /** When the link of each replica is free again. */
  readonly #freeAtUs: Float64Array;
  readonly #underway: (HandedOver | undefined)[] = [];
  readonly #recycled: number[] = [];
  /** Requests that are being sent or wait to be. */
  count = 0;
  #sent = 0;
  #busyUs = 0;
  #delaySumUs = 0;
  #delayMaxUs = 0;

  constructor(link: KvLink, bytesPerToken: number, replicas: number) {
    this.#link = link;
    this.#bytesPerToken = bytesPerToken;
    this.#freeAtUs = new Float64Array(replicas);
  }

  /** Returns a number for the transfer and when it will have arrived. */
  send(request: HandedOver, nowUs: number): { transfer: number; arrivesUs: number } {
    const startUs = Math.max(nowUs, this.#freeAtUs[request.from]!);
    const bytes = request.inputTokens * this.#bytesPerToken;
    // 1 GB/s is 1,000 bytes per microsecond.
    const sentUs = startUs + bytes / (this.#link.bandwidthGBps * 1000);
    const arrivesUs = sentUs + this.#link.latencyUs;
    this.#freeAtUs[request.from] = sentUs;
    this.#busyUs += sentUs - startUs;
    this.#delaySumUs += arrivesUs - nowUs;
    this.#delayMaxUs = Math.max(this.#delayMaxUs, arrivesUs - nowUs);
    this.#sent++;
    const transfer = this.#recycled.pop() ?? this.#underway.length;
    this.#underway[transfer] = request;
    this.count++;
    return { transfer, arrivesUs };
  }

  receive(transfer: number): HandedOver {
    const request = this.#underway[transfer]!;
    this.#underway[transfer] = undefined;
    this.#recycled.push(transfer);
    this.count--;
    return request;
  }

  /** How long requests were on their way, and the share of the time until `endUs` in which the links of `senders` replicas sent. */
  summary(endUs: number, senders: number): NonNullable<Metrics["kvTransfers"]> {
    // What a replay that was stopped had yet to send.
    const ahead = this.#freeAtUs.reduce((sum, freeUs) => sum + Math.max(0, freeUs - endUs), 0);
    return {
      meanMs: this.#sent === 0 ? 0 : this.#delaySumUs / this.#sent / 1000,
      maxMs: this.#delayMaxUs / 1000,
      linkUse: endUs > 0 ? (this.#busyUs - ahead) / (endUs * senders) : 0,
    };
  }
}
