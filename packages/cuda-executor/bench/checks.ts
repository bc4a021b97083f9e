// Correctness on the device: every check is a row of one table, run by `test:gpu` and by the bundle's `run.sh test`.

import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, ExecutorClosedError, type PolicyName } from "@isochron/planner";
import { hostileInput, outOfMemory, refusals, secondProcess, slotRing } from "./bad-input.ts";
import { Bed, type Comparison, replayAndCompare, sampleRows } from "./bed.ts";
import { assertClose, type CheckContext, MODEL } from "./check-context.ts";
import { invariance } from "./invariance.ts";
import { patience, twoExecutors } from "./patience.ts";
import { between, pick, seededRandom } from "./random.ts";
import type { HostBatch } from "./reference.ts";
import { steepScores } from "./steep-scores.ts";

/** Multiplications that one reference comparison may cost: about half a second. */
const REFERENCE_BUDGET = 1.5e8;
export interface Check {
  readonly name: string;
  run(context: CheckContext): Promise<void>;
}

export const CHECKS: readonly Check[] = [
  { name: "every head dimension, dtype, page size, group, mask and layout equals float64 attention", run: grid },
  { name: "every policy with merges in the launch equals float64 attention", run: policies },
  { name: "shared prefixes, read once for all their members, equal float64 attention", run: prefixes },
  { name: "scores that outgrow all before them by hundreds equal float64 attention", run: steepScores },
  { name: "one captured graph replays random batches, each equal to the reference", run: oneGraph },
  { name: "graph and eager launches, and repeated launches, are bitwise equal", run: bitwise },
  { name: "workers that leave their merges to others change no bit", run: patience },
  { name: "two executors that replay at once disturb nothing", run: twoExecutors },
  { name: "invariant: a request's bits depend on no neighbour and no partition", run: invariance },
  { name: "tensors beyond 2^32 elements are addressed", run: hugeCache },
  { name: "a plan of another budget or shape is refused, and the executor goes on", run: refusals },
  {
    name: "mutated plans, short tensors and closed handles are typed errors, and the executor goes on",
    run: hostileInput,
  },
  { name: "replays queued faster than the device runs them never share a plan slot", run: slotRing },
  { name: "a second process on the device disturbs nothing", run: secondProcess },
  { name: "lack of memory is a typed error, and the executor goes on", run: outOfMemory },
  { name: "create, run and close leave nothing behind", run: cycles },
];

function tokensOf(batch: HostBatch): number {
  return batch.qoLens.reduce((sum, length) => sum + length, 0);
}

function pagesOf(batch: HostBatch, pageSize: number): number {
  return batch.kvLens.reduce((sum, length) => sum + Math.ceil(length / pageSize), 0);
}

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
  ];
}

