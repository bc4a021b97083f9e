// Host time of one step under graph replay: plan, and check + upload + launch, for batches of decodes.
//   node host.js [--batch 256] [--out FILE]

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner } from "@isochron/planner";
import { Bed } from "./bed.ts";
import { machine } from "./machine.ts";
import { between, seededRandom } from "./random.ts";

const { values } = parseArgs({
  options: { batch: { type: "string", default: "1,16,64,256" }, out: { type: "string" } },
});
const attention: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};
const STEPS = 600;
const WARM_UP_STEPS = 200;
const executor = CudaExecutor.open();
const results: Record<string, unknown>[] = [];
console.log("batch  plan µs  check+upload+launch µs  uploaded bytes  workspace MiB");
for (const batch of values.batch.split(",").map(Number)) {
  const random = seededRandom(batch);
  const qoLens = new Int32Array(batch).fill(1);
  const kvLens = Int32Array.from({ length: batch }, () => between(random, 100, 1000));
  const pages = batch * Math.ceil((1000 + STEPS + 200) / 16);
  const bed = await Bed.create(executor, attention, pages, batch, false, 1);
  await bed.shufflePages(random);
  const planner = createPlanner({
    attention,
    device: executor.plannerDevice(attention),
    budget: { maxRequests: batch, maxQueryTokens: batch, maxQueryTokensPerRequest: 1 },
  });
  const graph = executor.capture(planner.plan({ qoLens, kvLens }), [bed.layer]);
  const planUs: number[] = [];
  const queueUs: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    for (let i = 0; i < batch; i++) kvLens[i]!++;
    const t0 = performance.now();
    const plan = planner.plan({ qoLens, kvLens });
    const t1 = performance.now();
    // A full ring of plan slots is the device's time, not the host's: refused calls do not count.
    let before = performance.now();
    while (!graph.queue(plan)) before = performance.now();
    const queued = performance.now() - before;
    if (step >= WARM_UP_STEPS) {
      planUs.push((t1 - t0) * 1000);
      queueUs.push(queued * 1000);
    }
  }
  await executor.drain();
  const median = (list: number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
  const row = {
    batch,
    planUs: median(planUs),
    queueUs: median(queueUs),
    uploadedBytes: graph.uploadedBytes,
    workspaceBytes: graph.workspaceBytes,
  };
  results.push(row);
  console.log(
    [
      String(batch).padStart(5),
      row.planUs.toFixed(1).padStart(8),
      row.queueUs.toFixed(1).padStart(23),
      String(row.uploadedBytes).padStart(15),
      (row.workspaceBytes / 2 ** 20).toFixed(2).padStart(14),
    ].join(" "),
  );
  graph.close();
  bed.close();
}
if (values.out !== undefined) {
  writeFileSync(values.out, `${JSON.stringify({ machine: machine(executor), benchmark: "host", results }, null, 1)}\n`);
}
await executor.close();
