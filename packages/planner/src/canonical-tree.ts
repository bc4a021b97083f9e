// The canonical merge tree of batch-invariant plans.
//
// A request's KV positions are counted in units, on a grid that depends on its number of query rows alone. Node (u, size) of the
// tree covers units [u, u + size), with size a power of two that divides u. A node is a chunk, computed as one, where its size is that of chunks
// at u; larger nodes are the merge of their two halves, left first. A piece leaves the states of the largest nodes that it is made of,
// from left to right. Finishing the same tree from those states gives the same bits for every partition of the line.
//
// Chunks grow with the position: so short contexts can be spread as finely as any, and long ones have few chunks. The cover of a
// piece has at most one node of each size going up and one going down.

import { type AttentionState, mergeState, type Round } from "./attention-state.ts";

/** Query rows, of all heads, of the finest grid; each doubling of them makes a grid coarser. The tallest query tile of the kernels. */
const ROWS = 128;
/**
 * Units of the grids in units of the finest: what fills the device with its own query tiles needs no cuts, and a node of
 * 128 rows costs as much as two KV tiles. Measured: the first two and the last two, of decodes and of prompts. Chosen by
 * simulation with that cost (docs/performance.md of the CUDA executor): those between, for a few prompts on long contexts.
 */
const UNITS = [1, 2, 4, 4, 4, 16, 32, 32] as const;
/** Chunks in each doubling of the position, at most: a chunk is then at most a 64th of what it ends. */
const OCTAVE = 64;
/** Query tiles × chunks in a doubling: chosen, about the workers of a large GPU. */
const TILES_IN_OCTAVE = 256;
/** Units on the finest grid that are chunks of their own: 1,024 tokens, so that short requests can be spread. */
const FINE_UNITS = 8;
/** Least units of a chunk behind them; measured: with chunks of one KV tile everywhere, large batches take 3 to 5 % longer. */
const LEAST_UNITS = 2;

/** Which of the grids, 0 the finest, is that of a request. `requestRows`: its query tokens times all query heads. */
export function coarseness(requestRows: number): number {
  return Math.min(UNITS.length - 1, Math.max(0, 31 - Math.clz32(requestRows / ROWS)));
}

/** Tokens of a unit of the grid of a request with so many query rows. */
export function unitTokens(gridTokens: number, requestRows: number): number {
  return UNITS[coarseness(requestRows)]! * gridTokens;
}

/** Units of the chunk that unit `unit` lies in; the chunk begins at a multiple of that. */
export function chunkUnits(unit: number, requestRows: number): number {
  const grid = coarseness(requestRows);
  const power = unit === 0 ? 0 : 2 ** (31 - Math.clz32(unit));
  const least = grid === 0 && unit >= FINE_UNITS ? LEAST_UNITS : 1;
  return Math.max(least, power / Math.min(OCTAVE, TILES_IN_OCTAVE >> grid));
}

/** First KV token of the chunk that KV token `token` lies in. */
export function chunkStart(token: number, gridTokens: number, requestRows: number): number {
  return chunkUnit(token, gridTokens, requestRows) * unitTokens(gridTokens, requestRows);
}

/** One past the last KV token of the chunk that KV token `token` lies in. */
export function chunkEnd(token: number, gridTokens: number, requestRows: number): number {
  const unit = chunkUnit(token, gridTokens, requestRows);
  return (unit + chunkUnits(unit, requestRows)) * unitTokens(gridTokens, requestRows);
}

function chunkUnit(token: number, gridTokens: number, requestRows: number): number {
  const unit = Math.floor(token / unitTokens(gridTokens, requestRows));
  return unit - (unit % chunkUnits(unit, requestRows));
}

/** Units of the largest node that starts at unit `at`, where a chunk does, and ends at or before unit `to`. */
export function canonicalNodeSize(at: number, to: number, requestRows: number): number {
  let size = chunkUnits(at, requestRows);
  while (at % (2 * size) === 0 && at + 2 * size <= to) size *= 2;
  return size;
}

/** Units [from, to) of the chunks that KV tokens [kvStart, kvEnd) lie in. */
export function unitRange(kvStart: number, kvEnd: number, gridTokens: number, requestRows: number): [number, number] {
  const tokens = unitTokens(gridTokens, requestRows);
  return [chunkUnit(kvStart, gridTokens, requestRows), chunkEnd(kvEnd - 1, gridTokens, requestRows) / tokens];
}

/**
 * Partial states that a piece over KV tokens [kvStart, kvEnd) leaves for each row: one where states merge in sequence
 * (`gridTokens` 0), else one for each canonical node of its chunks. `requestRows`: query rows of the request, or of the
 * members of a group.
 */
export function stateCount(kvStart: number, kvEnd: number, gridTokens: number, requestRows: number): number {
  if (gridTokens === 0 || kvEnd <= kvStart) return 1;
  const [from, to] = unitRange(kvStart, kvEnd, gridTokens, requestRows);
  let count = 0;
  for (let at = from; at < to; at += canonicalNodeSize(at, to, requestRows)) count++;
  return count;
}

/** Most partial states of a piece of a request of up to so many KV tokens: a size going up and a size going down for each. */
export function mostStates(maxKvTokens: number, gridTokens: number): number {
  const sizes = Math.ceil(Math.log2(Math.max(1, maxKvTokens / gridTokens)));
  return sizes + Math.min(sizes, 1 + Math.log2(OCTAVE));
}

/** The state of one node, or of an empty range (size 0). */
export interface CanonicalNode {
  readonly state: AttentionState;
  /** First unit. */
  readonly unit: number;
  /** Units, a power of two. */
  readonly size: number;
}

/** Finishes the tree from nodes that cover a range of chunks, left to right. States are written over. */
export function finishTree(nodes: readonly CanonicalNode[], round: Round): AttentionState {
  const present = nodes.filter((node) => node.size > 0);
  if (present.length === 0) return nodes[0]!.state;
  const last = present[present.length - 1]!;
  let size = 1;
  while (Math.floor(present[0]!.unit / size) !== Math.floor((last.unit + last.size - 1) / size)) size *= 2;
  return subtree(present, 0, present.length, Math.floor(present[0]!.unit / size) * size, size, round);
}

/** State of the node that covers [unit, unit + size), from nodes [from, to) that lie in it. */
function subtree(
  nodes: readonly CanonicalNode[],
  from: number,
  to: number,
  unit: number,
  size: number,
  round: Round,
): AttentionState {
  if (to - from === 1) return nodes[from]!.state;
  const middle = unit + size / 2;
  let split = from;
  while (split < to && nodes[split]!.unit < middle) split++;
  if (split === from) return subtree(nodes, from, to, middle, size / 2, round);
  if (split === to) return subtree(nodes, from, to, unit, size / 2, round);
  const left = subtree(nodes, from, split, unit, size / 2, round);
  mergeState(left, subtree(nodes, split, to, middle, size / 2, round), round);
  return left;
}
