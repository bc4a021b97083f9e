// The `analytic` step timer: attention from sums over the batch, as if its work were spread evenly over all workers.
//
// A worker alternates between piece latencies, L in all, and streaming; so in a launch of length T a share 1 − L/T of
// the P workers streams at a time, and T is where T · B(P · (1 − L/T)) meets the bytes, B being the measured bandwidth
// of n streaming CTAs. Tensor throughput bounds T from below; a merge tail follows where jobs must be cut. What it
// cannot see is imbalance: on even batches it agrees with the `kernel` timer, on others it is the optimist.

import type { AttentionShape, Device } from "@isochron/planner";
import { groupSize, queryTileFor } from "@isochron/planner";
import { plannerDevice } from "../gpu/planner-device.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import { type KernelCosts, resolveCosts } from "../kernel/kernel-costs.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Step, StepTimer, StepTiming } from "../step.ts";
import { StageCosts } from "./stage-costs.ts";
import type { StepCostOptions } from "./step-costs.ts";

/** Longest job over the mean load of a worker up to which batches are taken to be even enough to stay whole; chosen. */
const WHOLE_JOBS_SHARE = 1.1;

/** Rows of one merge of a plan. */
const MERGE_ROWS = 16;

export class AnalyticTimer implements StepTimer {
  readonly name = "analytic";
  private readonly costs: StageCosts;
  private readonly attention: AttentionShape;
  private readonly device: Device;
  private readonly launch: KernelCosts;
  private readonly group: number;
  /** Rows of the query tile of a decode. */
  private readonly decodeRows: number;
  /** Bits of a whole number of KV tokens below its tiles; −1 where a tile is no power of two tokens. */
  private readonly tileShift: number;
  /** Bytes per µs of n streaming lanes together. */
  private readonly totalRate: Float64Array;
  /** What `leastStreaming` found last. */
  private lastStreaming = 0;

  constructor(
    model: ModelConfig,
    profile: GpuProfile,
    tensorParallel: number,
    attention: AttentionShape,
    options: StepCostOptions,
  ) {
    this.costs = new StageCosts(model, profile, tensorParallel, options);
    this.attention = attention;
    this.device = plannerDevice(profile, attention);
    this.launch = resolveCosts(
      {
        smCount: this.device.smCount,
        ctasPerSm: this.device.ctasPerSm,
        ctasPerWorker: 1,
        policy: "",
        headDim: attention.headDim,
        valueHeadDim: attention.valueHeadDim ?? attention.headDim,
        kvHeads: attention.kvHeads,
        dtype: attention.dtype,
        kvDtype: attention.kvDtype,
        kvTileTokens: this.device.costModel.kvTileTokens,
      },
      profile,
    );
    this.group = groupSize(attention);
    this.decodeRows = queryTileFor(this.device.costModel, this.group).rows;
    const tileBits = Math.log2(this.device.costModel.kvTileTokens);
    this.tileShift = Number.isInteger(tileBits) ? tileBits : -1;
    this.totalRate = this.launch.streamBytesPerUs.map((rate, lanes) => lanes * rate);
  }

  time(step: Step): StepTiming {
    return this.costs.addUp(this.attentionUs(step), step);
  }

