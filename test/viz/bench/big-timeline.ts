// A timeline of 132 rows × 100,000 slices as typed arrays: what a long measured run of one launch after another is like.

import type { Timeline } from "@isochron/planner";
import { makeTimeline, random } from "../../support/documents.ts";

export function bigTimeline(rows: number, slicesPerRow: number): Timeline {
  const count = rows * slicesPerRow;
  const requestCount = 4096;
  const next = random(11);
  const slices = {
    worker: new Uint16Array(count),
    sm: new Uint16Array(count),
    startUs: new Float64Array(count),
    endUs: new Float64Array(count),
    kind: new Uint8Array(count),
    request: new Uint16Array(count),
    kvHead: new Uint8Array(count),
    qTile: new Uint8Array(count),
    kvStart: new Uint32Array(count),
    kvEnd: new Uint32Array(count),
  };
  const kvLens = Array.from({ length: requestCount }, () => 64 + Math.floor(next() * 131_000));
  let durationUs = 0;
  for (let row = 0; row < rows; row++) {
    let at = 0;
    for (let k = 0; k < slicesPerRow; k++) {
      const i = row * slicesPerRow + k;
      const draw = next();
      at += draw * 0.6;
      const length = 1 + 9 * next() ** 3;
      const request = Math.floor(next() * requestCount);
      slices.worker[i] = row;
      slices.sm[i] = row;
      slices.startUs[i] = at;
      at += length;
      slices.endUs[i] = at;
      slices.kind[i] = draw < 0.05 ? 3 : draw < 0.2 ? 0 : 1;
      slices.request[i] = request;
      slices.kvHead[i] = i & 7;
      const tokens = kvLens[request]!;
      slices.kvStart[i] = Math.floor((tokens / 128) * next()) * 64;
      slices.kvEnd[i] = Math.min(slices.kvStart[i]! + 64 * (1 + (i & 15)), tokens);
    }
    durationUs = Math.max(durationUs, at);
  }
  const small = makeTimeline({ kvLens: [64], smCount: 1 });
  return {
    ...small,
    title: `${rows} rows × ${slicesPerRow} slices`,
    device: { ...small.device, smCount: rows, ctasPerSm: 1, workers: rows },
    batch: { qoLens: kvLens.map(() => 1), kvLens },
    stats: { ...small.stats, pieces: count },
    durationUs,
    lowerBoundUs: durationUs * 0.8,
    slices,
  };
}
