// A request under the `invariant` policy gives the same bits whoever its neighbours are and however its jobs are cut.
//
// One request stands at a random place among random neighbours, planned for a random number of workers, on a page table of
// its own; its output and log-sum-exp are compared, bit by bit, with those of the request alone. Chunk states, warps' order
// and the tree are fixed, so any difference at all is a failure.

import { type AttentionShape, createPlanner } from "@isochron/planner";
import { Bed, replayAndCompare, sampleRows } from "./bed.ts";
import type { CheckContext } from "./check-context.ts";
import { between, permutation, seededRandom } from "./random.ts";

const MAX_NEIGHBOURS = 20;
const PAGES = 3000;
const QUERY_TOKENS = 700;

interface Subject {
  readonly attention: AttentionShape;
  readonly qoLen: number;
  readonly kvLen: number;
}

const SHAPE: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

/** Decode, append and prefill; every head dimension, dtype and mask. */
const SUBJECTS: readonly Subject[] = [
  { attention: SHAPE, qoLen: 1, kvLen: 20_000 },
  { attention: SHAPE, qoLen: 1, kvLen: 1023 },
  { attention: SHAPE, qoLen: 4, kvLen: 9_000 },
  { attention: SHAPE, qoLen: 300, kvLen: 5_000 },
  { attention: SHAPE, qoLen: 200, kvLen: 30_000 },
  { attention: { ...SHAPE, headDim: 256, queryHeads: 16 }, qoLen: 90, kvLen: 14_000 },
  { attention: { ...SHAPE, mask: { kind: "sliding-window", window: 3_333 } }, qoLen: 3, kvLen: 12_345 },
  { attention: { ...SHAPE, headDim: 64, dtype: "fp16", kvDtype: "fp16", sinks: true }, qoLen: 1, kvLen: 16_000 },
  { attention: { ...SHAPE, headDim: 256, queryHeads: 16, softCap: 30 }, qoLen: 2, kvLen: 7_777 },
  { attention: { ...SHAPE, pageSize: 1, queryHeads: 64, mask: { kind: "full" } }, qoLen: 1, kvLen: 2_900 },
];

/** Throws at the first bit that differs. */
export async function invariance(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 11);
  const trials = Math.max(8, Math.round(1200 * context.scale));
  const perSubject = Math.ceil(trials / SUBJECTS.length);
  let runs = 0;
  let split = 0;
  for (const [s, { attention, qoLen, kvLen }] of SUBJECTS.entries()) {
    const { queryHeads, headDim, pageSize } = attention;
    const device = executor.plannerDevice(attention);
    const pages = Math.max(PAGES, Math.ceil(kvLen / pageSize) + 100);
    const bed = await Bed.create(executor, attention, pages, QUERY_TOKENS, false, context.seed + s);
    const own = Array.from(permutation(pages, random).slice(0, Math.ceil(kvLen / pageSize)));
    // The subject's query rows stand first: neighbours come after it in the batch.
    let expected: { output: Uint16Array; lse: Float32Array } | undefined;
    for (let trial = 0; trial < perSubject; trial++) {
      context.progress(s * perSubject + trial, SUBJECTS.length * perSubject);
      const qoLens = [qoLen];
      const kvLens = [kvLen];
      const table = [...own];
      const neighbours = trial === 0 ? 0 : between(random, 0, MAX_NEIGHBOURS);
      let tokens = qoLen;
      for (let n = 0; n < neighbours; n++) {
        const newTokens = Math.min(QUERY_TOKENS - tokens, random() < 0.8 ? 1 : between(random, 0, 200));
        const needed = between(random, 0, Math.floor((pages - table.length) / 2));
        if (needed <= 0) break;
        qoLens.push(newTokens);
        kvLens.push(needed * pageSize - between(random, 0, pageSize - 1));
        for (let p = 0; p < needed; p++) table.push(between(random, 0, pages - 1));
        tokens += newTokens;
      }
      const smCount = trial === 0 ? 1 : between(random, 1, device.smCount);
      const plan = createPlanner({ attention, device: { ...device, smCount }, policy: "invariant" }).plan({
        qoLens,
        kvLens,
      });
      while (table.length < pages) table.push(0);
      await bed.setPages(Int32Array.from(table.slice(0, pages)));
      const graph = executor.capture(plan, [bed.layer]);
      bed.poison();
      await graph.replay(plan);
      const output = await bed.layer.output.read(new Uint16Array(qoLen * queryHeads * headDim));
      const lse = await bed.layer.lse.read(new Float32Array(qoLen * queryHeads));
      if (trial < 2) {
        const batch = { qoLens, kvLens };
        const found = await replayAndCompare(bed, graph, plan, batch, sampleRows(attention, batch, random, 5e7));
        const limit = attention.dtype === "bf16" ? 5e-3 : 1e-3;
        if (!(found.relativeError <= limit && found.lseError <= 1e-3 && found.unwritten === 0)) {
          throw new Error(`subject ${s}, trial ${trial}: ${JSON.stringify(found)} against float64`);
        }
      }
      graph.close();
      expected ??= { output, lse };
      if (!isSame(expected.output, output) || !isSame(expected.lse, lse)) {
        throw new Error(
          `subject ${s} (${qoLen}/${kvLen}), trial ${trial}: other bits among ${neighbours} neighbours on ${smCount} SMs`,
        );
      }
      split += plan.stats.splitJobs;
      runs++;
    }
    bed.close();
  }
  context.report(`${runs} batches and partitions of ${SUBJECTS.length} requests, ${split} split jobs`);
}

function isSame(a: Uint16Array | Float32Array, b: Uint16Array | Float32Array): boolean {
  const bytes = (of: typeof a): Buffer => Buffer.from(of.buffer, of.byteOffset, of.byteLength);
  return bytes(a).equals(bytes(b));
}
