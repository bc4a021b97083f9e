// Merges that workers leave to others: patience of one look, and two executors that take each other's places on the SMs.

import { CudaExecutor } from "@isochron/cuda-executor";
import { createPlanner } from "@isochron/planner";
import { Bed } from "./bed.ts";
import { type CheckContext, MODEL } from "./check-context.ts";
import { between, seededRandom } from "./random.ts";
import type { HostBatch } from "./reference.ts";

const replaysAt = (scale: number): number => Math.max(2, Math.min(20, Math.round(100 * scale)));
/** Under a race checker a launch takes thousands of times as long: there batches are an eighth as long. */
const lengthsAt = (scale: number): number => (scale < 0.02 ? 8 : 1);
/** Looks for a slot before a worker leaves its merges; the last is more than any launch here takes, but for a race checker's. */
const patiencesAt = (scale: number): readonly number[] => [1, 2, 5, scale < 0.02 ? 64 : 1 << 13];

/** `prefixTokens`: of all requests. */
type PrefixedBatch = HostBatch & { readonly prefixTokens: number };

/** Batches with many merges, so many times shorter: decodes, a chunk beside decodes, a shared prefix. */
function batches(random: () => number, shorter: number): readonly PrefixedBatch[] {
  const short = (tokens: number): number => Math.ceil(tokens / shorter);
  const decodes = Array.from({ length: short(9) }, () => short(between(random, 100, 9000)));
  const prefixTokens = short(2048);
  const prefixed = Array.from({ length: short(24) }, () => prefixTokens + short(between(random, 1, 300)));
  return [
    { qoLens: decodes.map(() => 1), kvLens: decodes, prefixTokens: 0 },
    { qoLens: [1, 1, 70, 1, 5], kvLens: [30_000, 700, 2000, 9000, 200].map(short), prefixTokens: 0 },
    { qoLens: prefixed.map(() => 1), kvLens: prefixed, prefixTokens },
  ];
}

/** The bits of each replay; tables of a prefix's requests begin with the same pages. */
async function replayed(
  executor: CudaExecutor,
  batch: PrefixedBatch,
  seed: number,
  replays: number,
): Promise<readonly Buffer[]> {
  const tokens = batch.qoLens.reduce((sum, length) => sum + length, 0);
  const shared = batch.prefixTokens / MODEL.pageSize;
  const table: number[] = [];
  let next = shared;
  for (const kvLen of batch.kvLens) {
    for (let p = 0; p < Math.ceil(kvLen / MODEL.pageSize); p++) table.push(p < shared ? p : next++);
  }
  const { qoLens, kvLens, prefixTokens } = batch;
  const prefixes = prefixTokens > 0 ? [{ requests: kvLens.map((_, i) => i), kvLen: prefixTokens }] : [];
  const planner = createPlanner({ attention: MODEL, device: executor.plannerDevice(MODEL) });
  const plan = planner.plan({ qoLens, kvLens, prefixes });
  const bed = await Bed.create(executor, MODEL, next, tokens, false, seed, table.length);
  await bed.setPages(Int32Array.from(table));
  const graph = executor.capture(plan, [bed.layer, bed.layer], { dependent: true });
  const bits: Buffer[] = [];
  for (let i = 0; i < replays; i++) {
    bed.poison();
    await graph.replay(plan);
    bits.push(Buffer.from((await bed.outputBits(tokens)).buffer));
  }
  graph.close();
  bed.close();
  return bits;
}

export async function patience(context: CheckContext): Promise<void> {
  const { addon, context: handle } = context.executor.native;
  const replays = replaysAt(context.scale);
  const patiences = patiencesAt(context.scale);
  for (const [at, batch] of batches(seededRandom(context.seed + 30), lengthsAt(context.scale)).entries()) {
    let first: Buffer | undefined;
    for (const looks of patiences) {
      addon.setMergePatience(handle, looks);
      for (const [i, bits] of (await replayed(context.executor, batch, context.seed + at, replays)).entries()) {
        first ??= bits;
        if (!first.equals(bits)) throw new Error(`batch ${at}, patience ${looks}, replay ${i} differs`);
      }
    }
  }
  context.report(`patience ${patiences.join(", ")} looks, ${replays} replays each`);
}

export async function twoExecutors(context: CheckContext): Promise<void> {
  const kinds = batches(seededRandom(context.seed + 31), lengthsAt(context.scale));
  const each = replaysAt(context.scale);
  const alone = await Promise.all(kinds.slice(0, 1).map((batch) => replayed(context.executor, batch, 5, each)));
  const other = CudaExecutor.open();
  let replays = 0;
  for (let round = 0; round < Math.max(2, Math.round(20 * context.scale)); round++) {
    const results = await Promise.all([
      replayed(context.executor, kinds[0]!, 5, each),
      replayed(other, kinds[1 + (round % 2)]!, 6, each),
    ]);
    for (const bits of results[0]) {
      if (!bits.equals(alone[0]![0]!)) throw new Error(`round ${round} differs from the same batch alone`);
    }
    replays += 2 * each;
  }
  await other.close();
  context.report(`${replays} replays`);
}
