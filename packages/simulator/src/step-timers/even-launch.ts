// The time of one attention launch whose work is spread evenly over all workers.
//
// A worker alternates between piece latencies, L in all, and streaming; so in a launch of length T a share 1 − L/T of
// the P workers streams at a time, and T is where T · B(P · (1 − L/T)) meets the bytes, B being the measured bandwidth
// of n streaming CTAs. Tensor throughput bounds T from below; a merge tail follows where jobs must be cut.
//
// Jobs and tiles say how the work lies on the workers, and change less often than bytes and flops: `arrange`, then `run`.

import type { KernelCosts } from "../kernel/kernel-costs.ts";

/** Longest job over the mean load of a worker up to which batches are taken to be even enough to stay whole; chosen. */
const WHOLE_JOBS_SHARE = 1.1;

/** Rows of one merge of a plan. */
const MERGE_ROWS = 16;

export class EvenLaunch {
  /** Of the last run. */
  durationUs = 0;
  private readonly costs: KernelCosts;
  /** Bytes per µs of n streaming lanes together. */
  private readonly totalRate: Float64Array;
  /** What `leastStreaming` found last. */
  private lastStreaming = 0;
  private cutLanes = 0;
  private cutLatencyUs = 0;
  private mergeUs = 0;
  /** 0 where jobs do not stay whole. */
  private wholeLanes = 0;
  private wholeLatencyUs = 0;

  constructor(costs: KernelCosts) {
    this.costs = costs;
    this.totalRate = costs.streamBytesPerUs.map((rate, lanes) => lanes * rate);
  }

  /** Lays `jobs` of so many KV tiles in all on the workers. `mergeRounds`: of the rows of one job that is cut. */
  arrange(jobs: number, tiles: number, longestTiles: number, mergeRounds: number): void {
    const { laneCount, startUs, writeOutUs } = this.costs;
    // Cut: every worker has the same load, and all but one boundary between workers cut a job.
    const pieces = Math.max(jobs, Math.min(tiles, jobs + laneCount - 1));
    this.cutLanes = Math.min(laneCount, pieces);
    this.cutLatencyUs = (startUs + writeOutUs) * Math.max(1, pieces / laneCount);
    this.mergeUs = this.mergesUs(Math.min(pieces - jobs, jobs), mergeRounds, tiles, longestTiles);
    // Whole: jobs go round by round, and no worker is done before the longest of them.
    const rounds = Math.ceil(jobs / laneCount);
    const longestShare = (longestTiles * rounds * laneCount) / tiles;
    this.wholeLanes = longestShare > WHOLE_JOBS_SHARE ? 0 : Math.ceil(jobs / rounds);
    this.wholeLatencyUs = (startUs + writeOutUs) * rounds;
  }

  /** Of what was arranged, when it moves `bytes` and computes smUs of whole SMs. */
  run(bytes: number, smUs: number): void {
    const cutUs = this.piecesUs(bytes, smUs, this.cutLanes, this.cutLatencyUs) + this.mergeUs;
    const wholeUs =
      this.wholeLanes === 0
        ? Number.POSITIVE_INFINITY
        : this.piecesUs(bytes, smUs, this.wholeLanes, this.wholeLatencyUs);
    this.durationUs = this.costs.launchUs + Math.min(cutUs, wholeUs);
  }

  /** Without work. */
  runEmpty(): void {
    this.durationUs = this.costs.launchUs;
  }

  /** Time of `lanes` equal workers, each of which waits for latencyUs of it. */
  private piecesUs(bytes: number, smUs: number, lanes: number, latencyUs: number): number {
    const tensorUs = latencyUs + smUs / Math.min(this.costs.unitCount, lanes);
    return Math.max(this.streamUs(bytes, lanes, latencyUs), tensorUs);
  }

  /**
   * The T at which `lanes` lanes, each waiting for latencyUs of it, have moved the bytes. With a = lanes · (1 − latency/T)
   * of them streaming, T · B(a) grows with a: the right one lies between two whole numbers, where B is linear.
   */
  private streamUs(bytes: number, lanes: number, latencyUs: number): number {
    const { totalRate } = this;
    if (latencyUs === 0) return bytes / totalRate[lanes]!;
    const waiting = lanes * latencyUs;
    const last = this.lastStreaming;
    const isLast =
      last < lanes &&
      waiting * totalRate[last]! < bytes * (lanes - last) &&
      waiting * totalRate[last + 1]! >= bytes * (lanes - last - 1);
    const low = isLast ? last : this.leastStreaming(bytes, lanes, waiting);
    const slope = totalRate[low + 1]! - totalRate[low]!;
    const active = (bytes * lanes - waiting * (totalRate[low]! - slope * low)) / (waiting * slope + bytes);
    // Equals wait at the same time: nothing streams then.
    return Math.max(waiting / (lanes - active), latencyUs + bytes / this.costs.peakBytesPerUs);
  }

  /**
   * The whole number below the a of `streamUs`. One step is much like the one before it, so the search begins at what was
   * found last and doubles its stride away from there.
   */
  private leastStreaming(bytes: number, lanes: number, waiting: number): number {
    const { totalRate } = this;
    let low = 0;
    let high = lanes;
    let middle = Math.min(this.lastStreaming, lanes - 1);
    for (let stride = 1; high - low > 1; stride *= 2) {
      if (middle <= low || middle >= high) middle = (low + high) >> 1;
      if (waiting * totalRate[middle]! < bytes * (lanes - middle)) {
        low = middle;
        middle += stride;
      } else {
        high = middle;
        middle -= stride;
      }
    }
    this.lastStreaming = low;
    return low;
  }

  /**
   * The longest job is cut into about its share of all workers, and its partial states fold one after the other. The
   * rows of all cut jobs are spread over the workers in merges of 16 rows.
   */
  private mergesUs(cutJobs: number, roundsPerJob: number, tiles: number, longestTiles: number): number {
    const { costs } = this;
    if (cutJobs === 0) return 0;
    const least = Math.min(roundsPerJob, Math.ceil(MERGE_ROWS / costs.mergeRowsAtOnce));
    const rounds = Math.max(least, (cutJobs * roundsPerJob) / costs.laneCount);
    const partials = Math.max(2, Math.min(longestTiles, Math.ceil((longestTiles * costs.laneCount) / tiles)));
    return costs.mergeFixedUs + rounds * (costs.mergeRoundUs + partials * costs.mergePartialUs);
  }
}