  /** One layer's attention launch. */
  private attentionUs(step: Step): number {
    const { attention, device, launch } = this;
    const { costModel } = device;
    const { kvHeads } = attention;
    const { group } = this;
    const { kvTileTokens } = costModel;
    const { decodeRows, tileShift } = this;
    const isDecodePlain = group <= decodeRows;
    const { count, qoLens, kvLens } = step;
    let decodes = 0;
    let decodeKv = 0;
    let jobs = 0;
    let tiles = 0;
    let longestTiles = 0;
    let streamBytes = 0;
    let tensorSmUs = 0;
    let mergeRounds = 1;
    for (let i = 0; i < count; i++) {
      const qoLen = qoLens[i]!;
      const kvLen = kvLens[i]!;
      if (qoLen === 1 && isDecodePlain) {
        // Every decode of every step comes by here: a shift takes a third of the time of a division.
        const jobTiles = tileShift < 0 ? Math.ceil(kvLen / kvTileTokens) : (kvLen + kvTileTokens - 1) >> tileShift;
        decodes++;
        decodeKv += kvLen;
        tiles += jobTiles;
        if (jobTiles > longestTiles) longestTiles = jobTiles;
        continue;
      }
      if (qoLen === 0) continue;
      const tileRows = queryTileFor(costModel, qoLen * group).rows;
      const queryTiles = Math.ceil((qoLen * group) / tileRows);
      // A query tile sees the history and, of the new tokens, those up to its own last one.
      const tileTokens = tileRows / group;
      const seen =
        queryTiles * (kvLen - qoLen) +
        (tileTokens * queryTiles * (queryTiles + 1)) / 2 -
        (queryTiles * tileTokens - qoLen);
      jobs += queryTiles;
      const jobTiles = Math.ceil(kvLen / kvTileTokens);
      tiles += Math.ceil(seen / kvTileTokens);
      if (jobTiles > longestTiles) longestTiles = jobTiles;
      const rows = Math.min(tileRows, qoLen * group);
      mergeRounds = Math.max(mergeRounds, Math.ceil(rows / launch.mergeRowsAtOnce));
      streamBytes +=
        (kvLen + (seen - kvLen) * launch.l2ByteCost) * launch.kvBytesPerToken +
        qoLen * group * (launch.queryRowBytes + launch.outputRowBytes);
      tensorSmUs += (seen * tileRows * launch.flopsPerRowToken) / launch.unitFlopsPerUs[tileRows]!;
    }
    if (decodes > 0) {
      jobs += decodes;
      mergeRounds = Math.max(mergeRounds, Math.ceil(Math.min(decodeRows, group) / launch.mergeRowsAtOnce));
      streamBytes +=
        decodeKv * launch.kvBytesPerToken + decodes * group * (launch.queryRowBytes + launch.outputRowBytes);
      tensorSmUs += (decodeKv * decodeRows * launch.flopsPerRowToken) / launch.unitFlopsPerUs[decodeRows]!;
    }
    if (jobs === 0) return launch.launchUs;
    jobs *= kvHeads;
    tiles *= kvHeads;
    const bytes = kvHeads * streamBytes;
    const smUs = kvHeads * tensorSmUs;
    const { laneCount } = launch;
    // Cut: every worker has the same load, and all but one boundary between workers cut a job.
    const pieces = Math.max(jobs, Math.min(tiles, jobs + laneCount - 1));
    const cutUs =
      this.roundsUs(bytes, smUs, Math.min(laneCount, pieces), Math.max(1, pieces / laneCount)) +
      this.mergeUs(Math.min(pieces - jobs, jobs), mergeRounds, tiles, longestTiles);
    // Whole: jobs go round by round, and no worker is done before the longest of them.
    const rounds = Math.ceil(jobs / laneCount);
    const longestShare = (longestTiles * rounds * laneCount) / tiles;
    const wholeUs =
      longestShare > WHOLE_JOBS_SHARE
        ? Number.POSITIVE_INFINITY
        : this.roundsUs(bytes, smUs, Math.ceil(jobs / rounds), rounds);
    return launch.launchUs + Math.min(cutUs, wholeUs);
  }

  /** Time of `lanes` equal workers with `rounds` pieces each that move the bytes and compute smUs of whole SMs. */
  private roundsUs(bytes: number, smUs: number, lanes: number, rounds: number): number {
    const { launch } = this;
    const latencyUs = (launch.startUs + launch.writeOutUs) * rounds;
    const tensorUs = latencyUs + smUs / Math.min(launch.unitCount, lanes);
    return Math.max(this.streamUs(bytes, lanes, latencyUs), tensorUs);
  }

  /**
   * The T at which `lanes` lanes, each waiting for latencyUs of it, have moved the bytes. With a = lanes · (1 − latency/T)
   * of them streaming, T · B(a) grows with a: the right one lies between two whole numbers, where B is linear.
   */
  private streamUs(bytes: number, lanes: number, latencyUs: number): number {
    const { totalRate } = this;
    if (latencyUs === 0) return bytes / totalRate[lanes]!;
    const low = this.leastStreaming(bytes, lanes, latencyUs);
    const high = low + 1;
    const slope = totalRate[high]! - totalRate[low]!;
    const waiting = lanes * latencyUs;
    const active = (bytes * lanes - waiting * (totalRate[low]! - slope * low)) / (waiting * slope + bytes);
    // Equals wait at the same time: nothing streams then.
    return Math.max(waiting / (lanes - active), latencyUs + bytes / this.launch.peakBytesPerUs);
  }

  /**
   * The whole number below the a of `streamUs`. One step is much like the one before it, so the search begins at what was
   * found last and doubles its stride away from there.
   */
  private leastStreaming(bytes: number, lanes: number, latencyUs: number): number {
    const { totalRate } = this;
    const waiting = lanes * latencyUs;
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
  private mergeUs(cutJobs: number, roundsPerJob: number, tiles: number, longestTiles: number): number {
    const { launch } = this;
    if (cutJobs === 0) return 0;
    const least = Math.min(roundsPerJob, Math.ceil(MERGE_ROWS / launch.mergeRowsAtOnce));
    const rounds = Math.max(least, (cutJobs * roundsPerJob) / launch.laneCount);
    const partials = Math.max(2, Math.min(longestTiles, Math.ceil((longestTiles * launch.laneCount) / tiles)));
    return launch.mergeFixedUs + rounds * (launch.mergeRoundUs + partials * launch.mergePartialUs);
  }
}
