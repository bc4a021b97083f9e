// The targets that this package sets itself, and how far a run is from them.

import type { Row } from "./timed-case.ts";

/** What is asked of some rows: `value` at most `limit`, of each row or of their geometric mean. */
interface Target {
  readonly what: string;
  readonly limit: string;
  readonly rows: (row: Row) => boolean;
  readonly value: (row: Row) => number;
  readonly atMost: (row: Row) => number;
  /** The same of what was recorded of FlashInfer; undefined where nothing was. */
  readonly theirs: (row: Row) => number | undefined;
  readonly ofMean?: boolean;
  /** In µs of the recorded device: says nothing of another one. */
  readonly isAbsolute?: boolean;
}

export interface TargetResult {
  readonly what: string;
  readonly limit: string;
  readonly cases: number;
  readonly reached: number;
  readonly geometricMean: number;
  readonly worst: number;
  readonly theirGeometricMean: number | undefined;
}

const overFloor = (row: Row): number => row.us / (row.floorUs ?? Number.NaN);
const overBound = (row: Row): number => row.us / row.boundUs;
const theirsOver =
  (reference: (row: Row) => number | undefined) =>
  (row: Row): number | undefined => {
    const against = reference(row);
    return row.bestFlashInferUs === undefined || against === undefined ? undefined : row.bestFlashInferUs / against;
  };

const bySize = (name: string, from: number, to: number, atMost: number): Target => ({
  what: `decode, KV ${name}`,
  limit: `≤ ${atMost.toFixed(2)} × floor`,
  rows: (row) => row.section === "decode" && row.kvBytes >= from && row.kvBytes < to,
  value: overFloor,
  atMost: () => atMost,
  theirs: theirsOver((row) => row.floorUs),
});

/** Microseconds at most, for cases by name, with one set of heads and page size. */
const microseconds = (what: string, heads: string, limits: Readonly<Record<string, number>>): Target => ({
  what,
  limit: `≤ ${Object.values(limits).join(", ")} µs`,
  rows: (row) => row.case in limits && row.heads === heads && row.pageSize === 16,
  value: (row) => row.us,
  atMost: (row) => limits[row.case]!,
  theirs: (row) => row.bestFlashInferUs,
  isAbsolute: true,
});

/** Time over a recorded kernel's. */
const against = (what: string, section: Row["section"], kernel: string): Target => ({
  what,
  limit: "≤ 1 × its time",
  rows: (row) => row.section === section && row.recordedUs[kernel] !== undefined,
  value: (row) => row.us / row.recordedUs[kernel]!,
  atMost: () => 1,
  theirs: () => undefined,
});

const overBest = (row: Row): number => row.us / (row.bestFlashInferUs ?? Number.NaN);
const hasBest = (row: Row): boolean => row.section === "decode" && row.bestFlashInferUs !== undefined;

const TARGETS: readonly Target[] = [
  bySize("≥ 200 MB", 200e6, Number.POSITIVE_INFINITY, 1.05),
  bySize("40–200 MB", 40e6, 200e6, 1.12),
  bySize("< 40 MB", 0, 40e6, 1.6),
  microseconds("1, 4 and 16 × 1,024", "32/8", { dec_b1_c1024: 5.6, dec_b4_c1024: 10, dec_b16_c1024: 27 }),
  {
    what: "decode, time / best FlashInfer, geometric mean",
    limit: "≤ 0.90",
    rows: hasBest,
    value: overBest,
    atMost: () => 0.9,
    theirs: () => 1,
    ofMean: true,
  },
  {
    what: "decode, time / best FlashInfer, each",
    limit: "≤ 1.03",
    rows: hasBest,
    value: overBest,
    atMost: () => 1.03,
    theirs: () => 1,
  },
  microseconds("1 × 128k + 63 × 512", "32/8", { dec_b64_128k_63x512: 232 }),
  {
    what: "decode steps of traces, time / floor, geometric mean",
    limit: "≤ 1.07",
    rows: (row) => row.section === "trace_steps",
    value: overFloor,
    atMost: () => 1.07,
    theirs: () => undefined,
    ofMean: true,
  },
  {
    what: "mixed, time / roofline",
    limit: "≤ 1.15",
    rows: (row) => row.section === "mixed",
    value: overBound,
    atMost: () => 1.15,
    theirs: theirsOver((row) => row.boundUs),
  },
  microseconds("shared prefix", "32/8", {
    pfx_b64_s8192_u256: 50,
    pfx_b64_s32768_u256: 95,
    pfx_b256_s8192_u256: 150,
    pfx_b256_s32768_u256: 330,
  }),
  against("prefill against FlashInfer's FA2", "prefill", "fi_fa2_paged"),
  against("prefill against FlashInfer's FA3", "prefill", "fi_fa3_paged"),
  microseconds("small heads, 4 new tokens", "8/1", { small_64x256_1024_q4: 15, small_1x65536_q4: 18 }),
];

/** The targets that these rows say something about. */
export function compareWithTargets(rows: readonly Row[], isRecordedDevice: boolean): readonly TargetResult[] {
  return TARGETS.flatMap(({ what, limit, rows: concerns, value, atMost, theirs, ofMean, isAbsolute }) => {
    const list = rows.filter(concerns);
    if (list.length === 0 || (isAbsolute === true && !isRecordedDevice)) return [];
    const mean = geometricMean(list.map(value));
    const known = list.map(theirs).filter((one) => one !== undefined);
    const reached =
      ofMean === true
        ? mean <= atMost(list[0]!)
          ? list.length
          : 0
        : list.filter((row) => value(row) <= atMost(row)).length;
    return {
      what,
      limit,
      cases: list.length,
      reached,
      geometricMean: mean,
      worst: Math.max(...list.map(value)),
      theirGeometricMean: known.length === list.length ? geometricMean(known) : undefined,
    };
  });
}

export function printTargets(results: readonly TargetResult[]): void {
  console.log(
    "\ntarget                                                limit            reached     mean    worst  FlashInfer",
  );
  for (const { what, limit, cases, reached, geometricMean: mean, worst, theirGeometricMean: theirs } of results) {
    console.log(
      [
        what.padEnd(53),
        limit.padEnd(17),
        `${reached} of ${cases}`.padStart(10),
        mean.toFixed(3).padStart(8),
        worst.toFixed(3).padStart(8),
        (theirs === undefined ? "–" : theirs.toFixed(3)).padStart(11),
      ].join(" "),
    );
  }
}

function geometricMean(list: readonly number[]): number {
  return Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);
}
