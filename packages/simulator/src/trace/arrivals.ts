// Records in the order of the file → requests in the order of arrival, on the replay's clock.
//
// Most traces are sorted and pass straight through. Out-of-order records are sorted within a window of the last 65,536,
// so memory stays flat; a record that comes later than that is an error. Time 0 is the first arrival.

import type { TraceRequest } from "./trace.ts";

/** Chosen: hours of any published trace, some megabytes of memory. */
const WINDOW = 65_536;

export interface ArrivalOptions {
  /** Arrivals come this many times as fast as in the trace. */
  readonly rate: number;
  /**
   * Requests with the same timestamp are spread evenly until the next one, or over the trace's smallest gap where that is
   * shorter: for traces whose clock is coarse.
   */
  readonly spreadTicks: boolean;
}

/** A record that belongs before what has already been handed out. */
export class LateArrival extends Error {
  override readonly name = "LateArrival";
}

export class ArrivalOrder {
  readonly #options: ArrivalOptions;
  /** Sorted by time; equal times in file order. */
  #pending: TraceRequest[] = [];
  #startUs = Number.NaN;
  #handedOutUs = Number.NEGATIVE_INFINITY;
  #tickUs = Number.POSITIVE_INFINITY;
  /** Records that came after a later one. */
  outOfOrder = 0;

  constructor(options: ArrivalOptions) {
    this.#options = options;
  }

  /** @throws LateArrival when the record is more than the window out of order */
  add(request: TraceRequest): void {
    if (request.arrivalUs < this.#handedOutUs) throw new LateArrival();
    const pending = this.#pending;
    let position = pending.length;
    if (position > 0 && pending[position - 1]!.arrivalUs > request.arrivalUs) {
      this.outOfOrder++;
      let low = 0;
      while (low < position) {
        const middle = (low + position) >> 1;
        if (pending[middle]!.arrivalUs > request.arrivalUs) position = middle;
        else low = middle + 1;
      }
      pending.splice(position, 0, request);
    } else pending.push(request);
  }

  /** Requests that nothing can come before any more: all of them once the file has ended. */
  take(hasEnded: boolean): TraceRequest[] {
    const pending = this.#pending;
    let end = hasEnded ? pending.length : pending.length > 2 * WINDOW ? pending.length - WINDOW : 0;
    // Ties stay together, or they could not be spread.
    if (!hasEnded) while (end > 0 && pending[end]!.arrivalUs === pending[end - 1]!.arrivalUs) end--;
    if (end === 0) return [];
    this.#pending = pending.slice(end);
    const requests = end === pending.length ? pending : pending.slice(0, end);
    const nextUs = this.#pending[0]?.arrivalUs ?? Number.POSITIVE_INFINITY;
    if (Number.isNaN(this.#startUs)) this.#startUs = requests[0]!.arrivalUs;
    this.#handedOutUs = requests[end - 1]!.arrivalUs;
    if (this.#options.spreadTicks) this.#spread(requests, nextUs);
    for (const request of requests) request.arrivalUs = (request.arrivalUs - this.#startUs) / this.#options.rate;
    return requests;
  }

  #spread(requests: TraceRequest[], nextUs: number): void {
    for (let i = 1; i < requests.length; i++) {
      const gap = requests[i]!.arrivalUs - requests[i - 1]!.arrivalUs;
      if (gap > 0 && gap < this.#tickUs) this.#tickUs = gap;
    }
    let start = 0;
    while (start < requests.length) {
      const atUs = requests[start]!.arrivalUs;
      let end = start + 1;
      while (end < requests.length && requests[end]!.arrivalUs === atUs) end++;
      const untilUs = end < requests.length ? requests[end]!.arrivalUs : nextUs;
      const widthUs = Math.min(untilUs - atUs, this.#tickUs);
      // A trace of one instant has no tick to spread over.
      if (widthUs < Number.POSITIVE_INFINITY) {
        for (let i = start; i < end; i++) requests[i]!.arrivalUs = atUs + (widthUs * (i - start)) / (end - start);
      }
      start = end;
    }
  }
}
