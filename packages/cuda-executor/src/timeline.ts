// What the instrumented kernel wrote, as the `timeline/1` document that the simulator writes too.

import {
  type Device,
  type Generator,
  Header,
  lengthsOf,
  Merge,
  Piece,
  type Plan,
  SLICE_KINDS,
  type Timeline,
} from "@isochron/planner";
import type { NativeTrace } from "./binding.ts";

/** Numbers in one trace row; see NativeTrace. */
const COLUMNS = 8;

/** Times are in µs since the first piece began. Pieces first, merges after them, sorted by worker and start. */
export function measuredTimeline(
  plan: Plan,
  trace: NativeTrace,
  device: Pick<Device, "name" | "smCount">,
  generator: Generator,
): Timeline {
  const { pieces, merges, header } = plan;
  const { qoLens, kvLens } = lengthsOf(plan);
  const rows: number[][] = [];
  let at = 0;
  for (let record = 0; record < plan.pieceRecordCount; record++) {
    const field = (name: number): number => pieces[record * Piece.stride + name]!;
    const request = field(Piece.request);
    const kind = request < 0 ? "prefix" : qoLens[request] === 1 ? "decode" : "prefill";
    for (let h = 0; h < field(Piece.headCount); h++, at += COLUMNS) {
      const head = field(Piece.head) + h;
      rows.push([
        ...times(trace.pieces, at),
        SLICE_KINDS.indexOf(kind),
        request,
        head,
        field(Piece.rowStart),
        field(Piece.kvStart),
        field(Piece.kvEnd),
      ]);
    }
  }
  for (let m = 0; m < plan.mergeCount; m++) {
    const field = (name: number): number => merges[m * Merge.stride + name]!;
    const request = field(Merge.request);
    rows.push([
      ...times(trace.merges, m * COLUMNS),
      SLICE_KINDS.indexOf("merge"),
      request,
      field(Merge.head),
      field(Merge.rowStart),
      0,
      0,
    ]);
  }
  rows.sort((a, b) => a[0]! - b[0]! || a[2]! - b[2]!);
  const column = (c: number): number[] => rows.map((row) => row[c]!);
  const { stats } = plan;
  return {
    isochron: "timeline/1",
    source: "measured",
    generator,
    device: {
      name: device.name,
      smCount: device.smCount,
      ctasPerSm: header[Header.ctasPerSm]!,
      workers: plan.workers,
    },
    attention: plan.attention,
    policy: plan.policy,
    batch: { qoLens: Array.from(qoLens), kvLens: Array.from(kvLens) },
    stats,
    durationUs: Math.max(0, ...column(3)),
    lowerBoundUs: stats.lowerBoundUs,
    slices: {
      worker: column(0),
      sm: column(1),
      startUs: column(2),
      endUs: column(3),
      kind: column(4),
      request: column(5),
      kvHead: column(6),
      qTile: column(7),
      kvStart: column(8),
      kvEnd: column(9),
    },
  };
}

/** [worker, sm, start, end] of one trace row. */
function times(trace: Float64Array, at: number): number[] {
  return [trace[at + 3]!, trace[at + 2]!, trace[at]!, trace[at + 1]!];
}
