// Jobs: one query tile of one request for one KV head over its whole visible KV range. A slice belongs to the job of its
// (request, KV head) whose query tile is the last one at or before its first row: merges may cover a part of a tile.

import { MERGE, type TimelineDocument } from "../documents/timeline.ts";

export interface PiecePlace {
  readonly lane: number;
  readonly slice: number;
}

export interface JobKey {
  readonly request: number;
  readonly kvHead: number;
  readonly qTile: number;
}

/** The lane that holds a slice: the last one whose offset is at or before it. */
export function laneOf(document: TimelineDocument, slice: number): number {
  const { offset, count } = document.lanes;
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (offset[middle]! <= slice) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** All slices of one (request, KV head), found by a scan: 13 million take about 20 ms, and it happens on a click. */
function slicesOfHead(document: TimelineDocument, request: number, kvHead: number): number[] {
  const { slices } = document;
  const found: number[] = [];
  for (let i = 0; i < slices.count; i++) {
    if (slices.request[i] === request && slices.kvHead[i] === kvHead) found.push(i);
  }
  return found;
}

/** First rows of the query tiles of pieces, ascending. */
function tileStarts(document: TimelineDocument, members: readonly number[]): number[] {
  const { slices } = document;
  const starts = new Set<number>();
  for (const i of members) if (slices.kind[i] !== MERGE) starts.add(slices.qTile[i]!);
  return [...starts].sort((a, b) => a - b);
}

function tileOf(starts: readonly number[], row: number): number {
  let tile = starts[0] ?? row;
  for (const start of starts) if (start <= row) tile = start;
  return tile;
}

/** The slices of the job that a slice belongs to, pieces by KV range, then merges by start. */
export function jobOf(document: TimelineDocument, slice: number): { key: JobKey; members: PiecePlace[] } {
  const { slices } = document;
  const request = slices.request[slice]!;
  const kvHead = slices.kvHead[slice]!;
  const ofHead = slicesOfHead(document, request, kvHead);
  const starts = tileStarts(document, ofHead);
  const qTile = tileOf(starts, slices.qTile[slice]!);
  const members = ofHead
    .filter((i) => tileOf(starts, slices.qTile[i]!) === qTile)
    .map((i) => ({ slice: i, lane: laneOf(document, i) }));
  sortMembers(document, members);
  return { key: { request, kvHead, qTile }, members };
}

function sortMembers(document: TimelineDocument, members: PiecePlace[]): void {
  const { slices } = document;
  const merge = (place: PiecePlace): number => (slices.kind[place.slice] === MERGE ? 1 : 0);
  members.sort(
    (a, b) =>
      merge(a) - merge(b) ||
      slices.kvStart[a.slice]! - slices.kvStart[b.slice]! ||
      slices.start[a.slice]! - slices.start[b.slice]!,
  );
}

/** Every job with its slices, in order of request, head and query tile. */
export function jobPieces(document: TimelineDocument): PiecePlace[][] {
  return jobs(document).map((job) => job.members);
}

export interface Job extends JobKey {
  readonly members: PiecePlace[];
}

export function jobs(document: TimelineDocument): Job[] {
  const { slices, lanes } = document;
  const heads = new Map<string, { request: number; kvHead: number; places: PiecePlace[] }>();
  for (let lane = 0; lane < lanes.count; lane++) {
    for (let i = lanes.offset[lane]!; i < lanes.offset[lane + 1]!; i++) {
      const request = slices.request[i]!;
      const kvHead = slices.kvHead[i]!;
      const key = `${request}/${kvHead}`;
      let head = heads.get(key);
      if (head === undefined) {
        head = { request, kvHead, places: [] };
        heads.set(key, head);
      }
      head.places.push({ lane, slice: i });
    }
  }
  const all: Job[] = [];
  for (const { request, kvHead, places } of heads.values()) {
    const starts = tileStarts(
      document,
      places.map((place) => place.slice),
    );
    const tiles = new Map<number, PiecePlace[]>();
    for (const place of places) {
      const tile = tileOf(starts, slices.qTile[place.slice]!);
      const members = tiles.get(tile);
      if (members === undefined) tiles.set(tile, [place]);
      else members.push(place);
    }
    for (const [qTile, members] of tiles) {
      sortMembers(document, members);
      all.push({ request, kvHead, qTile, members });
    }
  }
  return all.sort((a, b) => a.request - b.request || a.kvHead - b.kvHead || a.qTile - b.qTile);
}

/** Every slice of a request, in lane order. */
export function placesOf(document: TimelineDocument, request: number): PiecePlace[] {
  const { slices, lanes } = document;
  const places: PiecePlace[] = [];
  for (let lane = 0; lane < lanes.count; lane++) {
    for (let slice = lanes.offset[lane]!; slice < lanes.offset[lane + 1]!; slice++) {
      if (slices.request[slice] === request) places.push({ lane, slice });
    }
  }
  return places;
}
