// KV caches on their way from prefill replicas to decode replicas. Each prefill replica sends over a link of its own, one
// request after another; all ranks of a tensor-parallel group send their shares at the same time.

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
    this.#freeAtUs[request.from] = sentUs;
    const transfer = this.#recycled.pop() ?? this.#underway.length;
    this.#underway[transfer] = request;
    this.count++;
    return { transfer, arrivesUs: sentUs + this.#link.latencyUs };
  }

  receive(transfer: number): HandedOver {
    const request = this.#underway[transfer]!;
    this.#underway[transfer] = undefined;
    this.#recycled.push(transfer);
    this.count--;
    return request;
  }
}
