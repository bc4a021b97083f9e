// The constants of one launch: a GPU profile resolved for a plan's device and attention shape.
//
// `streamGBps[n]` is what each of n CTAs gets that move KV at the same time: the measured curve shared equally, at most
// what one CTA can pull, at most an equal share of what its SM can take in. A CTA's rate never rises when another one
// joins (the table is made non-increasing), which is what makes every simulated time at most the unshared one.

import type { KvDtype, Plan } from "@isochron/planner";
import { DTYPES, Header, Request } from "@isochron/planner";
import { interpolate } from "../gpu/curve.ts";
import { kvBytesPerToken, plannerDevice } from "../gpu/planner-device.ts";
import type { AttentionKernelProfile, GpuProfile } from "../gpu/profile.ts";

/** A plan for more SMs than the GPU of the profile has. */
export class PlanProfileMismatchError extends Error {
  override readonly name = "PlanProfileMismatchError";
  readonly profile: string;
  readonly planSms: number;
  readonly profileSms: number;

  constructor(profile: string, planSms: number, profileSms: number) {
    super(
      `the plan is for ${planSms} SMs and profile ${profile} has ${profileSms}: plan for plannerDevice(profile, attention), or choose another profile`,
    );
    this.profile = profile;
    this.planSms = planSms;
    this.profileSms = profileSms;
  }
}

const ELEMENT_BYTES = { bf16: 2, fp16: 2, fp32: 4, fp8_e4m3: 1, fp8_e5m2: 1 } as const;

/** Partial states are kept in float32, with one log-sum-exp for each row. */
const PARTIAL_ELEMENT_BYTES = 4;

export interface KernelCosts {
  /** SMs that one worker spans: 1, or the cluster size. */
  readonly smsPerWorker: number;
  /** SMs, or clusters of them: lane l runs on unit l mod unitCount. */
  readonly unitCount: number;
  /** Workers that can be resident: lanes on which pieces run. */
  readonly laneCount: number;
  /** Rate of each of n streaming lanes, bytes per µs. */
  readonly streamBytesPerUs: Float64Array;
  /** The same for what fills a lane's pipeline, which its own arithmetic does not hold up. */
  readonly fillBytesPerUs: Float64Array;
  /** Most bytes per µs that any number of CTAs reaches. */
  readonly peakBytesPerUs: number;
  /** HBM bytes that cost as much time as one byte served by L2. */
  readonly l2ByteCost: number;
  readonly l2Bytes: number;
  readonly launchUs: number;
  readonly startUs: number;
  readonly nextStartUs: number;
  readonly writeOutUs: number;
  readonly barrierUs: number;
  readonly separateLaunchUs: number;
  readonly mergeFixedUs: number;
  readonly mergeRoundUs: number;
  readonly mergePartialUs: number;
  readonly mergeRowsAtOnce: number;
  /** CTAs of a merge kernel of its own that run at the same time; 0: merges run on the lanes. */
  readonly mergePlaces: number;
  readonly kvTileTokens: number;
  readonly kvBytesPerToken: number;
  readonly queryRowBytes: number;
  readonly outputRowBytes: number;
  readonly partialRowBytes: number;
  /** Whether padding rows of a query tile cost flops. */
  readonly computesPadding: boolean;
  /** KV tokens that are computed together: a piece computes whole multiples; 1 where padding costs nothing. */
  readonly computedTokens: number;
  /** KV tokens that have to be in before a piece computes, and that it computes after its last byte; 0: it does both at once. */
  readonly fillTokens: number;
  /** A CTA of a grid that has nothing to do. */
  readonly emptyCtaUs: number;
  /** KV tokens that a piece reads at a time where L2 is too small for what pieces share. */
  readonly stretchTokens: number;
  /** µs from a piece's last byte and flop to its end, and so much more for each row, while the next piece streams; 0: none. */
  readonly drainUs: number;
  readonly drainRowUs: number;
  /** µs for each row of a lane's first piece, until its queries are in. */
  readonly queryRowUs: number;
  /** What the launch takes longer where heads of a group are packed and there are several requests. */
  readonly regroupingUs: number;
  /** What the launch takes longer for each request of a batch of at most so many. */
  readonly launchRequestUs: number;
  readonly mostPreparedRequests: number;
  /** What a later piece of a grid takes longer to start for each request between it and the one before. */
  readonly walkUs: number;
  /** What the launch takes longer for each new token beyond so many. */
  readonly launchTokenUs: number;
  readonly preparedTokens: number;
  /** A lane never gets more of its unit's throughput than if it shared it with this many, itself included. */
  readonly leastSharers: number;
  /** flops of one on one KV token. */
  readonly flopsPerRowToken: number;
  /** Tensor throughput of one unit by rows of the query tile (index), in flops per µs. */
  readonly unitFlopsPerUs: Float64Array;
  /** What the planner charges, in µs, by rows of the query tile: for the model without sharing. */
  readonly unsharedPieceUs: Float64Array;
  readonly unsharedTileUs: Float64Array;
}

