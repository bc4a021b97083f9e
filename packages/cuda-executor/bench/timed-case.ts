// One case, timed: planned, captured as a graph of cold copies, replayed; with the floor, the roofline and what was recorded.

import type { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, type Device, type Plan, type PolicyName } from "@isochron/planner";
import type { Case, Section } from "./case-file.ts";
import { batchOf, coldCase, type Pool, timeFloor } from "./pool.ts";
import { bestOf } from "./recorded.ts";

/** What a row of results says. Times of one launch, medians of `repetitions` replays. */
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
  readonly repetitions: number;
  /** Layers start while the one before drains. */
  readonly dependent: boolean;
  /** Of this case, heads and page size, by kernel. */
  readonly recorded: ReadonlyMap<string, number>;
}

/** Ceilings of data/NOTICE.md: paged gather in GB/s, sustained bf16 in TFLOP/s. */
const CEILING = { bandwidthGBps: 3000, tflops: 690 };
/** Copies in one graph at most, as recorded. */
const MAX_COPIES = { decode: 128, prefill: 3, mixed: 128, shared_prefix: 16, trace_steps: 128, small_heads: 128 };
const HAS_FLOOR: readonly Row["section"][] = ["decode", "mixed", "trace_steps", "small_heads"];
const WARM_UPS = 8;
const FLOOR_WARM_UPS = 4;
/** CTAs on an SM with which the gather is fastest, the one or the other. */
const FLOOR_CTAS_PER_SM = [2, 3];

export async function timeCase(section: Row["section"], one: Case, timing: Timing): Promise<Row> {
  const { executor, pool, attention, device, policy, repetitions, dependent, recorded } = timing;
  const { id, qoLens, kvLens } = one;
  const plan = createPlanner({ attention, device, policy }).plan(batchOf(one, attention.pageSize));
  const cold = await coldCase(executor, pool, attention, one, MAX_COPIES[section]);
  const graph = executor.capture(plan, cold.layers, { dependent });
  const times = (await graph.time(plan, WARM_UPS, repetitions)).map((us) => us / cold.copies).sort();
  const at = (q: number): number => times[Math.min(times.length - 1, Math.floor(q * times.length))]!;
  const floors: number[] = [];
  for (const ctas of HAS_FLOOR.includes(section) ? FLOOR_CTAS_PER_SM : []) {
    const workers = ctas * executor.device.smCount;
    const floor = await timeFloor(executor, pool, attention, cold, workers, FLOOR_WARM_UPS, repetitions);
    floors.push(floor.sort()[floor.length >> 1]!);
  }
  const { queryHeads, kvHeads, headDim } = attention;
  const pairs = qoLens.reduce((sum, qoLen, i) => sum + visiblePairs(qoLen, kvLens[i]!), 0);
  const flops = 4 * headDim * queryHeads * pairs;
  const best = bestOf(section, recorded);
  const row: Row = {
    section,
    case: id,
    heads: `${queryHeads}/${kvHeads}`,
    pageSize: attention.pageSize,
    policy,
    us: at(0.5),
    p10Us: at(0.1),
    p90Us: at(0.9),
    ...(floors.length > 0 ? { floorUs: Math.min(...floors) } : {}),
    boundUs: Math.max(cold.kvBytes / CEILING.bandwidthGBps / 1e3, flops / CEILING.tflops / 1e6),
    ...(best === undefined ? {} : { bestFlashInferUs: best }),
    recordedUs: Object.fromEntries(recorded),
    kvBytes: cold.kvBytes,
    flops,
    copies: cold.copies,
    repetitions,
    stats: plan.stats,
    workspaceBytes: graph.workspaceBytes,
  };
  graph.close();
  cold.close();
  return row;
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

/** Pairs of query and KV token that a causal mask lets through. */
function visiblePairs(qoLen: number, kvLen: number): number {
  return qoLen * (kvLen - qoLen) + (qoLen * (qoLen + 1)) / 2;
}
