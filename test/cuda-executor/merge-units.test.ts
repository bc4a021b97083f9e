import { Header, Merge, MergeSource, Piece, type Plan, type PolicyName, Request } from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalNodeSize, unitRange } from "../../packages/planner/src/canonical-tree.ts";
import { hasCompiler, nativeProgram } from "./native-program.ts";
import { ATTENTION, planOf } from "./support.ts";

interface Unit {
  readonly worker: number;
  readonly merge: number;
  readonly arrivals: number;
  /** Units of its job; 0 where whoever counts last does it. */
  readonly units: number;
  readonly rowOffset: number;
  readonly rowCount: number;
  readonly slice: number;
  readonly isCopied: boolean;
  /** The partial row of each source, for row 0 of the merge. */
  readonly rows: readonly number[];
  /** Canonical trees: the leaves that the sources are, as bits, or 0 and the folds behind each source. */
  readonly leaves: number;
  readonly folds: readonly number[];
}

/** A unit that waits for its sources' rows: parts [firstPart, firstPart + parts) of a merge. */
interface AwaitedUnit {
  readonly merge: number;
  readonly isCopied: boolean;
  readonly place: number;
  readonly sources: number;
  readonly loads: number;
  readonly lanesLog2: number;
  readonly rowStart: number;
  readonly firstPart: number;
  readonly parts: number;
  /** Canonical trees: the leaves that the sources are, as bits. */
  readonly leaves: number;
}

interface Worker {
  readonly starters: number;
  readonly pieces: number;
  readonly lastJob: number;
  /** Of the states whose rows are waited for: slot, place and job. */
  readonly awaited: readonly (readonly [slot: number, place: number, job: number])[];
  readonly units: readonly Unit[];
  readonly awaitedUnits: readonly AwaitedUnit[];
}

interface Node {
  readonly unit: number;
  readonly size: number;
  /** The first slot of its piece and head. */
  readonly first: number;
}

const nameOf = ({ unit, size }: Node): string => `${unit}+${size}`;

/** The node in each slot of an invariant plan. */
function nodesOfSlots(plan: Plan): Map<number, Node> {
  const { header, pieces, requests } = plan;
  const nodes = new Map<number, Node>();
  for (let at = 0; at < plan.pieceRecordCount * Piece.stride; at += Piece.stride) {
    let slot = pieces[at + Piece.slot]!;
    if (slot < 0) continue;
    const request = pieces[at + Piece.request]! * Request.stride;
    const rows = requests[request + Request.qoLen]! * header[Header.queryHeads]!;
    const [kvStart, kvEnd] = [pieces[at + Piece.kvStart]!, pieces[at + Piece.kvEnd]!];
    const [from, to] = unitRange(kvStart, kvEnd, header[Header.mergeGridTokens]!, rows);
    for (let head = 0; head < pieces[at + Piece.headCount]!; head++) {
      const first = slot;
      for (let unit = from; unit < to; slot++) {
        const size = canonicalNodeSize(unit, to, rows);
        nodes.set(slot, { unit, size, first });
        unit += size;
      }
    }
  }
  return nodes;
}

/** The canonical tree over nodes that follow each other, in brackets. */
function canonical(nodes: readonly Node[]): string {
  if (nodes.length === 1) return nameOf(nodes[0]!);
  const last = nodes.at(-1)!;
  let size = 1;
  const half = (unit: number): number => Math.floor(unit / size);
  while (half(nodes[0]!.unit) !== half(last.unit + last.size - 1)) size *= 2;
  size /= 2;
  const isLeft = ({ unit }: Node): boolean => half(unit) === half(nodes[0]!.unit);
  return `(${canonical(nodes.filter(isLeft))} ${canonical(nodes.filter((node) => !isLeft(node)))})`;
}

/** Merges two nodes, of which a missing one is empty. */
function merged(left: string, right: string): string {
  return left === "" ? right : right === "" ? left : `(${left} ${right})`;
}

