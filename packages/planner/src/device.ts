// Who computes it, and what a piece of work costs there.

import { FieldError, requireInteger, requireObject } from "./field-error.ts";

/** Cost of pieces with one size of query tile. Integers, so that every load is an exact sum. */
export interface QueryTileCost {
  /** Rows of the tile (query tokens × group size, packed), padding included. */
  readonly rows: number;
  /** A: start-up and write-out of a piece, in nanoseconds, 0–1e9. */
  readonly pieceNs: number;
  /** c: one KV tile of a piece while all workers are busy, in nanoseconds, 1–1e9. */
  readonly kvTileNs: number;
}

/**
 * What the planner believes about time. A parameter, never a constant in the algorithms. A piece of t KV tiles with the
 * costs of its query tile takes pieceNs + t × kvTileNs. All numbers are integers, so that loads are exact sums.
 */
export interface CostModel {
  /** KV tokens in one KV tile, 1–4096. Tiles lie on absolute multiples of it within a request. */
  readonly kvTileTokens: number;
  /** One row per query-tile size that the kernel has, ascending in `rows`. */
  readonly queryTiles: readonly QueryTileCost[];
  /** A merge of up to 16 rows of one output tile: fixed part, in nanoseconds. */
  readonly mergeNs: number;
  /** A merge: each partial state of each 4 rows, in nanoseconds. */
  readonly mergePartialNs: number;
  /**
   * Pieces are planned as if they cost this many KV tiles more. Workers share memory bandwidth, so data can hide
   * behind other workers and start-up cannot. Never part of a reported makespan or bound.
   */
  readonly surchargeTiles: number;
}

/** A GPU as the planner sees it: P = smCount × ctasPerSm equal workers and their costs. */
export interface Device {
  /** For people; the planner does not look at it. */
  readonly name: string;
  /** Streaming multiprocessors given to the launch, 1–4096. */
  readonly smCount: number;
  /** Resident CTAs on each SM, 1–32. */
  readonly ctasPerSm: number;
  /** Costs while all P workers are busy. */
  readonly costModel: CostModel;
}

/** P: resident CTAs of the persistent kernel. */
export function workerCount(device: Device): number {
  return device.smCount * device.ctasPerSm;
}

/**
 * The query tile of a request: the smallest that holds all of its packed rows, else the largest. Never a batch average:
 * an average would pad decode rows to prefill tiles and make a request's bits depend on its neighbours.
 */
export function queryTileFor(costModel: CostModel, packedRows: number): QueryTileCost {
  const { queryTiles } = costModel;
  for (let i = 0; i < queryTiles.length; i++) {
    const tile = queryTiles[i]!;
    if (packedRows <= tile.rows) return tile;
  }
  return queryTiles[queryTiles.length - 1]!;
}

/** A device or cost model that cannot be planned for. */
export class InvalidDeviceError extends FieldError {
  override readonly name = "InvalidDeviceError";
}

/** Throws InvalidDeviceError at the first field that is out of its range. */
export function validateDevice(device: Device): void {
  requireObject(
    InvalidDeviceError,
    "device",
    device,
    "an object with smCount, ctasPerSm and costModel, such as H100_SXM",
  );
  const { costModel } = device;
  requireObject(InvalidDeviceError, "device.costModel", costModel, "an object with queryTiles and other costs");
  if (!Array.isArray(costModel.queryTiles)) {
    throw new InvalidDeviceError("costModel.queryTiles", costModel.queryTiles, "an array of objects");
  }
  requireInteger(InvalidDeviceError, "device.smCount", device.smCount, 1, 4096);
  requireInteger(InvalidDeviceError, "device.ctasPerSm", device.ctasPerSm, 1, 32);
  requireInteger(InvalidDeviceError, "costModel.kvTileTokens", costModel.kvTileTokens, 1, 4096);
  requireInteger(InvalidDeviceError, "costModel.mergeNs", costModel.mergeNs, 0, 1e9);
  requireInteger(InvalidDeviceError, "costModel.mergePartialNs", costModel.mergePartialNs, 0, 1e9);
  requireInteger(InvalidDeviceError, "costModel.surchargeTiles", costModel.surchargeTiles, 0, 1024);
  if (costModel.queryTiles.length === 0) {
    throw new InvalidDeviceError("costModel.queryTiles.length", 0, "at least 1");
  }
  let previousRows = 0;
  costModel.queryTiles.forEach((tile, i) => {
    const expected = "an object with rows, pieceNs and kvTileNs";
    requireObject(InvalidDeviceError, `costModel.queryTiles[${i}]`, tile, expected);
    requireInteger(InvalidDeviceError, `costModel.queryTiles[${i}].rows`, tile.rows, previousRows + 1, 32_767);
    requireInteger(InvalidDeviceError, `costModel.queryTiles[${i}].pieceNs`, tile.pieceNs, 0, 1e9);
    requireInteger(InvalidDeviceError, `costModel.queryTiles[${i}].kvTileNs`, tile.kvTileNs, 1, 1e9);
    previousRows = tile.rows;
  });
}

/**
 * NVIDIA H100 SXM5 80 GB with two workers on each SM, head dimension 128, 16-bit KV.
 *
 * Sources: tiles of 16 rows are bound by memory: 264 CTAs together read 3,070 GB/s, so each gets its 32 KiB in 2.818 µs
 * (microbenchmarks of one H100, November 2026: `bandwidth_vs_ctas`, `piece_time`). A piece of an attention kernel costs 2.5 µs to
 * start and 1.2 µs to write out (ThunderGQA's published regression on H100). Tiles of 128 rows are bound by arithmetic:
 * 4 × 128 × 64 × 128 flops at the 306 TFLOP/s that FlashInfer's FA2 kernel reaches on paged causal prefill (the same
 * campaign); at that rate tiles of 64 rows are still bound by memory. Merging: a line through the times of
 * `last_arriver_merge` without their launch, 1.618 µs and 0.119 µs for each partial of four rows. No surcharge: 3.7 µs a piece is already well above the 1.5 µs that
 * `piece_time` shows for one among many. With one tile more, short whole jobs crowd out long ones: over the recorded
 * batches of the benchmark plans get 1.6 % longer in this cost model, and no shorter in the simulator's shared-bandwidth
 * model (within 0.1 %).
 */
export const H100_SXM: Device = {
  name: "h100-sxm",
  smCount: 132,
  ctasPerSm: 2,
  costModel: {
    kvTileTokens: 64,
    queryTiles: [
      { rows: 16, pieceNs: 3700, kvTileNs: 2818 },
      { rows: 64, pieceNs: 3700, kvTileNs: 2818 },
      { rows: 128, pieceNs: 3700, kvTileNs: 3619 },
    ],
    mergeNs: 1618,
    mergePartialNs: 119,
    surchargeTiles: 0,
  },
};
