// Cases, timed: planned, captured as a graph of cold copies, replayed; with the floor, the roofline and what was recorded.
//
// Cases with a floor take turns, all of one attention shape, and in each turn a case's kernel and its floor follow each other: a GPU that
// is slower for a tenth of a second slows one sample of many, and both sides of a ratio alike. The others, compared with times that were
// recorded one case at a time, are timed one at a time: without the pauses of planning and capturing prefill took 2 % longer.

import { type CapturedGraph, type CudaExecutor, CudaOutOfMemoryError } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, type Device, type Plan, type PolicyName } from "@isochron/planner";
import type { Case, Section } from "./case-file.ts";
import { batchOf, type ColdCase, coldCase, type Pool, timeFloor } from "./pool.ts";
import { bestOf } from "./recorded.ts";

/** What a row of results says. Times of one launch, medians of `repetitions` replays in TURNS turns. */
export interface Row {
  readonly section: Section | "trace_steps" | "small_heads";
  readonly case: string;
  readonly heads: string;
  readonly pageSize: number;
  readonly policy: string;
  readonly us: number;
  readonly p10Us: number;
  readonly p90Us: number;
  /** The paged gather read of the same KV in the same run; not of prefill and prefixes, which are not bound by it. */
  readonly floorUs?: number;
  /** The longer of reading all KV once and of the arithmetic, at the ceilings of data/NOTICE.md. */
  readonly boundUs: number;
  readonly bestFlashInferUs?: number;
  readonly recordedUs: Readonly<Record<string, number>>;
  readonly kvBytes: number;
  readonly flops: number;
  readonly copies: number;
  readonly repetitions: number;
  readonly stats: Plan["stats"];
  readonly workspaceBytes: number;
}

export interface Timing {
  readonly executor: CudaExecutor;
  readonly pool: Pool;
  readonly attention: AttentionShape;
  readonly device: Device;
  readonly policy: PolicyName;
  /** Replays of each case, in all turns together. */
  readonly repetitions: number;
  /** Layers start while the one before drains. */
  readonly dependent: boolean;
  /** µs of a case with these heads and page size, by kernel. */
  recordedOf(caseId: string): ReadonlyMap<string, number>;
}

/** A case that the device has no room for. */
export interface CaseNotRun {
  readonly case: string;
  readonly reason: string;
}

/** Ceilings of data/NOTICE.md: paged gather in GB/s, sustained bf16 in TFLOP/s. */
const CEILING = { bandwidthGBps: 3000, tflops: 690 };
/** Copies in one graph at most, as recorded. */
const MAX_COPIES = { decode: 128, prefill: 3, mixed: 128, shared_prefix: 16, trace_steps: 128, small_heads: 128 };
const HAS_FLOOR: readonly Row["section"][] = ["decode", "mixed", "trace_steps", "small_heads"];
/** Of cases with a floor. Chosen: a second apart for decodes. */
const TURNS = 5;
const WARM_UPS = 8;
/** CTAs on an SM with which the gather is fastest, the one or the other. */
const FLOOR_CTAS_PER_SM = [2, 3];

/** Times all cases of one attention shape; those that take turns, as many at once as the device has room for. */
export async function timeCases(
  section: Row["section"],
  cases: readonly Case[],
  timing: Timing,
): Promise<{ rows: Row[]; notRun: CaseNotRun[] }> {
  const rows: Row[] = [];
  const notRun: CaseNotRun[] = [];
  const hasFloor = HAS_FLOOR.includes(section);
  const turns = hasFloor ? TURNS : 1;
  const open: TimedCase[] = [];
  const finish = async (): Promise<void> => {
    for (let turn = 0; turn < turns; turn++) {
      for (const one of open) await one.takeTurn(Math.ceil(timing.repetitions / turns));
    }
    for (const one of open) {
      rows.push(one.row());
      one.close();
    }
    open.length = 0;
  };
  for (const one of cases) {
    try {
      try {
        open.push(await TimedCase.open(section, one, timing));
      } catch (error) {
        // The others may have taken the room.
        if (!(error instanceof CudaOutOfMemoryError) || open.length === 0) throw error;
        await finish();
        open.push(await TimedCase.open(section, one, timing));
      }
    } catch (error) {
      // A case that is too large must not cost the others.
      if (!(error instanceof RangeError || error instanceof CudaOutOfMemoryError)) throw error;
      notRun.push({ case: one.id, reason: error.message });
    }
    if (!hasFloor) await finish();
  }
  await finish();
  return { rows, notRun };
}

/** One case, captured, and the samples of the turns that it had. */
class TimedCase {
  private readonly times: number[] = [];
  /** By FLOOR_CTAS_PER_SM. */
  private readonly floorTimes: readonly number[][];
  private readonly section: Row["section"];
  private readonly one: Case;
  private readonly timing: Timing;
  private readonly plan: Plan;
  private readonly cold: ColdCase;
  private readonly graph: CapturedGraph;

