// Merges of plans with shared prefixes: each output row combines the states of every level of its path, in KV order.
//
// A member's row stands in the packed rows of each group on its path, so a merge also ends where the row enters another
// query tile of a group. Requests without a shared prefix merge as always.

import type { AttentionShape } from "./batch.ts";
import { groupRows, type Jobs } from "./jobs.ts";
import { Piece } from "./layout.ts";
import { MERGE_ROWS, type MergeGrid, type MergePlan, type MergeSourceRow, statesOf } from "./merge.ts";
import type { PieceWriter } from "./pieces.ts";
import type { PolicyInput } from "./policies/policy.ts";
import type { PrefixGroups } from "./prefix.ts";

/**
 * MergePlan.build for jobs of the input that share `groups`: numbers the slots of all partial pieces, lists the merges
 * and spreads them over the workers. `grid` as there.
 */
export function mergeWithPrefixes(
  merges: MergePlan,
  pieces: PieceWriter,
  { attention, device, qoLens, jobs }: PolicyInput,
  groups: PrefixGroups,
  grid: MergeGrid,
): void {
  merges.begin(pieces, grid);
  const slotsOf = collectSlots(pieces, grid);
  const rowOffsets = memberRowOffsets(attention, qoLens, groups);
  const groupTiles = tilesOfGroups(jobs, groups);
  for (let j = 0; j < jobs.count; j++) {
    const request = jobs.request[j]!;
    if (request < 0) continue;
    const rowStart = jobs.rowStart[j]!;
    const path = groups.pathOf[request]!;
    for (let head = 0; head < jobs.headCount; head++) {
      const own = slotsOf.get(jobKey(request, rowStart, head));
      if (own === undefined) continue;
      merges.beginJob();
      let row = 0;
      while (row < jobs.rows[j]!) {
        let rowCount = Math.min(MERGE_ROWS, jobs.rows[j]! - row);
        const sources: MergeSourceRow[] = [];
        for (const g of path) {
          const groupRow = rowOffsets[g]!.get(request)! + rowStart + row;
          const tile = groupTiles[g]!.findLast((start) => start <= groupRow)!;
          const next = groupTiles[g]!.find((start) => start > groupRow) ?? Number.POSITIVE_INFINITY;
          rowCount = Math.min(rowCount, next - groupRow);
          for (const slot of slotsOf.get(jobKey(-1 - g, tile, head))!) sources.push({ slot, slotRow: groupRow - tile });
        }
        for (const slot of own) sources.push({ slot, slotRow: row });
        merges.addMerge(request, head, rowStart + row, rowCount, sources);
        row += rowCount;
      }
    }
  }
  merges.spread(pieces.workers, device.costModel);
}

/** Slots of each job that leaves partial states, in KV order. */
function collectSlots(pieces: PieceWriter, grid: MergeGrid): Map<string, number[]> {
  const { records, recordCount } = pieces;
  const found = new Map<string, { kvStart: number; kvEnd: number; slot: number; states: number }[]>();
  for (let i = 0, at = 0; i < recordCount; i++, at += Piece.stride) {
    const slot = records[at + Piece.slot]!;
    if (slot < 0) continue;
    const kvStart = records[at + Piece.kvStart]!;
    const kvEnd = records[at + Piece.kvEnd]!;
    const states = statesOf(records, at, grid);
    for (let h = 0; h < records[at + Piece.headCount]!; h++) {
      const key = jobKey(records[at + Piece.request]!, records[at + Piece.rowStart]!, records[at + Piece.head]! + h);
      const entry = { kvStart, kvEnd, slot: slot + h * states, states };
      const list = found.get(key);
      if (list === undefined) found.set(key, [entry]);
      else list.push(entry);
    }
  }
  const slots = new Map<string, number[]>();
  for (const [key, list] of found) {
    list.sort((a, b) => a.kvStart - b.kvStart || a.kvEnd - b.kvEnd);
    slots.set(
      key,
      list.flatMap(({ slot, states }) => Array.from({ length: states }, (_, s) => slot + s)),
    );
  }
  return slots;
}

/** For each group: where the packed rows of each member begin. */
function memberRowOffsets(
  attention: AttentionShape,
  qoLens: ArrayLike<number>,
  groups: PrefixGroups,
): Map<number, number>[] {
  return groups.members.map((members) => {
    const offsets = new Map<number, number>();
    let row = 0;
    for (const request of members) {
      offsets.set(request, row);
      row += groupRows(attention, qoLens, [request]);
    }
    return offsets;
  });
}

/** For each group: first rows of its query tiles, ascending. */
function tilesOfGroups(jobs: Jobs, groups: PrefixGroups): number[][] {
  const tiles: number[][] = groups.members.map(() => []);
  for (let j = 0; j < jobs.count && jobs.request[j]! < 0; j++) tiles[-1 - jobs.request[j]!]!.push(jobs.rowStart[j]!);
  return tiles;
}

function jobKey(request: number, rowStart: number, head: number): string {
  return `${request}/${rowStart}/${head}`;
}
