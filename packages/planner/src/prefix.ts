// Shared prefixes: which KV ranges are worth reading once for several requests.
//
// Requests that begin with the same pages form a forest. A node that is shared becomes jobs of its own: the query rows
// of all its members, packed, against the node's KV range. What follows is computed by the member's own jobs, and the
// merge combines the levels of each path. Node jobs and private jobs lie on the same line, inside the same budget. A
// node is shared only where the cost model gains: KV reads saved against padding, further pieces and merges.

import type { AttentionBatch, AttentionShape, SharedPrefix } from "./batch.ts";
import { InvalidBatchError } from "./batch.ts";
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

/** Most that a plan may hold; beyond it nodes stay unshared. */
export interface PrefixLimits {
  readonly maxGroups: number;
  /** Groups on the path of one request. */
  readonly maxLevels: number;
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
      const parent = siblings.find((node) => node.requests.includes(requests[0]!));
      const holder = parent === undefined ? -1 : siblings.indexOf(parent);
      for (const [s, node] of siblings.entries()) {
        const shared = requests.filter((request) => node.requests.includes(request)).length;
        if (shared !== (s === holder ? requests.length : 0)) {
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
  const visit = (node: PrefixNode, start: number, level: number): void => {
    const isShared =
      isMaskFree &&
      members.length < limits.maxGroups &&
      level < limits.maxLevels &&
      gainNs(attention, costModel, batch, node, start, level) > 0;
    if (isShared) {
      for (const request of node.requests) pathOf[request]!.push(members.length);
      kvStart.push(start);
      kvEnd.push(node.kvLen);
      members.push(node.requests);
    }
    for (const child of node.children) visit(child, isShared ? node.kvLen : start, isShared ? level + 1 : level);
  };
  for (const root of roots) visit(root, 0, 0);
  return { kvStart, kvEnd, members, pathOf };
}

/** Work saved for one head by sharing KV tokens [start, node.kvLen) of the node's requests, in nanoseconds. */
function gainNs(
  attention: AttentionShape,
  costModel: CostModel,
  batch: AttentionBatch,
  node: PrefixNode,
  start: number,
  level: number,
): number {
  const { kvTileTokens, mergeNs, mergePartialNs } = costModel;
  const group = attention.queryHeads / attention.kvHeads;
  const kvTiles = Math.ceil(node.kvLen / kvTileTokens) - Math.floor(start / kvTileTokens);
  let apartNs = 0;
  let mergingNs = 0;
  let packedRows = 0;
  for (const request of node.requests) {
    const rows = batch.qoLens[request]! * group;
    if (rows === 0) continue;
    const tile = queryTileFor(costModel, rows);
    packedRows += rows;
    apartNs += Math.ceil(rows / tile.rows) * kvTiles * tile.kvTileNs;
    // One more source for each of its rows, and on the first level the merge itself with the private part.
    mergingNs +=
      Math.ceil(rows / 4) * mergePartialNs + (level === 0 ? mergeNs + Math.ceil(rows / 4) * mergePartialNs : 0);
  }
  if (packedRows === 0) return 0;
  const tile = queryTileFor(costModel, packedRows);
  const togetherNs = Math.ceil(packedRows / tile.rows) * (tile.pieceNs + kvTiles * tile.kvTileNs);
  return apartNs - togetherNs - mergingNs;
}
