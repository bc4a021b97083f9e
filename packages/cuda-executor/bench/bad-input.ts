// What must not harm the device, or the process: plans that do not fit, mutated buffers, short tensors, closed handles, more
// replays than plan slots, lack of memory, a neighbour on the device. Each is a typed error or harmless, and the next
// launch is right.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { CudaOutOfMemoryError, GraphClosedError, PlanRejectedError, TensorClosedError } from "@isochron/cuda-executor";
import { type AttentionBatch, createPlanner, Header, InvalidTensorError, type Plan } from "@isochron/planner";
import { Bed, replayAndCompare } from "./bed.ts";
import { assertClose, type CheckContext, MODEL } from "./check-context.ts";
import { between, seededRandom } from "./random.ts";

type ErrorClass = abstract new (...parameters: never[]) => Error;

/** Throws unless `call` throws, or rejects with, an error of one of these classes. */
async function expectError(call: () => unknown, what: string, ...classes: readonly ErrorClass[]): Promise<void> {
  let error: unknown;
  try {
    await call();
  } catch (reason) {
    error = reason;
  }
  if (classes.some((type) => error instanceof type)) return;
  throw new Error(`${what} gave ${String(error ?? "no error")}, expected ${classes.map((c) => c.name).join(" or ")}`);
}

export async function refusals(context: CheckContext): Promise<void> {
  const { executor } = context;
  const device = executor.plannerDevice(MODEL);
  const budget = { maxRequests: 4, maxQueryTokens: 4 };
  const planner = createPlanner({ attention: MODEL, device, budget });
  const other = createPlanner({ attention: MODEL, device, budget: { maxRequests: 5, maxQueryTokens: 5 } });
  const shaped = createPlanner({ attention: { ...MODEL, mask: { kind: "full" } }, device, budget });
  const batch = { qoLens: [1], kvLens: [100] };
  const bed = await Bed.create(executor, MODEL, 16, 4, false, 1);
  await bed.shufflePages(seededRandom(1));
  const graph = executor.capture(planner.plan(batch), [bed.layer]);
  const rejects = (call: () => Promise<unknown>, what: string): Promise<void> =>
    expectError(call, what, PlanRejectedError);
  await rejects(() => graph.replay(other.plan(batch)), "another budget");
  await rejects(() => graph.replay(shaped.plan(batch)), "another mask");
  await rejects(() => graph.replay(planner.plan({ qoLens: [1], kvLens: [16 * 17] })), "a page table that is too short");
  assertClose(MODEL, await replayAndCompare(bed, graph, planner.plan(batch), batch, () => true), "after refusals");
  graph.close();
  bed.close();
}

/** Mutations of every section, most of one to four words; the device sees only what the check passed. */
export async function hostileInput(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 21);
  const device = executor.plannerDevice(MODEL);
  const batch = { qoLens: [1, 1, 70, 0, 1], kvLens: [3000, 9000, 900, 0, 40] };
  const planner = createPlanner({ attention: MODEL, device, budget: { maxRequests: 5, maxQueryTokens: 73 } });
  const sound = planner.plan(batch);
  const bed = await Bed.create(executor, MODEL, 900, 73, false, context.seed);
  await bed.shufflePages(random);
  const graph = executor.capture(sound, [bed.layer]);
  const words = new Int32Array(sound.buffer.slice(0));
  const used = words[Header.usedBytes]! / 4;
  const mutations = Math.max(100, Math.round(10_000 * context.scale));
  let rejected = 0;
  for (let i = 0; i < mutations; i++) {
    const mutated = words.slice();
    for (let edits = between(random, 1, 4); edits > 0; edits--) {
      const at = random() < 0.2 ? between(random, 0, 63) : between(random, 64, used - 1);
      mutated[at] = random() < 0.5 ? mutated[at]! + between(random, -3, 3) : between(random, -0x8000_0000, 0x7fff_ffff);
    }
    try {
      await graph.replay({ buffer: mutated.buffer } as Plan);
    } catch (error) {
      if (!(error instanceof PlanRejectedError)) throw error;
      rejected++;
    }
  }
  if (rejected < mutations / 4) throw new Error(`only ${rejected} of ${mutations} mutated plans were refused`);

  const short = executor.tensor(64);
  const { layer } = bed;
  for (const name of ["query", "key", "value", "output", "lse", "pageIndices"] as const) {
    await expectError(() => executor.capture(sound, [{ ...layer, [name]: short }]), `a short ${name}`, RangeError);
  }
  short.close();
  await expectError(() => executor.capture(sound, [{ ...layer, key: short }]), "a closed tensor", TensorClosedError);
  const pageElements = MODEL.pageSize * MODEL.kvHeads * MODEL.headDim;
  const host = {
    query: new Uint16Array(MODEL.queryHeads * MODEL.headDim),
    key: new Uint16Array(pageElements),
    value: new Uint16Array(pageElements),
    pageIndptr: [0, 1],
    pageIndices: [0],
  };
  const small = createPlanner({ attention: MODEL, device }).plan({ qoLens: [1], kvLens: [16] });
  await executor.execute(small, host);
  const beyond = { ...host, pageIndices: [1] };
  await expectError(() => executor.execute(small, beyond), "a page id beyond the cache", InvalidTensorError);
  const half = { ...host, key: new Uint16Array(pageElements / 2) };
  await expectError(() => executor.execute(small, half), "half a page of keys", InvalidTensorError);

  assertClose(MODEL, await replayAndCompare(bed, graph, sound, batch, () => random() < 0.02), "after hostile input");
  graph.close();
  await expectError(() => graph.replay(sound), "a closed graph", GraphClosedError);
  bed.close();
  context.report(`${rejected} of ${mutations} mutated plans refused, the others ran`);
}

