// What differs between two timelines; and where both ran the same plan, how far the simulation is from the measurement.

import { duration, integer, percent, times } from "../format.ts";
import type { Severity } from "./diagnose.ts";
import type { Prepared } from "./prepared.ts";
import { busyFraction } from "./work.ts";

export interface ComparisonRow {
  readonly name: string;
  readonly first: number;
  readonly second: number;
  readonly format: (value: number) => string;
}

export interface PlanErrors {
  readonly durationUs: number;
  readonly durationShare: number;
  readonly meanPieceShare: number;
  readonly meanFinishUs: number;
  readonly maxFinishUs: number;
  /** Largest error first. */
  readonly workers: readonly { readonly worker: number; readonly simulatedUs: number; readonly measuredUs: number }[];
}

export interface Comparison {
  readonly severity: Severity;
  readonly headline: string;
  readonly note: string;
  readonly rows: readonly ComparisonRow[];
  readonly requests: readonly { readonly request: number; readonly first: number; readonly second: number }[];
  readonly errors: PlanErrors | null;
}

// Chosen: one screen of rows.
const SHOWN = 10;

export function compare(first: Prepared, second: Prepared): Comparison {
  const a = first.document;
  const b = second.document;
  const rows: ComparisonRow[] = [
    { name: "Duration", first: a.durationUs, second: b.durationUs, format: duration },
    { name: "Lower bound", first: a.lowerBoundUs, second: b.lowerBoundUs, format: duration },
    { name: "Over the bound", first: ratio(first), second: ratio(second), format: times },
    { name: "Busy", first: busyFraction(a, first.work), second: busyFraction(b, second.work), format: percent },
    { name: "Work", first: first.work.busyUs, second: second.work.busyUs, format: duration },
    { name: "Pieces", first: a.stats.pieces, second: b.stats.pieces, format: integer },
    { name: "Split jobs", first: a.stats.splitJobs, second: b.stats.splitJobs, format: integer },
    { name: "Partial slots", first: a.stats.partialSlots, second: b.stats.partialSlots, format: integer },
    { name: "Merged rows", first: a.stats.mergeRows, second: b.stats.mergeRows, format: integer },
    { name: "Merging", first: first.work.kinds[3]!.busyUs, second: second.work.kinds[3]!.busyUs, format: duration },
  ];
  const sameBatch = equal(a.kvLens, b.kvLens) && equal(a.qoLens, b.qoLens);
  const errors = sameBatch && a.source !== b.source ? planErrors(first, second) : null;
  const requests = sameBatch ? finishes(first, second) : [];
  return { ...headline(first, second, errors), note: note(sameBatch, errors), rows, requests, errors };
}

function ratio({ document }: Prepared): number {
  return document.lowerBoundUs > 0 ? document.durationUs / document.lowerBoundUs : 1;
}

function note(sameBatch: boolean, errors: PlanErrors | null): string {
  if (errors !== null) return "The same plan, simulated and measured.";
  return sameBatch
    ? "The same batch, planned twice."
    : "Two different batches: durations are not comparable piece by piece.";
}

function headline(
  first: Prepared,
  second: Prepared,
  errors: PlanErrors | null,
): { severity: Severity; headline: string } {
  const a = first.document;
  const b = second.document;
  if (errors !== null) {
    const share = Math.abs(errors.durationShare);
    // Chosen: within 5 % a simulation decides between plans; beyond 15 % it misleads.
    const severity: Severity = share <= 0.05 ? "good" : share <= 0.15 ? "fair" : "bad";
    const side = errors.durationUs < 0 ? "below" : "above";
    return { severity, headline: `The simulation is ${percent(share)} ${side} the measurement.` };
  }
  const name = (prepared: Prepared, letter: string): string => `${letter} (${prepared.document.policy})`;
  const faster = a.durationUs <= b.durationUs ? name(first, "A") : name(second, "B");
  const slower = a.durationUs <= b.durationUs ? name(second, "B") : name(first, "A");
  const low = Math.min(a.durationUs, b.durationUs);
  const high = Math.max(a.durationUs, b.durationUs);
  if (low <= 0 || high / low < 1.005) return { severity: "good", headline: `Both take ${duration(high)}.` };
  const text = `${faster} is ${times(high / low)} as fast as ${slower}: ${duration(low)} instead of ${duration(high)}.`;
  return { severity: "good", headline: text };
}

function equal(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Requests whose finish differs most. */
function finishes(first: Prepared, second: Prepared): Comparison["requests"] {
  const rows = first.work.requests.map((row) => ({
    request: row.request,
    first: row.finishUs,
    second: second.work.byRequest.get(row.request)?.finishUs ?? 0,
  }));
  rows.sort((x, y) => Math.abs(y.second - y.first) - Math.abs(x.second - x.first));
  return rows.slice(0, SHOWN);
}

/** Null where the two did not run the same pieces on the same workers. */
function planErrors(first: Prepared, second: Prepared): PlanErrors | null {
  const simulated = first.document.source === "simulated" ? first : second;
  const measured = simulated === first ? second : first;
  const s = simulated.document;
  const m = measured.document;
  if (s.slices.count !== m.slices.count || s.slices.count === 0) return null;
  const twins = twinsOf(simulated, measured);
  if (twins === null) return null;
  let pieceShare = 0;
  for (let i = 0; i < twins.length; i++) {
    const j = twins[i]!;
    const real = m.slices.end[j]! - m.slices.start[j]!;
    if (real > 0) pieceShare += Math.abs(s.slices.end[i]! - s.slices.start[i]! - real) / real;
  }
  const ends = (prepared: Prepared): Map<number, number> => {
    const { slices } = prepared.document;
    const found = new Map<number, number>();
    for (let i = 0; i < slices.count; i++) {
      const worker = slices.worker[i]!;
      found.set(worker, Math.max(found.get(worker) ?? 0, slices.end[i]!));
    }
    return found;
  };
  const measuredEnds = ends(measured);
  const workers = [...ends(simulated)].map(([worker, simulatedUs]) => ({
    worker,
    simulatedUs,
    measuredUs: measuredEnds.get(worker) ?? 0,
  }));
  const errors = workers.map((row) => Math.abs(row.simulatedUs - row.measuredUs));
  workers.sort((x, y) => Math.abs(y.simulatedUs - y.measuredUs) - Math.abs(x.simulatedUs - x.measuredUs));
  return {
    durationUs: s.durationUs - m.durationUs,
    durationShare: m.durationUs > 0 ? (s.durationUs - m.durationUs) / m.durationUs : 0,
    meanPieceShare: pieceShare / twins.length,
    meanFinishUs: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    maxFinishUs: errors.reduce((most, error) => Math.max(most, error), 0),
    workers: workers.slice(0, SHOWN),
  };
}

/** For each slice of the first the slice of the second that did the same on the same worker. */
function twinsOf(first: Prepared, second: Prepared): Int32Array | null {
  const key = ({ slices }: Prepared["document"], i: number): string =>
    `${slices.worker[i]}/${slices.kind[i]}/${slices.request[i]}/${slices.kvHead[i]}/${slices.qTile[i]}/${slices.kvStart[i]}`;
  const places = new Map<string, number[]>();
  for (let j = second.document.slices.count - 1; j >= 0; j--) {
    const name = key(second.document, j);
    const list = places.get(name);
    if (list === undefined) places.set(name, [j]);
    else list.push(j);
  }
  const twins = new Int32Array(first.document.slices.count);
  for (let i = 0; i < twins.length; i++) {
    const twin = places.get(key(first.document, i))?.pop();
    if (twin === undefined) return null;
    twins[i] = twin;
  }
  return twins;
}