/** What the kernel makes of a part's sources, leaf by leaf (awaited_rows.cuh): groups of lanes merge first, then loads. */
function foldedByPart({ leaves, loads, lanesLog2 }: AwaitedUnit, sources: readonly string[]): string {
  const groups = 32 >> lanesLog2;
  let values = Array.from({ length: loads }, (_, load) =>
    Array.from({ length: groups }, (_, group) => {
      const leaf = groups * load + group;
      return leaf < 32 && (leaves >>> leaf) & 1 ? sources[popCount(leaves, leaf)]! : "";
    }),
  );
  for (let step = 1; step < groups; step *= 2) {
    values = values.map((held) =>
      held.map((own, group) => (group & step ? merged(held[group ^ step]!, own) : merged(own, held[group ^ step]!))),
    );
  }
  const held = values.map((groupsOf) => {
    expect(new Set(groupsOf).size).toBe(1);
    return groupsOf[0]!;
  });
  for (let step = 1; step < loads; step *= 2) {
    for (let load = 0; load < loads; load += 2 * step) held[load] = merged(held[load]!, held[load + step]!);
  }
  return held[0]!;
}

/** Leaves before one. */
function popCount(leaves: number, before: number): number {
  let count = 0;
  for (let leaf = 0; leaf < before; leaf++) count += (leaves >>> leaf) & 1;
  return count;
}

/** What the kernel makes of a unit's sources (invariant_merge.cuh). */
function foldedBy({ leaves, folds }: Unit, sources: readonly string[]): string {
  if (leaves === 0) {
    const stack: string[] = [];
    sources.forEach((source, s) => {
      let node = source;
      for (let fold = 0; fold < folds[s]!; fold++) node = merged(stack.pop()!, node);
      stack.push(node);
    });
    expect(stack.length).toBe(1);
    return stack[0]!;
  }
  let next = 0;
  let level = Array.from({ length: 32 }, (_, leaf) => ((leaves >>> leaf) & 1 ? sources[next++]! : ""));
  expect(next).toBe(sources.length);
  while (level.length > 1) level = level.flatMap((node, i) => (i % 2 === 0 ? [merged(node, level[i + 1]!)] : []));
  return level[0]!;
}

