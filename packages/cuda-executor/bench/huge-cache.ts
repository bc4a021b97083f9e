// A KV cache whose elements no 32 bits can count.

import { createPlanner } from "@isochron/planner";
import { Bed, replayAndCompare } from "./bed.ts";
import { assertClose, type CheckContext, MODEL, pagesOf } from "./check-context.ts";
import { seededRandom } from "./random.ts";

export async function hugeCache(context: CheckContext): Promise<void> {
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
