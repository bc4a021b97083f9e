// An estimate of when persistent pieces end, for comparing plans that leave workers idle with plans that do not.
//
// The makespan counts every tile at its price while all workers are busy. That is too dear for the tail of an uneven plan:
// once no more workers are busy than there are SMs, each has the share of those that ended on its SM, of tensor throughput
// as of bandwidth (on an H100, 132 CTAs read 92 % of what 264 do), so tiles take 1 / ctasPerSm of their price. Start-ups
// take what they take; in the tail they are counted as in the longest load. No part of a reported makespan or bound.

import { type Device, queryTileFor } from "../device.ts";
import { Piece } from "../layout.ts";
import { pieceCostNs } from "../makespan.ts";
import type { PieceWriter } from "../pieces.ts";

let loads: Float64Array = new Float64Array(0);

/** In nanoseconds; at most the makespan, and equal to it where all loads are equal or an SM has one worker. */
export function estimateEndNs(pieces: PieceWriter, { costModel, smCount, ctasPerSm }: Device): number {
  const { records, workerIndptr, workers } = pieces;
  if (loads.length < workers) loads = new Float64Array(workers);
  const sorted = loads.subarray(0, workers);
  let longestNs = 0;
  let startsOfLongestNs = 0;
  for (let w = 0; w < workers; w++) {
    let loadNs = 0;
    let startsNs = 0;
    for (let i = workerIndptr[w]!; i < workerIndptr[w + 1]!; i++) {
      const at = i * Piece.stride;
      startsNs += records[at + Piece.headCount]! * queryTileFor(costModel, records[at + Piece.rows]! >>> 16).pieceNs;
      loadNs += pieceCostNs(records, i, costModel, 1);
    }
    sorted[w] = loadNs;
    if (loadNs <= longestNs) continue;
    longestNs = loadNs;
    startsOfLongestNs = startsNs;
  }
  if (longestNs === 0) return 0;
  sorted.sort();
  const sharedNs = sorted[workers - 1 - smCount] ?? 0;
  const startsShare = startsOfLongestNs / longestNs;
  return sharedNs + (longestNs - sharedNs) * (startsShare + (1 - startsShare) / ctasPerSm);
}