/** FlashAttention 3's tile scheduler: a warp's lanes hold a request each, less one for their prefix sum. */
const REQUESTS_A_LOOK = 31;
/** vLLM's kernel that writes new keys and values: a CTA for each token, a thread for each element of its keys up to so many. */
const MOST_WRITER_THREADS = 512;
/** Threads that an SM holds (data sheets of A100, H100 and B200; 1,536 on consumer GPUs, whose kernels are not timed with it). */
const SM_THREADS = 2048;

/** Rows of a query tile are at most this (16 bits of a field of the plan, and no kernel goes near). */
const MAX_TILE_ROWS = 512;

/** What a launch is about: where it runs, and the shape of its attention. */
export interface LaunchDescription {
  readonly smCount: number;
  readonly ctasPerSm: number;
  readonly ctasPerWorker: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly kvHeads: number;
  readonly policy: string;
  /** Name of one of the profile's kernels; undefined: the kernel of the policy. */
  readonly kernel?: string | undefined;
  readonly dtype: KvDtype;
  readonly kvDtype: KvDtype;
  readonly kvTileTokens: number;
}

/** Resolves a profile for the device and the shape of a plan. */
export function kernelCosts(plan: Plan, profile: GpuProfile, kernel?: string): KernelCosts {
  const { header } = plan;
  return resolveCosts(
    {
      smCount: header[Header.smCount]!,
      ctasPerSm: header[Header.ctasPerSm]!,
      ctasPerWorker: header[Header.ctasPerWorker]!,
      headDim: header[Header.headDim]!,
      valueHeadDim: header[Header.valueHeadDim]!,
      kvHeads: header[Header.kvHeads]!,
      policy: plan.policy,
      kernel,
      dtype: DTYPES[header[Header.dtype]!]!,
      kvDtype: DTYPES[header[Header.kvDtype]!]!,
      kvTileTokens: header[Header.kvTileTokens]!,
    },
    profile,
  );
}

