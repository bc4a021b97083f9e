// Replays of captured graphs: one graph for a thousand batches, and the same bits from every way to launch a plan.

import { createPlanner, type PolicyName } from "@isochron/planner";
import { Bed, replayAndCompare, sampleRows } from "./bed.ts";
import { assertClose, type CheckContext, describe, MODEL, pagesOf, tokensOf } from "./check-context.ts";
import { between, seededRandom } from "./random.ts";

const MAX_KV_TOKENS = 16_000;

/** Batches that one graph is to serve, how many of them at full scale, and how they are planned. */
interface Replays {
  readonly maxQueryTokens: number;
  readonly maxQueryTokensPerRequest: number;
  readonly replays: number;
  readonly seed: number;
  readonly policy?: PolicyName;
  /** Of the whole device unless given. */
  readonly workers?: number;
}

export async function oneGraph(context: CheckContext): Promise<void> {
  await replayRandomBatches(context, { maxQueryTokens: 256, maxQueryTokensPerRequest: 256, replays: 1000, seed: 2 });
}

/** Speculative decoding: a few new tokens in every request. */
export async function oneGraphOfFewTokens(context: CheckContext): Promise<void> {
  await replayRandomBatches(context, { maxQueryTokens: 192, maxQueryTokensPerRequest: 8, replays: 250, seed: 32 });
}

/** Policies whose plans have merges of other kinds and other numbers of workers, captured with an empty one; and one worker alone. */
export async function oneGraphOfEachPolicy(context: CheckContext): Promise<void> {
  const any = { maxQueryTokens: 256, maxQueryTokensPerRequest: 256, replays: 50 };
  for (const [i, policy] of (["tight", "auto", "none", "invariant"] as const).entries()) {
    await replayRandomBatches(context, { ...any, seed: 40 + i, policy });
  }
  await replayRandomBatches(context, { ...any, seed: 50, workers: 1 });
  await replayRandomBatches(context, { ...any, seed: 51, workers: 3 });
}

async function replayRandomBatches(context: CheckContext, kind: Replays): Promise<void> {
  const { executor } = context;
  const { maxQueryTokens, maxQueryTokensPerRequest, policy = "balanced", workers } = kind;
  const random = seededRandom(context.seed + kind.seed);
  const maxRequests = 24;
  const whole = executor.plannerDevice(MODEL);
  const planner = createPlanner({
    attention: MODEL,
    device: workers === undefined ? whole : { ...whole, smCount: workers, ctasPerSm: 1 },
    budget: { maxRequests, maxQueryTokens, maxQueryTokensPerRequest, maxKvTokens: MAX_KV_TOKENS },
    policy,
  });
  const bed = await Bed.create(executor, MODEL, 3000, maxQueryTokens, false, context.seed);
  const graph = executor.capture(planner.plan({ qoLens: [], kvLens: [] }), [bed.layer]);
  const replays = Math.max(20, Math.round(kind.replays * context.scale));
  let worst = 0;
  for (let i = 0; i < replays; i++) {
    context.progress(i, replays);
    const count = between(random, 0, maxRequests);
    const qoLens: number[] = [];
    const kvLens: number[] = [];
    let tokens = 0;
    let pages = 0;
    for (let r = 0; r < count; r++) {
      const most = Math.min(60, maxQueryTokensPerRequest);
      const qoLen = Math.min(maxQueryTokens - tokens, random() < 0.8 && most > 8 ? 1 : between(random, 0, most));
      const kvLen = Math.min(
        (2990 - pages) * 16,
        random() < 0.1 ? between(random, 0, MAX_KV_TOKENS) : between(random, 0, 600),
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
  const planned = workers === undefined ? policy : `${policy} for ${workers} workers`;
  context.report(
    `${planned}, ${replays} replays, worst ${worst.toExponential(2)}, workspace ${(graph.workspaceBytes / 2 ** 20).toFixed(2)} MiB`,
  );
  graph.close();
  bed.close();
}

export async function bitwise(context: CheckContext): Promise<void> {
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

/** What an engine does when it captures anew: an older graph is closed, tensors are copied and a replay runs meanwhile. */
export async function captureBeside(context: CheckContext): Promise<void> {
  const { executor } = context;
  const batch = { qoLens: [1, 70, 1], kvLens: [9000, 2000, 700] };
  const plan = createPlanner({ attention: MODEL, device: executor.plannerDevice(MODEL) }).plan(batch);
  const bed = await Bed.create(executor, MODEL, pagesOf(batch, 16), tokensOf(batch), false, context.seed + 5);
  await bed.shufflePages(seededRandom(context.seed + 5));
  const written = Uint32Array.from({ length: 1 << 18 }, (_, i) => i);
  const tensor = executor.tensor(written.byteLength);
  const rounds = Math.max(20, Math.round(400 * context.scale));
  let older: ReturnType<typeof executor.capture> | undefined;
  let first: Uint16Array | undefined;
  for (let round = 0; round < rounds; round++) {
    written[round] = ~round;
    const writing = tensor.write(written);
    older?.close();
    const graph = executor.capture(plan, [bed.layer, bed.layer]);
    await writing;
    const copied = await tensor.read(new Uint32Array(written.length));
    if (Buffer.compare(Buffer.from(copied.buffer), Buffer.from(written.buffer)) !== 0)
      throw new Error(`round ${round}: what was copied beside a capture is not there`);
    bed.poison();
    await graph.replay(plan);
    const bits = await bed.outputBits(tokensOf(batch));
    first ??= bits;
    if (Buffer.compare(Buffer.from(first.buffer), Buffer.from(bits.buffer)) !== 0)
      throw new Error(`round ${round}: the graph differs from the first`);
    older = graph;
    // Runs while the next graph is captured and this one is closed.
    void graph.replay(plan);
  }
  await executor.drain();
  older?.close();
  tensor.close();
  bed.close();
  context.report(`${rounds} captures`);
}
