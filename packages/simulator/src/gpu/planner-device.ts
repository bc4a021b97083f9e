// A GPU profile as the planner sees it: equal workers, and integer costs while all of them are busy.
//
// A KV tile takes the longer of moving it at a fair share of the bandwidth that all workers reach together, and of
// computing it at a fair share of the tensor throughput of its query tile. Both follow from the attention shape: a tile of
// latent attention (576 and 512 elements) is 2.25 times the bytes and 4.25 times the flops of one of head dimension 128.

import type { AttentionShape, CostModel, Device } from "@isochron/planner";
import { interpolate } from "./curve.ts";
import { InvalidProfileError } from "./find-profile.ts";
import type { GpuProfile } from "./profile.ts";

/** What of an attention shape decides what a KV tile costs. */
export type TileShape = Pick<AttentionShape, "kvHeads" | "headDim" | "valueHeadDim" | "kvDtype">;

/** The shape that costs are quoted for where none is given: that of most served models. */
const USUAL_SHAPE: TileShape = { kvHeads: 8, headDim: 128, kvDtype: "bf16" };

const ELEMENT_BYTES = { bf16: 2, fp16: 2, fp32: 4, fp8_e4m3: 1, fp8_e5m2: 1 } as const;

/** The planner's merge cost is per partial state of 4 rows. */
const MERGE_COST_ROWS = 4;

/** Chosen: none. One tile gains nothing in the shared-bandwidth model (within 0.1 % over the planner's recorded batches). */
const SURCHARGE_TILES = 0;

/** Bytes of one KV token of one KV head. */
export function kvBytesPerToken({ kvHeads, headDim, valueHeadDim = headDim, kvDtype }: TileShape): number {
  // With latent attention (MLA) the value is a slice of the one key head: it is read once.
  const isLatent = kvHeads === 1 && valueHeadDim < headDim;
  return (isLatent ? headDim : headDim + valueHeadDim) * ELEMENT_BYTES[kvDtype];
}

/**
 * The device for plans of this attention shape; of head dimension 128 and 16-bit KV unless given.
 * @throws InvalidProfileError for what is no profile, such as its name
 */
export function plannerDevice(profile: GpuProfile, attention: TileShape = USUAL_SHAPE): Device {
  if (profile?.device === undefined || typeof profile.device !== "object") {
    throw new InvalidProfileError(String(profile), "", "is no GPU profile, expected what findProfile() returns");
  }
  const smCount = profile.device.smCount.value;
  const ctasPerSm = profile.device.ctasPerSm.value;
  return {
    name: profile.name,
    smCount,
    ctasPerSm,
    costModel: {
      kvTileTokens: profile.attention.kvTileTokens.value,
      queryTiles: queryTileCosts(profile, smCount * ctasPerSm, attention),
      mergeNs: Math.round((profile.merge.fixedUs.value + profile.merge.roundUs.value) * 1000),
      mergePartialNs: Math.round(
        profile.merge.partialUs.value * 1000 * Math.ceil(MERGE_COST_ROWS / profile.merge.rowsAtOnce.value),
      ),
      surchargeTiles: SURCHARGE_TILES,
    },
  };
}

function queryTileCosts(profile: GpuProfile, workers: number, attention: TileShape): CostModel["queryTiles"] {
  const { startUs, writeOutUs, kvTileTokens, tensorTflops } = profile.attention;
  const { headDim, valueHeadDim = headDim } = attention;
  const tileBytes = kvTileTokens.value * kvBytesPerToken(attention);
  const moveNs = (tileBytes * workers) / interpolate(profile.memory.achievedGBps.rows, workers);
  return tensorTflops.rows.map(([rows, tflops]) => {
    const flops = 2 * (headDim + valueHeadDim) * rows * kvTileTokens.value;
    return {
      rows,
      pieceNs: Math.round((startUs.value + writeOutUs.value) * 1000),
      kvTileNs: Math.max(1, Math.round(Math.max(moveNs, (flops * workers) / (tflops * 1000)))),
    };
  });
}