/**
 * Plans of ever fewer rows, queued without waiting: each leaves the rows that no later one writes, so a plan whose slot
 * was overwritten in flight shows. The expected bits are those of each plan alone.
 */
export async function slotRing(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 22);
  const rowsPerPlan = 2;
  const count = 24;
  const tokens = count * rowsPerPlan;
  const planner = createPlanner({
    attention: MODEL,
    device: executor.plannerDevice(MODEL),
    budget: { maxRequests: tokens, maxQueryTokens: tokens },
  });
  const bed = await Bed.create(executor, MODEL, 24_000, tokens, false, context.seed);
  await bed.shufflePages(random);
  const plans: { plan: Plan; rows: number }[] = [];
  for (let rows = tokens; rows > 0; rows -= rowsPerPlan) {
    const batch: AttentionBatch = {
      qoLens: Array.from({ length: rows }, () => 1),
      kvLens: Array.from({ length: rows }, () => between(random, 1, Math.floor(24_000 / rows) * 16)),
    };
    // The planner's buffer is the caller's until the next plan: keep a copy, as a queue of steps would.
    const { buffer } = planner.plan(batch);
    plans.push({ plan: { buffer: buffer.slice(0) } as Plan, rows });
  }
  const graph = executor.capture(planner.plan({ qoLens: [], kvLens: [] }), [bed.layer]);
  const rowElements = MODEL.queryHeads * MODEL.headDim;
  const expected = new Uint16Array(tokens * rowElements);
  for (const { plan, rows } of plans) {
    await graph.replay(plan);
    const bits = await bed.outputBits(rows);
    expected.set(bits.subarray((rows - rowsPerPlan) * rowElements), (rows - rowsPerPlan) * rowElements);
  }
  let full = 0;
  const rounds = Math.max(2, Math.round(50 * context.scale));
  for (let round = 0; round < rounds; round++) {
    bed.poison();
    for (const { plan } of plans) {
      while (!graph.queue(plan)) {
        full++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await executor.drain();
    const found = await bed.outputBits(tokens);
    for (let i = 0; i < found.length; i++) {
      if (found[i] !== expected[i])
        throw new Error(`round ${round}: row ${Math.floor(i / rowElements)} is another plan's`);
    }
  }
  graph.close();
  bed.close();
  if (full === 0) throw new Error("the plan slots were never all in flight: the check proves nothing");
  context.report(`${rounds * count} queued replays, refused ${full} times while every slot was in flight`);
}

/** Another process runs its own checks on the device while this one replays. */
export async function secondProcess(context: CheckContext): Promise<void> {
  const { executor } = context;
  const script = process.argv[1]!;
  const options = ["--only", "are bitwise equal", "--seed", String(context.seed), "--scale", "0.02"];
  const child = spawn(process.execPath, [script, ...options], { stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  let isRunning = true;
  const ended = once(child, "close").finally(() => {
    isRunning = false;
  });
  const batch = { qoLens: [1, 5, 1], kvLens: [9000, 700, 33] };
  const plan = createPlanner({ attention: MODEL, device: executor.plannerDevice(MODEL) }).plan(batch);
  const bed = await Bed.create(executor, MODEL, 700, 7, false, context.seed);
  await bed.shufflePages(seededRandom(context.seed + 23));
  const graph = executor.capture(plan, [bed.layer]);
  let replays = 0;
  while (isRunning) {
    assertClose(MODEL, await replayAndCompare(bed, graph, plan, batch, (row) => row % 7 === 0), `replay ${replays}`);
    replays++;
  }
  await ended;
  graph.close();
  bed.close();
  if (child.exitCode !== 0) throw new Error(`the other process failed: ${printed}`);
  context.report(`${replays} replays beside it`);
}

export async function outOfMemory(context: CheckContext): Promise<void> {
  const { executor } = context;
  try {
    executor.tensor(1e15);
    throw new Error("a petabyte was allocated");
  } catch (error) {
    if (!(error instanceof CudaOutOfMemoryError)) throw error;
    if (error.requested !== 1e15) throw new Error(`requested is ${error.requested}`);
  }
  await refusals(context);
}