describe.skipIf(!hasCompiler)("the merge units of a plan", () => {
  const linesOf = nativeProgram("list-merge-units.cc");

  const workersOf = (plan: Plan): readonly Worker[] => {
    return linesOf(plan).map((line, worker) => {
      const [own, ...rest] = line.split(";").map((part) => part.split(" ").map(Number));
      const isAwaited = (unit: readonly number[]): boolean => unit[0] === -1;
      const awaitedUnits = rest
        .filter(isAwaited)
        .map(
          ([, merge, isCopied, place, sources, loads, lanesLog2, rowStart, firstPart, parts, leaves]): AwaitedUnit => {
            return {
              merge: merge!,
              isCopied: isCopied === 1,
              place: place!,
              sources: sources!,
              loads: loads!,
              lanesLog2: lanesLog2!,
              rowStart: rowStart!,
              firstPart: firstPart!,
              parts: parts!,
              leaves: leaves!,
            };
          },
        );
      const counted = rest.filter((unit) => !isAwaited(unit));
      const units = counted.map(
        ([merge, arrivals, units, rowOffset, rowCount, slice, sources, isCopied, leaves, ...perSource]): Unit => {
          expect(perSource.length).toBe(2 * sources!);
          return {
            worker,
            merge: merge!,
            arrivals: arrivals!,
            units: units!,
            rowOffset: rowOffset!,
            rowCount: rowCount!,
            slice: slice!,
            isCopied: isCopied === 1,
            rows: perSource.slice(0, sources),
            leaves: leaves!,
            folds: perSource.slice(sources),
          };
        },
      );
      const [starters, pieces, lastJob, ...places] = own!;
      const awaited = Array.from({ length: places.length / 3 }, (_, i): [number, number, number] => {
        return [places[3 * i]!, places[3 * i + 1]!, places[3 * i + 2]!];
      });
      return { starters: starters!, pieces: pieces!, lastJob: lastJob!, awaited, units, awaitedUnits };
    });
  };

  /** Every word of an awaited piece's rows is read once; returns the merges. */
  const checkAwaited = (plan: Plan, workers: readonly Worker[]): Set<number> => {
    const { header, merges, mergeSources } = plan;
    const headDim = header[Header.headDim]!;
    const placeOf = new Map(workers.flatMap(({ awaited }) => awaited.map(([slot, place]) => [slot, place])));
    const places = new Set(placeOf.values());
    expect(places.size).toBe(workers.reduce((sum, { awaited }) => sum + awaited.length, 0));
    expect(Math.max(-1, ...places)).toBeLessThan(header[Header.partialSlotCapacity]!);
    const nodes = header[Header.mergeGridTokens]! > 0 ? nodesOfSlots(plan) : undefined;
    const rowsOfSlot = new Map<number, number>();
    for (let at = 0; at < plan.pieceRecordCount * Piece.stride; at += Piece.stride) {
      const slot = plan.pieces[at + Piece.slot]!;
      for (let s = slot; s === slot || nodes?.get(s)?.first === slot; s++) {
        rowsOfSlot.set(s, plan.pieces[at + Piece.rows]! & 0xffff);
      }
    }
    const partsRead = new Map<number, number[]>();
    const partsOf = new Map<number, number>();
    const slotsRead = new Map<number, number>();
    for (const worker of workers) {
      for (const unit of worker.awaitedUnits) {
        const field = (name: number): number => merges[unit.merge * Merge.stride + name]!;
        expect([unit.isCopied, worker.pieces > 0, unit.parts > 0]).toEqual([true, true, true]);
        expect([unit.rowStart, unit.sources]).toEqual([
          field(Merge.rowStart),
          field(Merge.sourceEnd) - field(Merge.sourceStart),
        ]);
        expect(unit.loads * (32 >> unit.lanesLog2)).toBeGreaterThanOrEqual(
          nodes ? 32 - Math.clz32(unit.leaves) : unit.sources,
        );
        if (nodes !== undefined) {
          const sources = Array.from({ length: unit.sources }, (_, s) => {
            const at = (field(Merge.sourceStart) + s) * MergeSource.stride;
            return nodes.get(mergeSources[at + MergeSource.slot]!)!;
          });
          expect(foldedByPart(unit, sources.map(nameOf))).toBe(canonical(sources));
        }
        expect(4 << unit.lanesLog2).toBeGreaterThanOrEqual(8); // the columns of a copy of the state
        for (let s = 0; s < unit.sources; s++) {
          const slot = mergeSources[(field(Merge.sourceStart) + s) * MergeSource.stride + MergeSource.slot]!;
          expect(placeOf.get(slot)).toBe(unit.place + s);
          // What the piece wrote is what is read.
          expect(rowsOfSlot.get(slot)).toBe(field(Merge.rowCount));
          expect(slotsRead.get(slot) ?? unit.merge).toBe(unit.merge);
          slotsRead.set(slot, unit.merge);
        }
        const slices = headDim / (4 << unit.lanesLog2);
        const all = field(Merge.rowCount) * slices;
        expect(partsOf.get(unit.merge) ?? all).toBe(all);
        partsOf.set(unit.merge, all);
        const read = partsRead.get(unit.merge) ?? [];
        for (let i = 0; i < unit.parts; i++) read.push(unit.firstPart + i);
        partsRead.set(unit.merge, read);
      }
    }
    for (const [merge, all] of partsOf) {
      expect(partsRead.get(merge)!.toSorted((a, b) => a - b)).toEqual(Array.from({ length: all }, (_, part) => part));
    }
    expect(new Set(slotsRead.keys())).toEqual(new Set(placeOf.keys()));
    return new Set(partsOf.keys());
  };

  const check = (plan: Plan): { units: number; last: number; sliced: number; awaited: number } => {
    const workers = workersOf(plan);
    const awaited = checkAwaited(plan, workers);
    const units = workers.flatMap((worker) => worker.units);
    const { header, merges, mergeSources } = plan;
    const field = (m: number, name: number): number => merges[m * Merge.stride + name]!;
    const slotRows = header[Header.slotRows]!;
    const slotsOfJob = new Map<number, Set<number>>();
    const unitsOfJob = new Map<number, Unit[]>();
    for (let m = 0; m < plan.mergeCount; m++) {
      const slots = slotsOfJob.get(field(m, Merge.splitJob)) ?? new Set();
      slotsOfJob.set(field(m, Merge.splitJob), slots);
      for (let s = field(m, Merge.sourceStart); s < field(m, Merge.sourceEnd); s++) {
        slots.add(mergeSources[s * MergeSource.stride + MergeSource.slot]!);
      }
    }
    const times = new Map<string, number>();
    for (const unit of units) {
      const job = field(unit.merge, Merge.splitJob);
      unitsOfJob.set(job, [...(unitsOfJob.get(job) ?? []), unit]);
      expect([unit.isCopied, workers[unit.worker]!.pieces > 0, unit.arrivals]).toEqual([
        true,
        true,
        slotsOfJob.get(job)!.size,
      ]);
      const start = field(unit.merge, Merge.sourceStart);
      const expected = Array.from({ length: field(unit.merge, Merge.sourceEnd) - start }, (_, s) => {
        const at = (start + s) * MergeSource.stride;
        return mergeSources[at + MergeSource.slot]! * slotRows + mergeSources[at + MergeSource.slotRow]!;
      });
      expect(unit.rows).toEqual(expected);
      for (let row = unit.rowOffset; row < unit.rowOffset + unit.rowCount; row++) {
        for (const slice of unit.slice < 0 ? [0, 1, 2, 3] : [unit.slice]) {
          const key = `${unit.merge} ${row} ${slice}`;
          times.set(key, (times.get(key) ?? 0) + (unit.units === 0 ? 1 / unit.arrivals : 1));
        }
      }
    }
    let rows = 0;
    for (let m = 0; m < plan.mergeCount; m++) if (!awaited.has(m)) rows += field(m, Merge.rowCount);
    expect(times.size).toBe(4 * rows);
    expect([...times].filter(([, count]) => Math.abs(count - 1) > 1e-9)).toEqual([]);
    for (const list of unitsOfJob.values()) {
      const isLast = list[0]!.units === 0;
      for (const { units, worker } of list) {
        expect(units).toBe(isLast ? 0 : list.length);
        if (isLast) expect(workers[worker]!.lastJob).toBe(-2);
      }
      if (isLast) expect(new Set(list.map(({ worker }) => worker)).size).toBe(list[0]!.arrivals);
    }
    // Only a worker's first unit may be one that the last to count does, and its last piece then counts nowhere else.
    for (const worker of workers) {
      worker.units.forEach((unit, i) => {
        if (unit.units === 0) expect(i).toBe(0);
      });
      if (worker.lastJob === -2) expect(worker.units[0]!.units).toBe(0);
    }
    const begin =
      awaited.size > 0 || units.some((unit) => unit.units > 0) ? workers.filter(({ pieces }) => pieces > 0).length : 0;
    for (const worker of workers) expect(worker.starters).toBe(begin);
    const last = units.filter((unit) => unit.units === 0).length;
    return { units: units.length, last, sliced: units.filter((unit) => unit.slice >= 0).length, awaited: awaited.size };
  };

  it.each(["balanced", "tight"] as PolicyName[])(
    "cover each merged row of a %s plan once, from its sources in order",
    (policy) => {
      const batches = fc.array(
        fc.tuple(fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 150 })), fc.integer({ min: 0, max: 9000 })),
        { maxLength: 24 },
      );
      fc.assert(
        fc.property(batches, (rows) => {
          check(planOf({ qoLens: rows.map((r) => r[0]), kvLens: rows.map((r) => r[1]) }, ATTENTION, policy));
        }),
        { numRuns: 40 },
      );
    },
  );

  it("fold the nodes of invariant plans in the order of the canonical tree, from leaves and from lists", () => {
    const batches = fc.array(
      fc.tuple(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 600 })), fc.integer({ min: 0, max: 60_000 })),
      { minLength: 1, maxLength: 12 },
    );
    const seen = { leaves: 0, lists: 0, awaited: 0 };
    fc.assert(
      fc.property(batches, (rows) => {
        const plan = planOf({ qoLens: rows.map((r) => r[0]), kvLens: rows.map((r) => r[1]) }, ATTENTION, "invariant");
        const nodes = nodesOfSlots(plan);
        const workers = workersOf(plan);
        seen.awaited += checkAwaited(plan, workers).size;
        for (const unit of workers.flatMap(({ units }) => units)) {
          const slotRows = plan.header[Header.slotRows]!;
          const sources = unit.rows.map((row) => nodes.get(Math.floor(row / slotRows))!);
          expect(foldedBy(unit, sources.map(nameOf))).toBe(canonical(sources));
          seen[unit.leaves === 0 ? "lists" : "leaves"]++;
        }
      }),
      { numRuns: 100 },
    );
    // Some 130 jobs of 100 batches wait, and thousands of rows are folded each way.
    expect(Math.min(seen.leaves, seen.lists, 10 * seen.awaited)).toBeGreaterThan(300);
  });

  it("are a shared prefix's too, whose slots feed a job of every member", () => {
    const kvLens = Array.from({ length: 40 }, (_, i) => 8192 + 16 * i + 1);
    const prefixes = [{ requests: kvLens.map((_, i) => i), kvLen: 8192 }];
    expect(check(planOf({ qoLens: kvLens.map(() => 1), kvLens, prefixes })).units).toBeGreaterThan(300);
  });

  it("wait for the rows of decodes, a part to a warp, and of no job whose slots something else reads", () => {
    const wide = { ...ATTENTION, queryHeads: 64 };
    for (const shape of [ATTENTION, wide, { ...ATTENTION, headDim: 64 }, { ...ATTENTION, headDim: 256 }] as const) {
      for (const kvLens of [[1024], [705], [8192], Array.from({ length: 16 }, (_, i) => 512 + 31 * i)]) {
        const plan = planOf({ qoLens: kvLens.map(() => 1), kvLens }, shape);
        const seen = check(plan);
        expect([seen.units, seen.awaited]).toEqual([0, plan.mergeCount]);
      }
    }
    const single = workersOf(planOf({ qoLens: [1], kvLens: [1024] })).flatMap(({ awaitedUnits }) => awaitedUnits);
    expect(single.map(({ parts }) => parts)).toEqual(single.map(() => 4));
  });

  it("count the slots of a job whose rows a hostile plan would leave unread, or read twice", () => {
    const lie: Record<string, (plan: Plan) => void> = {
      "a row less than was written": ({ merges }) => merges[Merge.rowCount]!--,
      "rows from the second on": ({ merges, mergeSources }) => {
        mergeSources[merges[Merge.sourceStart]! * MergeSource.stride + MergeSource.slotRow] = 1;
      },
      "a slot twice": ({ merges, mergeSources }) => {
        const first = merges[Merge.sourceStart]! * MergeSource.stride + MergeSource.slot;
        mergeSources[first + MergeSource.stride] = mergeSources[first]!;
      },
      "another job's slot": ({ merges, mergeSources }) => {
        const first = (merge: number): number => {
          return merges[merge * Merge.stride + Merge.sourceStart]! * MergeSource.stride + MergeSource.slot;
        };
        mergeSources[first(0)] = mergeSources[first(1)]!;
      },
    };
    for (const [what, tell] of Object.entries(lie)) {
      const plan = planOf({ qoLens: [1], kvLens: [1024] });
      tell(plan);
      const awaited = workersOf(plan).flatMap(({ awaitedUnits }) => awaitedUnits.map(({ merge }) => merge));
      expect([what, awaited.includes(0), awaited.includes(plan.mergeCount - 1)]).toEqual([what, false, true]);
    }
  });

  it("divide a row of very many sources by its columns, and leave a job of one unit to whoever counts last", () => {
    const oneHead = { ...ATTENTION, queryHeads: 4, kvHeads: 1 };
    expect(check(planOf({ qoLens: [1], kvLens: [60_000] }, oneHead)).sliced).toBe(16);
    // Nodes of this batch's parts are more than there are places for rows that are waited for.
    const kvLens = Array.from({ length: 24 }, (_, i) => 1000 + 411 * i);
    const plan = planOf({ qoLens: kvLens.map(() => 1), kvLens }, ATTENTION, "invariant");
    const workers = workersOf(plan);
    const single = workers.flatMap(({ units }) => units.filter(({ units }) => units === 0));
    expect(checkAwaited(plan, workers).size).toBeGreaterThan(8);
    expect(single.length).toBeGreaterThan(8);
  });
});
