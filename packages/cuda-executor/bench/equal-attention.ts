// Outputs against float64 attention: of every head dimension, mask and layout, of every policy, and of shared prefixes.

import { type AttentionShape, createPlanner, type PolicyName } from "@isochron/planner";
import { Bed, type Comparison, replayAndCompare, sampleRows } from "./bed.ts";
import { assertClose, type CheckContext, describe, MODEL, pagesOf, tokensOf } from "./check-context.ts";
import { between, pick, seededRandom } from "./random.ts";
import type { HostBatch } from "./reference.ts";

/** Multiplications that one reference comparison may cost: about half a second. */
const REFERENCE_BUDGET = 1.5e8;

/** The batches that FlashInfer's own tests run, and shapes that break kernels: q > kv, empty, odd, long tails. */
function batchKinds(random: () => number): readonly HostBatch[] {
  const many = (count: number, qoLen: (i: number) => number, kvLen: (i: number) => number): HostBatch => ({
    qoLens: Array.from({ length: count }, (_, i) => qoLen(i)),
    kvLens: Array.from({ length: count }, (_, i) => kvLen(i)),
  });
  return [
    many(
      12,
      () => 1,
      () => 54,
    ),
    many(
      17,
      () => 1,
      () => 97,
    ),
    many(
      17,
      () => 1,
      (i) => (i === 3 ? 6000 : 1 + i * 31),
    ),
    many(
      1,
      () => 1,
      () => 16_384,
    ),
    many(
      5,
      () => 1,
      () => between(random, 0, 2048),
    ),
    many(
      4,
      () => pick(random, [37, 17, 127]),
      () => pick(random, [54, 97, 512, 1024]),
    ),
    many(
      7,
      (i) => (i % 2 === 0 ? 1 : between(random, 2, 9)),
      () => between(random, 0, 700),
    ),
    many(
      3,
      (i) => [577, 1, 1][i]!,
      (i) => [600, 129, 3000][i]!,
    ),
    many(
      6,
      (i) => [5, 0, 1, 64, 0, 2][i]!,
      (i) => [3, 100, 0, 64, 0, 2][i]!,
    ),
    many(
      2,
      () => 2,
      () => 129,
    ),
    many(
      9,
      () => 4,
      (i) => (i === 2 ? 5000 : between(random, 0, 900)),
    ),
    many(
      14,
      (i) => [2, 3, 1, 2][i % 4]!,
      () => between(random, 1, 3000),
    ),
  ];
}

async function runBatch(
  context: CheckContext,
  attention: AttentionShape,
  headMajor: boolean,
  batch: HostBatch,
  random: () => number,
  policy: PolicyName = "balanced",
): Promise<Comparison> {
  const { executor } = context;
  const planner = createPlanner({ attention, device: executor.plannerDevice(attention), policy });
  const plan = planner.plan(batch);
  const pages = pagesOf(batch, attention.pageSize) + 3;
  const bed = await Bed.create(
    executor,
    attention,
    pages,
    Math.max(1, tokensOf(batch)),
    headMajor,
    between(random, 1, 1e9),
  );
  await bed.shufflePages(random);
  const graph = executor.capture(plan, [bed.layer]);
  try {
    const wanted = sampleRows(attention, batch, random, REFERENCE_BUDGET);
    return await replayAndCompare(bed, graph, plan, batch, wanted);
  } finally {
    graph.close();
    bed.close();
  }
}

