// What microbenchmarks of an H100 say: bandwidth by CTA count, a merge and its parts, a small kernel.

import { line } from "./numbers.mjs";
import { from } from "./sources.mjs";
import { readJson } from "./tables.mjs";

export const microbench = readJson("h100/microbench.json");
export const micro = from("microbench");

export const readCurve = [
  ...new Map(
    microbench.bandwidth_vs_ctas
      .filter((row) => row.bytesInFlightPerCta === 32768)
      .sort((a, b) => a.ctas - b.ctas || a.ctasPerSm - b.ctasPerSm)
      .map((row) => [row.ctas, row.GBps]),
  ),
];
export const perCtaGBps = Math.max(...microbench.bandwidth_vs_ctas.filter((r) => r.ctas <= 8).map((r) => r.GBpsPerCta));
export const l2GBps = Math.min(...microbench.l2_read.map((row) => row.GBps));
export const peakGBps = Math.max(...readCurve.map(([, gbps]) => gbps));

const mergeRows4 = microbench.last_arriver_merge.filter((row) => row.rows === 4);
// Few jobs only: with 16 jobs and more the CTAs of the launch do not merge for most of it.
export const merge = line(mergeRows4.filter((row) => row.partials >= 8).map((row) => [row.partials, row.us]));
const emptyLaunchUs = line(
  microbench.piece_time.filter((r) => r.ctas === 132 && r.ctasPerSm === 1 && r.tiles <= 4).map((r) => [r.tiles, r.us]),
).intercept;
const onePartial = (rows) => microbench.last_arriver_merge.find((row) => row.rows === rows && row.partials === 1).us;
// 4 rows are one round of 8 warps, 64 rows are eight.
export const mergeRoundUs = (onePartial(64) - onePartial(4)) / 7 - merge.slope;
export const mergeFixedUs = onePartial(4) - emptyLaunchUs - mergeRoundUs - merge.slope;
export const smallKernelUs = microbench.piece_time.find((r) => r.ctas === 8 && r.tiles === 1 && r.ctasPerSm === 1).us;
