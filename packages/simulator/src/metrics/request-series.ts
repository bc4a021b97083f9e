// One record per request, by position in the trace, as a struct of growing arrays.

import { REQUEST_STATUS, type RequestSeries } from "../documents/report.ts";
import type { RequestTable } from "../engine/request-table.ts";
import { grown } from "../typed-arrays.ts";
import { roundToNs } from "./step-series.ts";

export const COMPLETED: number = REQUEST_STATUS.indexOf("completed");
const REJECTED: number = REQUEST_STATUS.indexOf("rejected");
export const UNFINISHED: number = REQUEST_STATUS.indexOf("unfinished");

export class RequestSeriesRecorder {
  readonly #limit: number;
  #count = 0;
  #capacity = 1024;
  #replica = new Int32Array(1024);
  #status = new Int32Array(1024);
  #arrivalUs = new Float64Array(1024);
  #scheduledUs = new Float64Array(1024);
  #firstTokenUs = new Float64Array(1024);
  #endUs = new Float64Array(1024);
  #inputTokens = new Int32Array(1024);
  #outputTokens = new Int32Array(1024);
  #cachedTokens = new Int32Array(1024);
  #preemptions = new Int32Array(1024);
  #firstStep = new Int32Array(1024);
  #lastStep = new Int32Array(1024);

  /** Replays of more than `limit` requests keep no records. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  rejected(id: number, arrivalUs: number, inputTokens: number, outputTokens: number): void {
    if (!this.#reserve(id)) return;
    this.#replica[id] = -1;
    this.#status[id] = REJECTED;
    this.#arrivalUs[id] = arrivalUs;
    this.#scheduledUs[id] = -1;
    this.#firstTokenUs[id] = -1;
    this.#endUs[id] = -1;
    this.#inputTokens[id] = inputTokens;
    this.#outputTokens[id] = outputTokens;
    this.#firstStep[id] = -1;
    this.#lastStep[id] = -1;
  }

  /** A request that completed in step `lastStep`, or is unfinished (`lastStep` −1). */
  record(status: number, replica: number, lastStep: number, requests: RequestTable, slot: number): void {
    const id = requests.id[slot]!;
    if (!this.#reserve(id)) return;
    this.#replica[id] = replica;
    this.#status[id] = status;
    this.#arrivalUs[id] = requests.arrivalUs[slot]!;
    this.#scheduledUs[id] = requests.scheduledUs[slot]!;
    this.#firstTokenUs[id] = requests.firstTokenUs[slot]!;
    this.#endUs[id] = status === COMPLETED ? requests.lastTokenUs[slot]! : -1;
    this.#inputTokens[id] = requests.visible.inputTokens[slot]!;
    this.#outputTokens[id] = requests.outputTokens[slot]!;
    this.#cachedTokens[id] = requests.cachedTokens[slot]!;
    this.#preemptions[id] = requests.preemptions[slot]!;
    this.#firstStep[id] = requests.firstStep[slot]!;
    this.#lastStep[id] = lastStep;
  }

  /** Undefined when there were more requests than records are kept for. */
  series(): RequestSeries | undefined {
    if (this.#count > this.#limit) return undefined;
    const integers = (array: Int32Array): number[] => Array.from(array.subarray(0, this.#count));
    const times = (array: Float64Array): number[] => Array.from(array.subarray(0, this.#count), roundToNs);
    return {
      id: Array.from({ length: this.#count }, (_, id) => id),
      replica: integers(this.#replica),
      status: integers(this.#status),
      arrivalUs: times(this.#arrivalUs),
      scheduledUs: times(this.#scheduledUs),
      firstTokenUs: times(this.#firstTokenUs),
      endUs: times(this.#endUs),
      inputTokens: integers(this.#inputTokens),
      outputTokens: integers(this.#outputTokens),
      cachedTokens: integers(this.#cachedTokens),
      preemptions: integers(this.#preemptions),
      firstStep: integers(this.#firstStep),
      lastStep: integers(this.#lastStep),
    };
  }

  #reserve(id: number): boolean {
    if (id >= this.#count) this.#count = id + 1;
    if (id >= this.#limit) return false;
    while (id >= this.#capacity) this.#grow();
    return true;
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#replica = grown(this.#replica, this.#capacity);
    this.#status = grown(this.#status, this.#capacity);
    this.#arrivalUs = grown(this.#arrivalUs, this.#capacity);
    this.#scheduledUs = grown(this.#scheduledUs, this.#capacity);
    this.#firstTokenUs = grown(this.#firstTokenUs, this.#capacity);
    this.#endUs = grown(this.#endUs, this.#capacity);
    this.#inputTokens = grown(this.#inputTokens, this.#capacity);
    this.#outputTokens = grown(this.#outputTokens, this.#capacity);
    this.#cachedTokens = grown(this.#cachedTokens, this.#capacity);
    this.#preemptions = grown(this.#preemptions, this.#capacity);
    this.#firstStep = grown(this.#firstStep, this.#capacity);
    this.#lastStep = grown(this.#lastStep, this.#capacity);
  }
}
