// A GPU profile as the planner sees it: equal workers, and integer costs while all of them are busy.
//
// A KV tile takes the longer of moving it at a fair share of the bandwidth that all workers reach together, and of
// computing it at a fair share of the tensor throughput of its query tile.

import type { Device } from "@isochron/planner";
import { interpolate } from "./curve.ts";
import type { GpuProfile } from "./profile.ts";

/** Head dimension and bytes of a KV element that tile costs are quoted for: the shape of most served models. */
const HEAD_DIM = 128;
const KV_ELEMENT_BYTES = 2;

/** The planner's merge cost is per partial state of 4 rows. */
const MERGE_COST_ROWS = 4;

/** Chosen: none. One tile gains nothing in the shared-bandwidth model (within 0.1 % over the planner's recorded batches). */
const SURCHARGE_TILES = 0;

export function plannerDevice(profile: GpuProfile): Device {
  const smCount = profile.device.smCount.value;
  const ctasPerSm = profile.device.ctasPerSm.value;
  const workers = smCount * ctasPerSm;
  const { startUs, writeOutUs, kvTileTokens, tensorTflops } = profile.attention;
  const tileTokens = kvTileTokens.value;
  const tileBytes = tileTokens * HEAD_DIM * KV_ELEMENT_BYTES * 2;
  const moveNs = (tileBytes * workers) / interpolate(profile.memory.achievedGBps.rows, workers);
  return {
    name: profile.name,
    smCount,
    ctasPerSm,
    costModel: {
      kvTileTokens: tileTokens,
      queryTiles: tensorTflops.rows.map(([rows, tflops]) => ({
        rows,
        pieceNs: Math.round((startUs.value + writeOutUs.value) * 1000),
        kvTileNs: Math.max(
          1,
          Math.round(Math.max(moveNs, (4 * rows * tileTokens * HEAD_DIM * workers) / (tflops * 1000))),
        ),
      })),
      mergeNs: Math.round((profile.merge.fixedUs.value + profile.merge.roundUs.value) * 1000),
      mergePartialNs: Math.round(
        profile.merge.partialUs.value * 1000 * Math.ceil(MERGE_COST_ROWS / profile.merge.rowsAtOnce.value),
      ),
      surchargeTiles: SURCHARGE_TILES,
    },
  };
}
