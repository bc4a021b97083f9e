// What of the KV cache L2 still holds: one range of tokens for each (request, KV head) or shared-prefix group.
//
// A range that was touched stays until as many bytes as L2 has came from HBM since (least recently used, whole cache).
// A second reader of the range is served from L2 for the overlap: query tiles of one request and head, query heads of
// one KV head, members of a prefix group. The first reader pays HBM, even while it is still reading: readers that start
// together run through the range together, and each line comes from HBM once.

import type { Plan } from "@isochron/planner";
import { Header } from "@isochron/planner";

export class KvResidency {
  private low: Int32Array = new Int32Array(1024);
  private high: Int32Array = new Int32Array(1024);
  private stampBytes: Float64Array = new Float64Array(1024);
  private l2Bytes = 0;
  private requestCount = 0;
  private kvHeads = 0;
  private headsPerKvHead = 1;

  /** Empties it, for the KV of a plan. `cellsPerHead`: ranges that are told apart for each KV head. Returns how many in all. */
  reset(plan: Plan, l2Bytes: number, cellsPerHead = 1): number {
    const { header, requestCount } = plan;
    this.l2Bytes = l2Bytes;
    this.requestCount = requestCount;
    this.kvHeads = header[Header.kvHeads]!;
    this.headsPerKvHead = headsPerKvHead(plan);
    const keys = (requestCount + header[Header.groupCount]!) * this.kvHeads * cellsPerHead;
    if (keys > this.low.length) {
      this.low = new Int32Array(keys * 2);
      this.high = new Int32Array(keys * 2);
      this.stampBytes = new Float64Array(keys * 2);
    }
    this.low.fill(0, 0, keys);
    this.high.fill(0, 0, keys);
    return keys;
  }

  /** Number of the KV that a piece with this head reads, of one KV head; `request` is negative for shared prefixes. */
  keyOf(request: number, head: number): number {
    const owner = request >= 0 ? request : this.requestCount - 1 - request;
    return owner * this.kvHeads + ((head / this.headsPerKvHead) | 0);
  }

  /** Tokens of [start, end) that L2 holds when `hbmBytes` have come from HBM so far; the range is then resident. */
  touch(key: number, start: number, end: number, hbmBytes: number): number {
    const { low, high, stampBytes } = this;
    const residentLow = low[key]!;
    const residentHigh = high[key]!;
    const fresh = residentHigh > residentLow && hbmBytes - stampBytes[key]! <= this.l2Bytes;
    stampBytes[key] = hbmBytes;
    if (!fresh || start > residentHigh || end < residentLow) {
      low[key] = start;
      high[key] = end;
      return 0;
    }
    low[key] = Math.min(residentLow, start);
    high[key] = Math.max(residentHigh, end);
    return Math.max(0, Math.min(end, residentHigh) - Math.max(start, residentLow));
  }
}

/** Heads of pieces that read the same KV: 1 where a piece packs all query heads of a KV head. */
export function headsPerKvHead({ header }: Plan): number {
  return header[Header.packedHeads]! === 1 ? header[Header.queryHeads]! / header[Header.kvHeads]! : 1;
}