/** @throws PlanProfileMismatchError */
export function resolveCosts(launchOf: LaunchDescription, profile: GpuProfile): KernelCosts {
  const { smCount, ctasPerSm, headDim, valueHeadDim } = launchOf;
  if (smCount > profile.device.smCount.value) {
    throw new PlanProfileMismatchError(profile.name, smCount, profile.device.smCount.value);
  }
  const smsPerWorker = Math.max(1, launchOf.ctasPerWorker);
  const laneCount = Math.max(1, Math.floor((smCount * ctasPerSm) / smsPerWorker));
  const unitCount = Math.max(1, Math.floor(smCount / smsPerWorker));
  const { memory, launch } = profile;
  const attention =
    profile.attentionKernels?.find(({ name, policies }) =>
      launchOf.kernel === undefined ? policies.includes(launchOf.policy) : name === launchOf.kernel,
    ) ?? profile.attention;
  const merge = attention.merge ?? profile.merge;
  const ownGBps = Math.min(
    memory.perCtaGBps.value * (attention.ctaStreams?.value ?? 1),
    attention.ctaGBps?.value ?? Number.POSITIVE_INFINITY,
  );
  const streamBytesPerUs = streamRates(profile, laneCount, smCount, smsPerWorker, attention, ownGBps);
  const portGBps = memory.perSmGBps.value;
  const fillBytesPerUs = streamRates(profile, laneCount, smCount, smsPerWorker, attention, portGBps);
  let peakBytesPerUs = 0;
  for (let n = 1; n <= laneCount; n++) peakBytesPerUs = Math.max(peakBytesPerUs, n * streamBytesPerUs[n]!);

  const elementBytes = ELEMENT_BYTES[launchOf.dtype];
  const kvWriters = smCount * Math.floor(SM_THREADS / Math.min(MOST_WRITER_THREADS, launchOf.kvHeads * headDim));

  const unitFlopsPerUs = new Float64Array(MAX_TILE_ROWS + 1);
  const unsharedPieceUs = new Float64Array(MAX_TILE_ROWS + 1);
  const unsharedTileUs = new Float64Array(MAX_TILE_ROWS + 1);
  const { queryTiles } = plannerDevice(profile, launchOf).costModel;
  for (let rows = 0; rows <= MAX_TILE_ROWS; rows++) {
    // 1 TFLOP/s is 10⁶ flops per µs.
    unitFlopsPerUs[rows] =
      (interpolate(attention.tensorTflops.rows, rows) * 1e6 * smsPerWorker) / profile.device.smCount.value;
    const tile = queryTiles.find((candidate) => candidate.rows >= rows) ?? queryTiles[queryTiles.length - 1]!;
    unsharedPieceUs[rows] = tile.pieceNs / 1000;
    // As the planner has it: a tile beyond the largest that the model knows does proportionally more arithmetic.
    unsharedTileUs[rows] = (tile.kvTileNs / 1000) * Math.max(1, rows / tile.rows);
  }
  return {
    smsPerWorker,
    unitCount,
    laneCount,
    streamBytesPerUs,
    fillBytesPerUs,
    peakBytesPerUs,
    l2ByteCost: peakBytesPerUs / Math.max(peakBytesPerUs, memory.l2GBps.value * 1000),
    l2Bytes: profile.device.l2Bytes.value * L2_SHARE_KEPT,
    launchUs: (attention.dependentLaunchUs ?? launch.graphNodeUs).value + (attention.preparationUs?.value ?? 0),
    startUs: attention.startUs.value,
    nextStartUs: attention.nextStartUs.value,
    writeOutUs: attention.writeOutUs.value,
    barrierUs: interpolate(launch.gridBarrierUs.rows, laneCount),
    separateLaunchUs: (attention.merge?.launchUs ?? launch.graphNodeUs).value,
    mergeFixedUs: merge.fixedUs.value,
    mergeRoundUs: merge.roundUs.value,
    mergePartialUs: merge.partialUs.value,
    mergeRowsAtOnce: merge.rowsAtOnce.value,
    mergePlaces: smCount * (attention.merge?.ctasPerSm?.value ?? 0),
    kvTileTokens: launchOf.kvTileTokens,
    kvBytesPerToken: kvBytesPerToken(launchOf),
    queryRowBytes: headDim * elementBytes,
    outputRowBytes: valueHeadDim * elementBytes,
    partialRowBytes: (valueHeadDim + 1) * PARTIAL_ELEMENT_BYTES,
    computesPadding: attention.computesPadding ?? true,
    computedTokens: attention.computesWholeTiles === true ? attention.kvTileTokens.value : 1,
    fillTokens: attention.fillTokens?.value ?? 0,
    emptyCtaUs: attention.emptyCtaUs?.value ?? 0,
    stretchTokens: stretchTokens(profile, laneCount, kvBytesPerToken(launchOf)),
    drainUs: attention.drainUs?.value ?? 0,
    drainRowUs: attention.drainRowUs?.value ?? 0,
    queryRowUs: attention.queryRowUs?.value ?? 0,
    regroupingUs: attention.regroupingUs?.value ?? 0,
    launchRequestUs: attention.preparationRequestUs?.value ?? 0,
    mostPreparedRequests: attention.mostPreparedRequests?.value ?? Number.POSITIVE_INFINITY,
    walkUs: (attention.requestWalkUs?.value ?? 0) / REQUESTS_A_LOOK,
    launchTokenUs: (attention.kvWriteUs?.value ?? 0) / kvWriters,
    preparedTokens: kvWriters,
    leastSharers: 1 / (attention.ctaShare?.value ?? 1),
    flopsPerRowToken: 2 * (headDim + valueHeadDim),
    unitFlopsPerUs,
    unsharedPieceUs,
    unsharedTileUs,
  };
}

