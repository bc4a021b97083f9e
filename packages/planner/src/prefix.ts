// Shared prefixes: which KV ranges are worth reading once for several requests.
//
// Requests that begin with the same pages form a forest. A node that is shared becomes jobs of its own: the query rows
// of all its members, packed, against the node's KV range. What follows is computed by the member's own jobs, and the
// merge combines the levels of each path. Node jobs and private jobs lie on the same line, inside the same budget. A
// node is shared only where the cost model gains: KV reads saved against padding, further pieces and merges. On a merge
// grid, ranges end on it, and members have one grid: then every chunk is computed whole, on one level, and the canonical tree over the
// chunks of a path is the one that the request has alone. What lies between the last grid point and the end of the
// common pages stays with the members.

import type { AttentionBatch, AttentionShape, SharedPrefix } from "./batch.ts";
import { InvalidBatchError } from "./batch.ts";
import { chunkStart, coarseness, stateCount } from "./canonical-tree.ts";
import type { CostModel } from "./device.ts";
import { queryTileFor } from "./device.ts";

/** Groups that are shared, parents before children. Group g covers KV tokens [kvStart[g], kvEnd[g]) of its members. */
export interface PrefixGroups {
  readonly kvStart: readonly number[];
  readonly kvEnd: readonly number[];
  /** Ascending request indices. */
  readonly members: readonly (readonly number[])[];
  /** For each request the groups on its path, in KV order. */
  readonly pathOf: readonly (readonly number[])[];
}

/** What a plan may hold; beyond it nodes stay unshared. */
export interface PrefixLimits {
  readonly maxGroups: number;
  /** Groups on the path of one request. */
  readonly maxLevels: number;
  /** Shared ranges end where chunks of this merge grid do, among requests with one grid; 0: anywhere. */
  readonly gridTokens: number;
}

/** A candidate: requests whose first kvLen tokens are the same. */
interface PrefixNode {
  readonly kvLen: number;
  readonly requests: readonly number[];
  readonly children: PrefixNode[];
}

/** Chooses the groups to share from the batch's explicit prefixes. Throws InvalidBatchError where they overlap. */
export function groupsFromPrefixes(
  attention: AttentionShape,
  costModel: CostModel,
  batch: AttentionBatch,
  limits: PrefixLimits,
): PrefixGroups {
  return chooseGroups(attention, costModel, batch, nest(batch.prefixes ?? []), limits);
}

/** Chooses the groups to share among requests whose page tables begin with the same pages. */
export function groupsFromPageTable(
  attention: AttentionShape,
  costModel: CostModel,
  batch: AttentionBatch,
  limits: PrefixLimits,
): PrefixGroups {
  return chooseGroups(attention, costModel, batch, findNodes(batch, attention.pageSize), limits);
}

/** Whether the members of all groups still share their ranges in a later batch of the same requests. */
export function isStillShared(groups: PrefixGroups, batch: AttentionBatch, pageSize: number): boolean {
  const { qoLens, kvLens, prefixes, pageIndptr, pageIndices } = batch;
  return groups.members.every((members, g) => {
    const kvEnd = groups.kvEnd[g]!;
    if (members.some((member) => kvLens[member]! - qoLens[member]! < kvEnd)) return false;
    if (prefixes !== undefined) {
      return prefixes.some(
        ({ requests, kvLen }) =>
          kvLen >= kvEnd && members.every((member) => Array.prototype.includes.call(requests, member)),
      );
    }
    if (pageIndptr === undefined || pageIndices === undefined) return false;
    const first = pageIndptr[members[0]!]!;
    for (let page = Math.floor(groups.kvStart[g]! / pageSize); page * pageSize < kvEnd; page++) {
      if (members.some((member) => pageIndices[pageIndptr[member]! + page] !== pageIndices[first + page])) return false;
    }
    return true;
  });
}

/** Explicit groups as a forest: each below the smallest one that contains it. */
function nest(prefixes: readonly SharedPrefix[]): PrefixNode[] {
  const order = prefixes.map((_, i) => i);
  order.sort(
    (a, b) => prefixes[a]!.kvLen - prefixes[b]!.kvLen || prefixes[b]!.requests.length - prefixes[a]!.requests.length,
  );
  const roots: PrefixNode[] = [];
  for (const i of order) {
    const requests = Array.from(prefixes[i]!.requests);
    let siblings = roots;
    for (;;) {
      let parent: PrefixNode | undefined;
      for (const node of [...siblings]) {
        const shared = requests.filter((request) => node.requests.includes(request)).length;
        if (shared === requests.length) parent = node;
        // More requests that share a longer prefix: the shorter one says nothing new.
        else if (shared === node.requests.length) siblings.splice(siblings.indexOf(node), 1);
        else if (shared > 0) {
          throw new InvalidBatchError(
            `prefixes[${i}].requests`,
            requests.join(", "),
            "groups that are nested or disjoint",
          );
        }
      }
      if (parent === undefined) break;
      siblings = parent.children;
    }
    siblings.push({ kvLen: prefixes[i]!.kvLen, requests, children: [] });
  }
  return roots;
}

