// The makespan of assigned pieces in the device's own cost model, without planning surcharge and without merges.

import { type CostModel, type Device, workerCount } from "./device.ts";
import { Piece } from "./layout.ts";
import { WorkerQueue } from "./worker-queue.ts";

/**
 * Largest load of a worker, in nanoseconds. Persistent workers run what is theirs; the CTAs of a grid start in order,
 * each on the slot that comes free first. `slots` is the number of workers that run at the same time.
 */
export function makespanNs(
  records: Int32Array,
  workerIndptr: Int32Array,
  workers: number,
  isPersistent: boolean,
  slots: number,
  device: Device,
): number {
  const { costModel } = device;
  const share = slots / workerCount(device);
  let longestNs = 0;
  const queue = isPersistent ? undefined : new WorkerQueue(slots);
  for (let w = 0; w < workers; w++) {
    let loadNs = 0;
    for (let i = workerIndptr[w]!; i < workerIndptr[w + 1]!; i++) loadNs += pieceCostNs(records, i, costModel, share);
    if (queue !== undefined) {
      const least = queue.least();
      queue.addToLeast(loadNs);
      loadNs = queue.loads[least]!;
    }
    if (loadNs > longestNs) longestNs = loadNs;
  }
  return longestNs;
}

/**
 * Cost of piece record i, all of its heads together.
 *
 * The cost model prices a tile while the device's own workers share the chip. A launch with `share` times as many
 * workers at once gets its tiles `share` times later (with half as many, twice as early); starting a piece gets slower
 * with more, but not faster with fewer. So the work of a launch does not depend on how many CTAs it is cut into, and no
 * launch beats LB* by oversubscribing.
 */
export function pieceCostNs(records: Int32Array, i: number, costModel: CostModel, share: number): number {
  const at = i * Piece.stride;
  const tileRows = records[at + Piece.rows]! >>> 16;
  const kvStart = records[at + Piece.kvStart]!;
  const kvEnd = records[at + Piece.kvEnd]!;
  const { kvTileTokens, queryTiles } = costModel;
  const tiles = kvEnd > kvStart ? Math.ceil(kvEnd / kvTileTokens) - Math.floor(kvStart / kvTileTokens) : 0;
  let tile = queryTiles[queryTiles.length - 1]!;
  for (let q = 0; q < queryTiles.length; q++) {
    if (tileRows <= queryTiles[q]!.rows) {
      tile = queryTiles[q]!;
      break;
    }
  }
  // A tile beyond the largest that the model knows does proportionally more arithmetic.
  const scale = Math.max(1, tileRows / tile.rows);
  return records[at + Piece.headCount]! * (tile.pieceNs * Math.max(1, share) + tiles * tile.kvTileNs * scale * share);
}

/** Slots on which the CTAs of a launch run at the same time. */
export function launchSlots(device: Device, ctasPerSm: number, ctasPerWorker: number): number {
  const perSm = ctasPerSm === 0 ? device.ctasPerSm : ctasPerSm;
  return Math.max(1, Math.floor((device.smCount * perSm) / Math.max(1, ctasPerWorker)));
}