  private constructor(
    section: Row["section"],
    one: Case,
    timing: Timing,
    plan: Plan,
    cold: ColdCase,
    graph: CapturedGraph,
  ) {
    this.section = section;
    this.one = one;
    this.timing = timing;
    this.plan = plan;
    this.cold = cold;
    this.graph = graph;
    this.floorTimes = HAS_FLOOR.includes(section) ? FLOOR_CTAS_PER_SM.map(() => []) : [];
  }

  /** Throws a RangeError or a CudaOutOfMemoryError where there is no room for the case, and leaves nothing behind. */
  static async open(section: Row["section"], one: Case, timing: Timing): Promise<TimedCase> {
    const { executor, pool, attention, device, policy, dependent } = timing;
    const plan = createPlanner({ attention, device, policy }).plan(batchOf(one, attention.pageSize));
    const cold = await coldCase(executor, pool, attention, one, MAX_COPIES[section]);
    try {
      const graph = executor.capture(plan, cold.layers, { dependent });
      return new TimedCase(section, one, timing, plan, cold, graph);
    } catch (error) {
      cold.close();
      throw error;
    }
  }

  async takeTurn(replays: number): Promise<void> {
    const { executor, pool, attention } = this.timing;
    const { plan, cold, graph } = this;
    for (const us of await graph.time(plan, WARM_UPS, replays)) this.times.push(us / cold.copies);
    for (const [i, samples] of this.floorTimes.entries()) {
      const ctas = FLOOR_CTAS_PER_SM[i]! * executor.device.smCount;
      samples.push(...(await timeFloor(executor, pool, attention, cold, ctas, WARM_UPS, replays)));
    }
  }

  row(): Row {
    const { section, plan, cold, graph } = this;
    const { attention, policy } = this.timing;
    const { id, qoLens, kvLens } = this.one;
    const { queryHeads, kvHeads, headDim, pageSize } = attention;
    const recorded = this.timing.recordedOf(id);
    const pairs = qoLens.reduce((sum, qoLen, i) => sum + visiblePairs(qoLen, kvLens[i]!), 0);
    const flops = 4 * headDim * queryHeads * pairs;
    const best = bestOf(section, recorded);
    return {
      section,
      case: id,
      heads: `${queryHeads}/${kvHeads}`,
      pageSize,
      policy,
      us: quantile(this.times, 0.5),
      p10Us: quantile(this.times, 0.1),
      p90Us: quantile(this.times, 0.9),
      ...(this.floorTimes.length > 0 ? { floorUs: Math.min(...this.floorTimes.map((us) => quantile(us, 0.5))) } : {}),
      boundUs: Math.max(cold.kvBytes / CEILING.bandwidthGBps / 1e3, flops / CEILING.tflops / 1e6),
      ...(best === undefined ? {} : { bestFlashInferUs: best }),
      recordedUs: Object.fromEntries(recorded),
      kvBytes: cold.kvBytes,
      flops,
      copies: cold.copies,
      repetitions: this.times.length,
      stats: plan.stats,
      workspaceBytes: graph.workspaceBytes,
    };
  }

  close(): void {
    this.graph.close();
    this.cold.close();
  }
}

export const ROW_TITLES =
  "case                               heads ps     kvMB       us    floor  ratio    bound  ratio TFLOP/s  best FI  ratio pieces  slots";

export function printRow(row: Row): void {
  const { us, floorUs, boundUs, bestFlashInferUs: best, stats } = row;
  const figure = (value: number | undefined, digits: number, width: number): string =>
    (value === undefined ? "–" : value.toFixed(digits)).padStart(width);
  console.log(
    [
      row.case.padEnd(33),
      row.heads.padStart(6),
      String(row.pageSize).padStart(2),
      figure(row.kvBytes / 1e6, 1, 8),
      figure(us, 2, 8),
      figure(floorUs, 2, 8),
      figure(floorUs && us / floorUs, 3, 6),
      figure(boundUs, 2, 8),
      figure(us / boundUs, 3, 6),
      figure(row.flops / us / 1e6, 0, 7),
      figure(best, 2, 8),
      figure(best && us / best, 3, 6),
      String(stats.pieces).padStart(6),
      String(stats.partialSlots).padStart(6),
    ].join(" "),
  );
}

/** The sample that a share q of them lies below. */
function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** Pairs of query and KV token that a causal mask lets through. */
function visiblePairs(qoLen: number, kvLen: number): number {
  return qoLen * (kvLen - qoLen) + (qoLen * (qoLen + 1)) / 2;
}