export async function grid(context: CheckContext): Promise<void> {
  const random = seededRandom(context.seed);
  const worst = { bf16: 0, fp16: 0, fp32: 0, lse: 0 };
  const rounds = Math.max(1, Math.round(14 * context.scale));
  let cases = 0;
  for (let round = 0; round < rounds; round++) {
    for (const batch of batchKinds(random)) {
      const kvHeads = pick(random, [1, 2, 4, 8]);
      const mask = pick<AttentionShape["mask"]>(random, [
        { kind: "causal" },
        { kind: "causal" },
        { kind: "full" },
        { kind: "sliding-window", window: pick(random, [1, 13, 33, 111, 1000]) },
      ]);
      const softCap = pick(random, [undefined, undefined, 50, 5]);
      const dtype = pick(random, ["bf16", "fp16"] as const);
      const attention: AttentionShape = {
        queryHeads: kvHeads * pick(random, [1, 4, 7, 8, 16]),
        kvHeads,
        headDim: pick(random, [64, 128, 128, 256]),
        dtype,
        kvDtype: dtype,
        pageSize: pick(random, [1, 5, 8, 16, 64, 128, 256]),
        mask,
        ...(softCap === undefined ? {} : { softCap }),
        ...(random() < 0.25 ? { sinks: true } : {}),
      };
      const headMajor = random() < 0.5;
      const found = await runBatch(context, attention, headMajor, batch, random);
      assertClose(attention, found, describe(attention, headMajor, batch));
      worst[dtype] = Math.max(worst[dtype], found.relativeError);
      worst.lse = Math.max(worst.lse, found.lseError);
      cases++;
    }
  }
  context.report(
    `${cases} cases; worst bf16 ${worst.bf16.toExponential(2)}, fp16 ${worst.fp16.toExponential(2)}, lse ${worst.lse.toExponential(2)}`,
  );
}

export async function policies(context: CheckContext): Promise<void> {
  const random = seededRandom(context.seed + 1);
  const names: readonly PolicyName[] = ["balanced", "tight", "invariant", "none", "fixed-split", "stream-k"];
  for (const policy of names) {
    for (const batch of batchKinds(random).slice(0, Math.max(2, Math.round(8 * context.scale)))) {
      const found = await runBatch(context, MODEL, false, batch, random, policy);
      assertClose(MODEL, found, `${policy}, ${describe(MODEL, false, batch)}`);
    }
  }
  context.report(names.join(", "));
}

export async function prefixes(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 7);
  let slots = 0;
  const rounds = Math.max(2, Math.round(10 * context.scale));
  for (let round = 0; round < rounds; round++) {
    const attention: AttentionShape = {
      ...MODEL,
      queryHeads: pick(random, [8, 32]),
      headDim: pick(random, [64, 128, 256]),
    };
    const count = between(random, 2, 40);
    const sharedPages = between(random, 20, 200);
    const qoLens = Array.from({ length: count }, () => (random() < 0.7 ? 1 : between(random, 0, 5)));
    const kvLens = qoLens.map((qoLen) => sharedPages * 16 + qoLen + between(random, 0, 100));
    // One request beside the group; its table stands first.
    qoLens.unshift(1);
    kvLens.unshift(between(random, 1, 3000));
    const table: number[] = [];
    let next = sharedPages;
    kvLens.forEach((kvLen, r) => {
      for (let p = 0; p < Math.ceil(kvLen / 16); p++) table.push(r > 0 && p < sharedPages ? p : next++);
    });
    const batch = { qoLens, kvLens };
    const shared = { requests: kvLens.slice(1).map((_, i) => i + 1), kvLen: sharedPages * 16 };
    const planner = createPlanner({ attention, device: executor.plannerDevice(attention) });
    const plan = planner.plan({ ...batch, prefixes: [shared] });
    const bed = await Bed.create(executor, attention, next, tokensOf(batch), false, round + 1, table.length);
    await bed.setPages(Int32Array.from(table));
    const graph = executor.capture(plan, [bed.layer]);
    const wanted = sampleRows(attention, batch, random, REFERENCE_BUDGET);
    assertClose(attention, await replayAndCompare(bed, graph, plan, batch, wanted), describe(attention, false, batch));
    // Counters must be back at zero: the same again.
    assertClose(attention, await replayAndCompare(bed, graph, plan, batch, wanted), "second replay");
    slots += plan.stats.partialSlots;
    graph.close();
    bed.close();
  }
  context.report(`${rounds} batches, ${slots} partial slots`);
}
