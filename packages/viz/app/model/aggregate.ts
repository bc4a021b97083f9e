// Sums over a range of time: what a selected range tells.

import { KINDS, type TimelineDocument } from "../documents/timeline.ts";
import { requestName } from "../draw/classes.ts";
import { duration, integer, percent } from "../format.ts";
import type { Fact } from "../ui/facts.ts";
import type { Prepared } from "./prepared.ts";

// Chosen: a scan of a million slices takes about 2 ms; beyond that only what the index answers is shown.
const MAX_SCAN = 1_000_000;

export function rangeFacts(prepared: Prepared, range: readonly [number, number]): Fact[] {
  const { document, index } = prepared;
  const [from, to] = range;
  const { count } = document.lanes;
  let busyUs = 0;
  let slices = 0;
  let idleLanes = 0;
  let scan = 0;
  for (let lane = 0; lane < count; lane++) {
    const busy = index.busyIn(lane, from, to);
    busyUs += busy;
    if (busy <= 0) idleLanes++;
    const span = index.slicesIn(lane, from, to);
    slices += span.to - span.from;
    scan += span.to - span.from;
  }
  const available = (to - from) * count;
  const facts: Fact[] = [
    ["Range", `${duration(from)} – ${duration(to)}`],
    ["Length", duration(to - from)],
    [
      "Busy",
      `${percent(available > 0 ? busyUs / available : 0)}, ${(busyUs / (to - from) || 0).toFixed(1)} workers on average`,
    ],
    ["Idle throughout", `${integer(idleLanes)} of ${integer(count)} workers`],
    ["Bars", integer(slices)],
  ];
  if (scan <= MAX_SCAN) facts.push(...shares(document, prepared, range, busyUs));
  return facts;
}

function shares(
  document: TimelineDocument,
  prepared: Prepared,
  [from, to]: readonly [number, number],
  busyUs: number,
): Fact[] {
  const byKind = new Float64Array(KINDS.length);
  const byRequest = new Map<number, number>();
  const { slices, lanes } = document;
  for (let lane = 0; lane < lanes.count; lane++) {
    const span = prepared.index.slicesIn(lane, from, to);
    for (let i = span.from; i < span.to; i++) {
      const inside = Math.min(slices.end[i]!, to) - Math.max(slices.start[i]!, from);
      byKind[slices.kind[i]!]! += inside;
      byRequest.set(slices.request[i]!, (byRequest.get(slices.request[i]!) ?? 0) + inside);
    }
  }
  const facts: Fact[] = [];
  KINDS.forEach((name, kind) => {
    if (byKind[kind]! > 0) facts.push([`… ${name}`, percent(byKind[kind]! / busyUs)]);
  });
  const [most] = [...byRequest].sort((a, b) => b[1] - a[1]);
  if (most !== undefined) facts.push(["Most work", `${requestName(most[0])}, ${percent(most[1] / busyUs)}`]);
  return facts;
}
