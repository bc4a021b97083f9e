// Thousands of executors, opened, run and closed: what they leave behind.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, ExecutorClosedError } from "@isochron/planner";
import { Bed, replayAndCompare } from "./bed.ts";
import { assertClose, type CheckContext, MODEL } from "./check-context.ts";
import { seededRandom } from "./random.ts";

/** Shape of a cycle: the smallest, so that ten thousand of them are cheap. */
const SMALL: AttentionShape = { ...MODEL, queryHeads: 4, kvHeads: 1, headDim: 64 };
/** Free device memory may wander by this much; a leak of 1 KiB a cycle would be 10 MiB. */
const DEVICE_GROWTH_BYTES = 8 * 2 ** 20;
/** Resident host memory by this much, V8's heap apart, which grows in steps of 8 MiB: finds a leak of 2 KiB a cycle. */
const HOST_GROWTH_BYTES = 16 * 2 ** 20;

export async function cycles(context: CheckContext): Promise<void> {
  const { executor } = context;
  const count = Math.max(3, Math.round(10_000 * context.scale));
  const batch = { qoLens: [1, 1], kvLens: [300, 40] };
  const device = { ...executor.plannerDevice(SMALL), smCount: 4 };
  const budget = { maxRequests: 2, maxQueryTokens: 2, maxQueryTokensPerRequest: 1 };
  const planner = createPlanner({ attention: SMALL, device, budget });
  const plan = planner.plan(batch);
  // What is closed is freed with its handle, which waits for the collector.
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const memory = (): { device: number; host: number } => {
    collectGarbage();
    const { freeBytes } = executor.native.addon.deviceInfo(executor.native.context);
    const { rss, heapTotal } = process.memoryUsage();
    return { device: freeBytes, host: rss - heapTotal };
  };
  // The driver keeps what the first few hundred graphs needed; after that nothing may grow.
  const warmUp = Math.max(Math.floor(count / 5), Math.min(count - 1, 1000));
  const quarter = Math.max(1, Math.ceil((count - warmUp) / 4));
  const hosts: number[] = [];
  let before = memory();
  for (let i = 0; i < count; i++) {
    context.progress(i, count);
    if (i === warmUp) before = memory();
    if (i > warmUp && (i - warmUp) % quarter === 0) hosts.push(memory().host - before.host);
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
  // A leak grows by as much in each quarter.
  const growth = [...hosts, hostGrowth].map(mib).join(", ");
  context.report(
    `${count} cycles, growth after the first ${warmUp}: device ${mib(deviceGrowth)}, host by quarters ${growth}`,
  );
  if (deviceGrowth > DEVICE_GROWTH_BYTES)
    throw new Error(`device memory grew by ${mib(deviceGrowth)} in ${count} cycles`);
  if (hostGrowth > HOST_GROWTH_BYTES) throw new Error(`host memory grew by ${mib(hostGrowth)} in ${count} cycles`);
}
