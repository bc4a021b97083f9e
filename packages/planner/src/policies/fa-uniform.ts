// FlashAttention with one number of splits for the whole batch (FA3's fixed-length path, and FA2's): chosen from the
// largest request, so that requests of different length get pieces of different length, and short ones get empty pieces.

import { PARTIAL, WRITE_THROUGH } from "../pieces.ts";
import {
  addFaPiece,
  FA_CTAS_PER_SM,
  faLongestBlocks,
  faQueryTiles,
  faSplitCount,
  faTileRows,
} from "./flash-attention.ts";
import type { Policy } from "./policy.ts";

export const faUniform: Policy = {
  name: "fa-uniform",
  summary: "FlashAttention's fixed-length rule: one number of splits for the whole batch",
  isComparison: true,
  assign(input, out) {
    const { attention, device, requestCount } = input;
    const tileRows = faTileRows(input);
    let mostQueryTiles = 0;
    for (let i = 0; i < requestCount; i++) mostQueryTiles = Math.max(mostQueryTiles, faQueryTiles(input, i, tileRows));
    const tiles = requestCount * attention.kvHeads * mostQueryTiles;
    const splits = faSplitCount(tiles, device.smCount, faLongestBlocks(input));
    const slot = splits > 1 ? PARTIAL : WRITE_THROUGH;
    // Grid order: query tile, then head and split, then request; with a causal mask the long tiles come first. Tiles that
    // only longer requests have exit at once and are left out.
    for (let request = 0; request < requestCount; request++) {
      for (let head = 0; head < attention.kvHeads; head++) {
        for (let split = 0; split < splits; split++) {
          for (let qoTile = faQueryTiles(input, request, tileRows) - 1; qoTile >= 0; qoTile--) {
            addFaPiece(input, out, request, head, qoTile, tileRows, split, splits, slot);
            out.endWorker();
          }
        }
      }
    }
    return { launch: "grid", merge: splits > 1 ? "separate" : "none", ctasPerSm: FA_CTAS_PER_SM };
  },
  bound: undefined,
};
