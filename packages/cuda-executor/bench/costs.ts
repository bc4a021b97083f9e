// The device with other costs of pieces and tiles, for finding out which plan well.

import type { Device } from "@isochron/planner";

/** Options of the command line; what is missing stays as it is. */
export interface CostOptions {
  /** Nanoseconds of a piece with a tile of 16 rows, and with a taller one. */
  readonly "piece-ns"?: string | undefined;
  readonly "tall-piece-ns"?: string | undefined;
  /** Nanoseconds of a KV tile under a taller query tile. */
  readonly "tall-tile-ns"?: string | undefined;
  readonly "surcharge-tiles"?: string | undefined;
  readonly "kv-tile-tokens"?: string | undefined;
}

export function withCosts(device: Device, options: CostOptions): Device {
  const { costModel } = device;
  const kvTileTokens = Number(options["kv-tile-tokens"] ?? costModel.kvTileTokens);
  const queryTiles = costModel.queryTiles.map(({ rows, pieceNs, kvTileNs }) => {
    const isTall = rows > 16;
    const tileNs = Number((isTall ? options["tall-tile-ns"] : undefined) ?? kvTileNs);
    return {
      rows,
      pieceNs: Number(options[isTall ? "tall-piece-ns" : "piece-ns"] ?? pieceNs),
      kvTileNs: Math.round((tileNs * kvTileTokens) / costModel.kvTileTokens),
    };
  });
  const surchargeTiles = Number(options["surcharge-tiles"] ?? costModel.surchargeTiles);
  return { ...device, costModel: { ...costModel, kvTileTokens, queryTiles, surchargeTiles } };
}