function describe(attention: AttentionShape, headMajor: boolean, batch: HostBatch): string {
  const { queryHeads, kvHeads, headDim, dtype, pageSize, mask, softCap, sinks } = attention;
  const options = [
    `${queryHeads}/${kvHeads}×${headDim} ${dtype} page ${pageSize} ${mask.kind}`,
    ...(softCap === undefined ? [] : [`cap ${softCap}`]),
    ...(sinks === true ? ["sinks"] : []),
    headMajor ? "HND" : "NHD",
  ];
  const lengths = batch.qoLens.map((q, i) => `${q}/${batch.kvLens[i]}`);
  return `${options.join(" ")}, batch ${lengths.slice(0, 8).join(" ")}${lengths.length > 8 ? " …" : ""}`;
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

async function grid(context: CheckContext): Promise<void> {
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

async function policies(context: CheckContext): Promise<void> {
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

async function prefixes(context: CheckContext): Promise<void> {
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

async function oneGraph(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 2);
  const maxRequests = 24;
  const maxQueryTokens = 256;
  const planner = createPlanner({
    attention: MODEL,
    device: executor.plannerDevice(MODEL),
    budget: { maxRequests, maxQueryTokens },
  });
  const bed = await Bed.create(executor, MODEL, 3000, maxQueryTokens, false, context.seed);
  const graph = executor.capture(planner.plan({ qoLens: [], kvLens: [] }), [bed.layer]);
  const replays = Math.max(20, Math.round(1000 * context.scale));
  let worst = 0;
  for (let i = 0; i < replays; i++) {
    context.progress(i, replays);
    const count = between(random, 0, maxRequests);
    const qoLens: number[] = [];
    const kvLens: number[] = [];
    let tokens = 0;
    let pages = 0;
    for (let r = 0; r < count; r++) {
      const qoLen = Math.min(maxQueryTokens - tokens, random() < 0.8 ? 1 : between(random, 0, 60));
      const kvLen = Math.min(
        (2990 - pages) * 16,
        random() < 0.1 ? between(random, 0, 16_000) : between(random, 0, 600),
      );
      tokens += qoLen;
      pages += Math.ceil(kvLen / 16);
      qoLens.push(qoLen);
      kvLens.push(kvLen);
    }
    const batch = { qoLens, kvLens };
    await bed.shufflePages(random);
    const plan = planner.plan(batch);
    const found = await replayAndCompare(bed, graph, plan, batch, sampleRows(MODEL, batch, random, 1e7));
    // Few rows are sampled from each batch, so the norm of one comparison is small: same tolerance all the same.
    assertClose(MODEL, found, `replay ${i}, ${describe(MODEL, false, batch)}`);
    worst = Math.max(worst, found.relativeError);
  }
  context.report(
    `${replays} replays, worst ${worst.toExponential(2)}, workspace ${(graph.workspaceBytes / 2 ** 20).toFixed(2)} MiB`,
  );
  graph.close();
  bed.close();
}

async function bitwise(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 3);
  const batch = { qoLens: [1, 1, 70, 1, 5], kvLens: [30_000, 700, 2000, 9000, 40] };
  const plan = createPlanner({ attention: MODEL, device: executor.plannerDevice(MODEL) }).plan(batch);
  const bed = await Bed.create(executor, MODEL, pagesOf(batch, 16), tokensOf(batch), false, context.seed + 4);
  await bed.shufflePages(random);
  const graph = executor.capture(plan, [bed.layer, bed.layer], { dependent: true });
  let first: Uint16Array | undefined;
  for (let i = 0; i < 20; i++) {
    bed.poison();
    await graph.replay(plan);
    const bits = await bed.outputBits(tokensOf(batch));
    first ??= bits;
    if (Buffer.compare(Buffer.from(first.buffer), Buffer.from(bits.buffer)) !== 0)
      throw new Error(`replay ${i} differs`);
  }
  const { query, key, value, pageIndices } = bed.layer;
  const read16 = (tensor: typeof query): Promise<Uint16Array> => tensor.read(new Uint16Array(tensor.byteLength / 2));
  const pages = await pageIndices.read(new Int32Array(pageIndices.byteLength / 4));
  const pageIndptr = [0];
  for (const kvLen of batch.kvLens) pageIndptr.push(pageIndptr.at(-1)! + Math.ceil(kvLen / 16));
  const tensors = {
    query: await read16(query),
    key: await read16(key),
    value: await read16(value),
    pageIndptr,
    pageIndices: pages,
  };
  for (const timeline of [false, true]) {
    const eager = await executor.execute(plan, tensors, { timeline });
    const expected = Float32Array.from(first!, (word) => new Float32Array(Uint32Array.of(word << 16).buffer)[0]!);
    for (let i = 0; i < expected.length; i++) {
      if (!Object.is(eager.output[i], expected[i])) throw new Error(`eager (timeline ${timeline}) differs at ${i}`);
    }
    if (timeline) {
      const { slices } = eager.timeline!;
      if (slices.startUs.length !== plan.stats.pieces + plan.mergeCount)
        throw new Error("timeline has not every piece");
      for (let i = 0; i < slices.startUs.length; i++) {
        if (!(slices.endUs[i]! >= slices.startUs[i]!)) throw new Error(`slice ${i} ends before it starts`);
      }
      context.report(`timeline of ${slices.startUs.length} slices, ${eager.timeline!.durationUs.toFixed(1)} µs`);
    }
  }
  graph.close();
  bed.close();
}

async function hugeCache(context: CheckContext): Promise<void> {
  if (context.scale < 1) {
    context.report("skipped below scale 1");
    return;
  }
  const { executor } = context;
  const pages = 300_000; // 300,000 × 16 × 8 × 128 = 4.9 × 10⁹ elements of K
  const perPage = 16 * 8 * 128;
  const key = executor.tensor(pages * perPage * 2);
  const value = executor.tensor(pages * perPage * 2);
  const random = seededRandom(context.seed + 5);
  const batch = { qoLens: [1, 1], kvLens: [3000, 500] };
  const bed = await Bed.create(executor, MODEL, pagesOf(batch, 16), 2, false, context.seed + 6);
  await bed.shufflePages(random);
  const plan = createPlanner({ attention: MODEL, device: executor.plannerDevice(MODEL) }).plan(batch);
  // The bed's small cache stands at the far end of the large one, so that page ids are near 300,000.
  const shift = pages - bed.pages;
  const small = new Uint16Array(bed.pages * perPage);
  await key.write(await bed.layer.key.read(small), shift * perPage * 2);
  await value.write(await bed.layer.value.read(small), shift * perPage * 2);
  const table = await bed.layer.pageIndices.read(new Int32Array(bed.pages));
  const pageIndices = await executor.upload(table.map((page) => page + shift));
  const graph = executor.capture(plan, [{ ...bed.layer, key, value, pages, pageIndices }]);
  const found = await replayAndCompare(bed, graph, plan, batch, () => true);
  assertClose(MODEL, found, "huge cache");
  graph.close();
  for (const tensor of [key, value, pageIndices]) tensor.close();
  bed.close();
}

/** Shape of a cycle: the smallest, so that ten thousand of them are cheap. */
const SMALL: AttentionShape = { ...MODEL, queryHeads: 4, kvHeads: 1, headDim: 64 };
/** Free device memory and resident host memory may wander by this much; a leak of 1 KiB a cycle would be 10 MiB. */
const GROWTH_BYTES = 8 * 2 ** 20;

async function cycles(context: CheckContext): Promise<void> {
  const { executor } = context;
  const count = Math.max(3, Math.round(10_000 * context.scale));
  const batch = { qoLens: [1, 1], kvLens: [300, 40] };
  const device = { ...executor.plannerDevice(SMALL), smCount: 4 };
  const budget = { maxRequests: 2, maxQueryTokens: 2, maxQueryTokensPerRequest: 1 };
  const planner = createPlanner({ attention: SMALL, device, budget });
  const plan = planner.plan(batch);
  const memory = (): { device: number; host: number } => {
    globalThis.gc?.();
    const { freeBytes } = executor.native.addon.deviceInfo(executor.native.context);
    return { device: freeBytes, host: process.memoryUsage().rss };
  };
  // The driver keeps what the first few hundred graphs needed; after that nothing may grow.
  const warmUp = Math.max(Math.floor(count / 5), Math.min(count - 1, 1000));
  let before = memory();
  for (let i = 0; i < count; i++) {
    context.progress(i, count);
    if (i === warmUp) before = memory();
    const own = CudaExecutor.open();
    const checked = i % 500 === 0;
    if (checked) {
      const bed = await Bed.create(own, SMALL, 22, 2, false, i);
      await bed.shufflePages(seededRandom(i));
      const graph = own.capture(plan, [bed.layer]);
      assertClose(SMALL, await replayAndCompare(bed, graph, plan, batch, () => true), `cycle ${i}`);
    } else {
      const cache = own.tensor(22 * 16 * 64 * 2);
      const rows = own.tensor(2 * 4 * 64 * 2);
      const pageIndices = own.tensor(22 * 4);
      pageIndices.fill(0);
      const layer = { query: rows, key: cache, value: cache, output: rows, lse: rows, pageIndices };
      const graph = own.capture(plan, [{ ...layer, queryTokens: 2, pages: 22, pageTableLength: 22 }]);
      await graph.replay(plan);
    }
    await own.close();
    if (!checked) continue;
    let refused = false;
    try {
      own.tensor(16);
    } catch (error) {
      refused = error instanceof ExecutorClosedError;
    }
    if (!refused) throw new Error("a closed executor still allocates");
  }
  // What a closed executor frees goes through its thread, which the next open() joins.
  for (let i = 0; i < 10; i++) await CudaExecutor.open().close();
  const after = memory();
  const deviceGrowth = before.device - after.device;
  const hostGrowth = after.host - before.host;
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  context.report(
    `${count} cycles, growth after the first ${warmUp}: device ${mib(deviceGrowth)}, host ${mib(hostGrowth)}`,
  );
  if (deviceGrowth > GROWTH_BYTES) throw new Error(`device memory grew by ${mib(deviceGrowth)} in ${count} cycles`);
  if (hostGrowth > 4 * GROWTH_BYTES) throw new Error(`host memory grew by ${mib(hostGrowth)} in ${count} cycles`);
}
