// What panels, sorting and the verdict read: the sums of a timeline (src/work-sums.ts) per lane, per request and per kind, as
// objects.

import { type LaneWork, sumSlices, type WorkSums } from "../../src/work-sums.ts";
import { KINDS, type TimelineDocument } from "../documents/timeline.ts";

export interface RequestWork {
  /** Index into the batch; −1 − g for shared-prefix group g. */
  readonly request: number;
  readonly qoLen: number;
  readonly kvLen: number;
  readonly busyUs: number;
  readonly pieces: number;
  readonly merges: number;
  readonly finishUs: number;
  /** Longest single piece. */
  readonly longestUs: number;
  /** Lanes that worked on its pieces. */
  readonly lanes: number;
}

export interface KindWork {
  readonly name: string;
  readonly busyUs: number;
  readonly slices: number;
  /** End of the last slice of the kind. */
  readonly lastUs: number;
}

export interface Work {
  readonly busyUs: number;
  /** Start of the first slice; 0 without slices. */
  readonly firstUs: number;
  readonly lanes: LaneWork;
  /** Heaviest first. */
  readonly requests: readonly RequestWork[];
  /** As KINDS. */
  readonly kinds: readonly KindWork[];
  readonly byRequest: ReadonlyMap<number, RequestWork>;
}

export function sumWork(document: TimelineDocument, sums: WorkSums = sumsOf(document)): Work {
  const { kvLens, qoLens } = document;
  const { groups, firstUs, lanes } = sums;
  const all: RequestWork[] = Array.from({ length: sums.busyUs.length }, (_, at) => {
    const r = at - groups;
    return {
      request: r,
      qoLen: r < 0 ? 0 : qoLens[r]!,
      kvLen: r < 0 ? sums.reach[at]! : kvLens[r]!,
      busyUs: sums.busyUs[at]!,
      pieces: sums.pieces[at]!,
      merges: sums.merges[at]!,
      finishUs: sums.finishUs[at]!,
      longestUs: sums.longestUs[at]!,
      lanes: sums.laneCount[at]!,
    };
  });
  const requests = all.filter((row) => row.pieces > 0 || row.request >= 0);
  requests.sort((a, b) => b.busyUs - a.busyUs || a.request - b.request);
  return {
    busyUs: lanes.busyUs.reduce((sum, value) => sum + value, 0),
    firstUs,
    lanes,
    requests,
    kinds: KINDS.map((name, k) => ({
      name,
      busyUs: sums.kindBusyUs[k]!,
      slices: sums.kindSlices[k]!,
      lastUs: sums.kindLastUs[k]!,
    })),
    byRequest: new Map(all.map((row) => [row.request, row])),
  };
}

/** The sums of a document's slices: one pass. */
export function sumsOf({ slices, lanes, kvLens }: TimelineDocument): WorkSums {
  return sumSlices(slices, lanes.offset, kvLens.length);
}

/** Share of all worker time that was work. */
export function busyFraction(document: TimelineDocument, work: Work): number {
  const total = document.durationUs * document.lanes.count;
  return total > 0 ? work.busyUs / total : 0;
}