/** Radix forest over page tables. Only full pages before a request's first query token count. */
function findNodes(batch: AttentionBatch, pageSize: number): PrefixNode[] {
  const { pageIndptr, pageIndices, qoLens, kvLens } = batch;
  if (pageIndptr === undefined || pageIndices === undefined) return [];
  const pageAt = (request: number, depth: number): number => pageIndices[pageIndptr[request]! + depth]!;
  const pagesOf = (request: number): number => Math.floor(Math.max(0, kvLens[request]! - qoLens[request]!) / pageSize);
  /** Nodes among requests that agree on their first `depth` pages. */
  const split = (requests: readonly number[], depth: number): PrefixNode[] => {
    const byPage = new Map<number, number[]>();
    for (const request of requests) {
      if (qoLens[request]! === 0 || pagesOf(request) <= depth) continue;
      const page = pageAt(request, depth);
      const list = byPage.get(page);
      if (list === undefined) byPage.set(page, [request]);
      else list.push(request);
    }
    const nodes: PrefixNode[] = [];
    for (const members of byPage.values()) {
      if (members.length < 2) continue;
      const first = members[0]!;
      let end = depth + 1;
      while (members.every((member) => pagesOf(member) > end && pageAt(member, end) === pageAt(first, end))) end++;
      nodes.push({ kvLen: end * pageSize, requests: members, children: split(members, end) });
    }
    return nodes;
  };
  return split(
    Array.from(qoLens, (_, i) => i),
    0,
  );
}

/** Walks the forest from the roots and keeps the nodes that gain. A node that does not leaves its range to those below. */
function chooseGroups(
  attention: AttentionShape,
  costModel: CostModel,
  batch: AttentionBatch,
  roots: readonly PrefixNode[],
  limits: PrefixLimits,
): PrefixGroups {
  const kvStart: number[] = [];
  const kvEnd: number[] = [];
  const members: (readonly number[])[] = [];
  const pathOf: number[][] = Array.from(batch.qoLens, () => []);
  // A window that ends inside a prefix would see a part of it only: such masks share nothing.
  const isMaskFree = attention.mask.kind !== "sliding-window";
  const { maxGroups, maxLevels, gridTokens } = limits;
  const visit = (node: PrefixNode, start: number, level: number): void => {
    const rowsOf = (request: number): number => batch.qoLens[request]! * attention.queryHeads;
    const rows = rowsOf(node.requests[0]!);
    const end = gridTokens === 0 ? node.kvLen : chunkStart(node.kvLen, gridTokens, rows);
    const haveOneGrid = node.requests.every((request) => coarseness(rowsOf(request)) === coarseness(rows));
    const isShared =
      isMaskFree &&
      (gridTokens === 0 || haveOneGrid) &&
      end > start &&
      members.length < maxGroups &&
      level < maxLevels &&
      gainNs(attention, costModel, batch, node.requests, start, end, level, gridTokens) > 0;
    if (isShared) {
      for (const request of node.requests) pathOf[request]!.push(members.length);
      kvStart.push(start);
      kvEnd.push(end);
      members.push(node.requests);
    }
    for (const child of node.children) visit(child, isShared ? end : start, isShared ? level + 1 : level);
  };
  for (const root of roots) visit(root, 0, 0);
  return { kvStart, kvEnd, members, pathOf };
}

/** Work saved for one head by sharing KV tokens [start, end) of the requests, in nanoseconds. */
function gainNs(
  attention: AttentionShape,
  costModel: CostModel,
  batch: AttentionBatch,
  requests: readonly number[],
  start: number,
  end: number,
  level: number,
  gridTokens: number,
): number {
  const { kvTileTokens, mergeNs, mergePartialNs } = costModel;
  const group = attention.queryHeads / attention.kvHeads;
  const kvTiles = Math.ceil(end / kvTileTokens) - Math.floor(start / kvTileTokens);
  const sharedStates = stateCount(start, end, gridTokens, batch.qoLens[requests[0]!]! * attention.queryHeads);
  let apartNs = 0;
  let mergingNs = 0;
  let packedRows = 0;
  for (const request of requests) {
    const rows = batch.qoLens[request]! * group;
    if (rows === 0) continue;
    const stateNs = Math.ceil(rows / 4) * mergePartialNs;
    const tile = queryTileFor(costModel, rows);
    packedRows += rows;
    apartNs += Math.ceil(rows / tile.rows) * kvTiles * tile.kvTileNs;
    // Further sources for each of its rows, and on the first level the merge itself with the private part.
    mergingNs += sharedStates * stateNs;
    if (level === 0)
      mergingNs += mergeNs + stateCount(end, batch.kvLens[request]!, gridTokens, rows * attention.kvHeads) * stateNs;
  }
  if (packedRows === 0) return 0;
  const tile = queryTileFor(costModel, packedRows);
  const togetherNs = Math.ceil(packedRows / tile.rows) * (tile.pieceNs + kvTiles * tile.kvTileNs);
  return apartNs - togetherNs - mergingNs;
}
