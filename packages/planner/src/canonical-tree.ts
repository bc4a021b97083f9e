// The canonical merge tree of batch-invariant plans.
//
// KV positions are cut into chunks on an absolute grid. Node (level, i) of the tree covers chunks [i·2^level, (i + 1)·
// 2^level) and is the merge of its two halves, left first. A piece over chunks [from, to) leaves the states of the
// largest nodes that fit, from left to right: at most 2·⌈log₂(to − from)⌉ of them. Finishing the same tree from those
// states gives the same bits for every partition of the line.

import { type AttentionState, mergeState, type Round } from "./attention-state.ts";

/** Number of canonical nodes that cover chunks [from, to); 1 for an empty range, which leaves one empty state. */
export function canonicalNodeCount(from: number, to: number): number {
  if (to <= from) return 1;
  let count = 0;
  for (let at = from; at < to; at += canonicalNodeSize(at, to)) count++;
  return count;
}

/**
 * Partial states that a piece over KV tokens [kvStart, kvEnd) leaves for each row: one where states merge in sequence
 * (`gridTokens` 0), else one for each canonical node of its chunks.
 */
export function stateCount(kvStart: number, kvEnd: number, gridTokens: number): number {
  if (gridTokens === 0) return 1;
  return canonicalNodeCount(Math.floor(kvStart / gridTokens), Math.ceil(kvEnd / gridTokens));
}

/** Chunks in the largest node that starts at chunk `at` and ends at or before chunk `to`. */
export function canonicalNodeSize(at: number, to: number): number {
  let size = 1;
  while (at % (2 * size) === 0 && at + 2 * size <= to) size *= 2;
  return size;
}

/** The state of one node, or of an empty range (size 0). */
export interface CanonicalNode {
  readonly state: AttentionState;
  /** First chunk. */
  readonly chunk: number;
  /** Chunks, a power of two. */
  readonly size: number;
}

/** Finishes the tree from nodes that cover a range of chunks, left to right. States are written over. */
export function finishTree(nodes: readonly CanonicalNode[], round: Round): AttentionState {
  const present = nodes.filter((node) => node.size > 0);
  if (present.length === 0) return nodes[0]!.state;
  const last = present[present.length - 1]!;
  let size = 1;
  while (Math.floor(present[0]!.chunk / size) !== Math.floor((last.chunk + last.size - 1) / size)) size *= 2;
  return subtree(present, 0, present.length, Math.floor(present[0]!.chunk / size) * size, size, round);
}

/** State of the node that covers [chunk, chunk + size), from nodes [from, to) that lie in it. */
function subtree(
  nodes: readonly CanonicalNode[],
  from: number,
  to: number,
  chunk: number,
  size: number,
  round: Round,
): AttentionState {
  if (to - from === 1) return nodes[from]!.state;
  const middle = chunk + size / 2;
  let split = from;
  while (split < to && nodes[split]!.chunk < middle) split++;
  if (split === from) return subtree(nodes, from, to, middle, size / 2, round);
  if (split === to) return subtree(nodes, from, to, chunk, size / 2, round);
  const left = subtree(nodes, from, split, chunk, size / 2, round);
  mergeState(left, subtree(nodes, split, to, middle, size / 2, round), round);
  return left;
}
