// The device with other costs of taller tiles, for finding out which plan well.

import type { Device } from "@isochron/planner";

/** `values`: options of the command line; what is missing stays as it is. */
export function withTallCosts(
  device: Device,
  values: { readonly "tall-piece-ns"?: string | undefined; readonly "tall-tile-ns"?: string | undefined },
): Device {
  const { costModel } = device;
  const queryTiles = costModel.queryTiles.map((tile) =>
    tile.rows <= 16
      ? tile
      : {
          rows: tile.rows,
          pieceNs: Number(values["tall-piece-ns"] ?? tile.pieceNs),
          kvTileNs: Number(values["tall-tile-ns"] ?? tile.kvTileNs),
        },
  );
  return { ...device, costModel: { ...costModel, queryTiles } };
}
