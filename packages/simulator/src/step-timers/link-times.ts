// What GPUs take to send one another bytes: all-reduces inside a group, gathers, transfers between the stages of a pipeline,
// tokens on their way to experts and back.
//
// Measured tables say what links and start-up cost. In an all-to-all each of g GPUs sends (g − 1)/g of its bytes, half of
// them between two: so much do transfers take. A ring all-reduce of m bytes sends 2·(g − 1)/g · m over each link, so whatever
// else sends s bytes over each link is taken to last as long as the all-reduce of s · g / (2·(g − 1)) bytes. Without a
// measured table it is a fixed time and the data sheet's bandwidth.

import { extrapolate } from "../gpu/curve.ts";
import type { CurveTable, GpuProfile } from "../gpu/profile.ts";

type Tables = ReadonlyMap<number, CurveTable["rows"]>;

/** Start-up of an exchange without a measured table, chosen: a little above the measured all-reduces on NVLink. */
const EXCHANGE_FIXED_US = 6;

export class LinkTimes {
  private readonly bytesPerUs: number;
  private readonly allReduce: Tables;
  private readonly allToAll: Tables;

  constructor(profile: GpuProfile) {
    this.bytesPerUs = profile.interconnectGBps.value * 1e3;
    this.allReduce = new Map(profile.allReduce.map(({ gpus, rows }) => [gpus, rows]));
    this.allToAll = new Map(profile.allToAll?.map(({ gpus, rows }) => [gpus, rows]));
  }

  /** Microseconds of the sum over `gpus` GPUs of so many bytes on each. */
  allReduceUs(gpus: number, bytes: number): number {
    const rows = this.allReduce.get(gpus);
    if (rows !== undefined) return extrapolate(rows, bytes);
    const sent = (2 * (gpus - 1) * bytes) / gpus;
    return EXCHANGE_FIXED_US + sent / this.bytesPerUs;
  }

  /** Microseconds in which each of `gpus` GPUs sends so many bytes to the others, an equal part to each. */
  allToAllUs(gpus: number, sentBytes: number): number {
    const rows = this.allToAll.get(gpus);
    if (rows !== undefined) return extrapolate(rows, (sentBytes * gpus) / (gpus - 1));
    return this.gatherUs(gpus, sentBytes);
  }

  /** Microseconds of so many bytes from one GPU to another. */
  transferUs(bytes: number): number {
    return this.allToAllUs(2, bytes);
  }

  /** Microseconds in which each of `gpus` GPUs hands all others its part, so that so many bytes leave it. */
  gatherUs(gpus: number, sentBytes: number): number {
    const rows = this.allReduce.get(gpus);
    if (rows !== undefined) return extrapolate(rows, (sentBytes * gpus) / (2 * (gpus - 1)));
    return EXCHANGE_FIXED_US + sentBytes / this.bytesPerUs;
  }
}
