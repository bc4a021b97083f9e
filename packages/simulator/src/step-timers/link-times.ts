// What GPUs take to send one another bytes: all-reduces inside a group, and transfers between the stages of a pipeline.
//
// Measured all-reduces say what links and start-up cost. A ring all-reduce of m bytes among g GPUs sends 2·(g − 1)/g · m
// over each link, so whatever sends s bytes over each link of g GPUs is taken to last as long as the all-reduce of
// s · g / (2·(g − 1)) bytes: between two GPUs, of s bytes. Without a measured table it is a fixed time and the data
// sheet's bandwidth.

import { extrapolate } from "../gpu/curve.ts";
import type { CurveTable, GpuProfile } from "../gpu/profile.ts";

/** Start-up of an exchange without a measured table, chosen: a little above the measured all-reduces on NVLink. */
const EXCHANGE_FIXED_US = 6;

export class LinkTimes {
  private readonly bytesPerUs: number;
  private readonly tables = new Map<number, CurveTable["rows"]>();

  constructor(profile: GpuProfile) {
    this.bytesPerUs = profile.interconnectGBps.value * 1e3;
    for (const { gpus, rows } of profile.allReduce) this.tables.set(gpus, rows);
  }

  /** Microseconds of the sum over `gpus` GPUs of so many bytes on each. */
  allReduceUs(gpus: number, bytes: number): number {
    const rows = this.tables.get(gpus);
    if (rows !== undefined) return extrapolate(rows, bytes);
    const sent = (2 * (gpus - 1) * bytes) / gpus;
    return EXCHANGE_FIXED_US + sent / this.bytesPerUs;
  }

  /** Microseconds in which each of `gpus` GPUs sends so many bytes to the others. */
  exchangeUs(gpus: number, sentBytes: number): number {
    const rows = this.tables.get(gpus);
    if (rows !== undefined) return extrapolate(rows, (sentBytes * gpus) / (2 * (gpus - 1)));
    return EXCHANGE_FIXED_US + sentBytes / this.bytesPerUs;
  }
}