/** µs before the first piece of a plan can start. */
export function launchUs(costs: KernelCosts, plan: Plan): number {
  const requests = plan.requestCount;
  const isRegrouped = requests > 1 && plan.header[Header.packedHeads]! > 1;
  let tokens = 0;
  if (costs.launchTokenUs > 0) {
    for (let i = 0; i < requests; i++) tokens += plan.requests[i * Request.stride + Request.qoLen]!;
  }
  return (
    costs.launchUs +
    Math.max(0, tokens - costs.preparedTokens) * costs.launchTokenUs +
    (requests <= costs.mostPreparedRequests ? requests * costs.launchRequestUs : 0) +
    (isRegrouped ? costs.regroupingUs : 0)
  );
}

/** µs of one whole unit that a piece computes: rows times the KV tokens that it touches, padding included where it is. */
export function computeUs(costs: KernelCosts, kvStart: number, kvEnd: number, rows: number, tileRows: number): number {
  const { computedTokens } = costs;
  const tokens =
    computedTokens === 1
      ? kvEnd - kvStart
      : (Math.ceil(kvEnd / computedTokens) - Math.floor(kvStart / computedTokens)) * computedTokens;
  const computedRows = costs.computesPadding ? tileRows : rows;
  return (tokens * computedRows * costs.flopsPerRowToken) / costs.unitFlopsPerUs[computedRows]!;
}

/**
 * What of L2 keeps KV between its readers, the rest being queries, outputs, page tables and what is replaced too early.
 * LLMServingSim's even batches on an RTX PRO 6000 (attention.csv): ranges of 0.84 of L2 are found again by the next head
 * (128 decodes of 1,728), ranges of 0.95 are not (64 of 3,888). A share that falls off over a range fits them less well.
 */
const L2_SHARE_KEPT = 0.9;

/** Chosen: all lanes together read a quarter of L2 in one stretch, so that what is in L2 hardly changes in it. */
const STRETCH_SHARE_OF_L2 = 1 / 4;
const LEAST_STRETCH = 128;

function stretchTokens(profile: GpuProfile, laneCount: number, tokenBytes: number): number {
  const tokens = (profile.device.l2Bytes.value * STRETCH_SHARE_OF_L2) / laneCount / tokenBytes;
  return Math.max(LEAST_STRETCH, Math.floor(tokens / LEAST_STRETCH) * LEAST_STRETCH);
}

function streamRates(
  profile: GpuProfile,
  laneCount: number,
  smCount: number,
  ctasPerLane: number,
  attention: AttentionKernelProfile,
  ctaGBps: number,
): Float64Array {
  const { memory } = profile;
  const ctaStreams = attention.ctaStreams?.value ?? 1;
  const perCta = ctaGBps * ctasPerLane * 1000;
  const rates = new Float64Array(laneCount + 1);
  rates[0] = perCta;
  for (let n = 1; n <= laneCount; n++) {
    const shared = (interpolate(memory.achievedGBps.rows, n * ctasPerLane * ctaStreams) * 1000) / n;
    // Streaming CTAs are taken to be spread over the SMs, as the hardware and the persistent workers start them.
    const onOneSm = Math.ceil((n * ctasPerLane) / smCount);
    const port = (memory.perSmGBps.value * ctasPerLane * 1000) / onOneSm;
    rates[n] = Math.min(perCta, shared, port, rates[n - 1]!);
  }
  return rates;
}
