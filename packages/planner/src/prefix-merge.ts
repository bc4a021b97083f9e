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
  const keyOf = jobKeys(jobs, groups);
  const statesOfJob = collectStates(pieces, grid, keyOf);
  const rowOffsets = memberRowOffsets(attention, qoLens, groups);
  const groupTiles = tilesOfGroups(jobs, groups);
  for (let j = 0; j < jobs.count; j++) {
    const request = jobs.request[j]!;
    if (request < 0) continue;
    const rowStart = jobs.rowStart[j]!;
    const path = groups.pathOf[request]!;
    for (let head = 0; head < jobs.headCount; head++) {
      const own = statesOfJob.get(keyOf(request, rowStart, head));
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
          addSources(sources, statesOfJob.get(keyOf(-1 - g, tile, head))!, groupRow - tile);
        }
        addSources(sources, own, row);
        merges.addMerge(request, head, rowStart + row, rowCount, sources);
        row += rowCount;
      }
    }
  }
  merges.spread(pieces.workers, device.costModel);
}

/** A number for the job of a request or group, its first row and its head: texts as keys took most of the time of a plan. */
type JobKey = (request: number, rowStart: number, head: number) => number;

function jobKeys(jobs: Jobs, groups: PrefixGroups): JobKey {
  let rows = 1;
  for (let j = 0; j < jobs.count; j++) rows = Math.max(rows, jobs.rowStart[j]! + 1);
  const { headCount } = jobs;
  const groupCount = groups.members.length;
  return (request, rowStart, head) => ((request + groupCount) * rows + rowStart) * headCount + head;
}

/** The partial states of one piece: so many slots from the first on. */
interface PieceStates {
  readonly kvStart: number;
  readonly kvEnd: number;
  readonly slot: number;
  readonly states: number;
}

/** Partial states of each job that leaves some, in KV order. */
function collectStates(pieces: PieceWriter, grid: MergeGrid, keyOf: JobKey): Map<number, PieceStates[]> {
  const { records, recordCount } = pieces;
  const found = new Map<number, PieceStates[]>();
  for (let i = 0, at = 0; i < recordCount; i++, at += Piece.stride) {
    const slot = records[at + Piece.slot]!;
    if (slot < 0) continue;
    const kvStart = records[at + Piece.kvStart]!;
    const kvEnd = records[at + Piece.kvEnd]!;
    const states = statesOf(records, at, grid);
    for (let h = 0; h < records[at + Piece.headCount]!; h++) {
      const key = keyOf(records[at + Piece.request]!, records[at + Piece.rowStart]!, records[at + Piece.head]! + h);
      const entry = { kvStart, kvEnd, slot: slot + h * states, states };
      const list = found.get(key);
      if (list === undefined) found.set(key, [entry]);
      else list.push(entry);
    }
  }
  for (const list of found.values()) list.sort((a, b) => a.kvStart - b.kvStart || a.kvEnd - b.kvEnd);
  return found;
}

function addSources(sources: MergeSourceRow[], pieces: readonly PieceStates[], slotRow: number): void {
  for (const { slot, states } of pieces) for (let s = 0; s < states; s++) sources.push({ slot: slot + s, slotRow });
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
