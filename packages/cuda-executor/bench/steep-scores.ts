// Scores that outgrow all before them by hundreds: what an online softmax that guesses its maximum gets wrong.

import { type AttentionShape, createPlanner } from "@isochron/planner";
import { Bed, replayAndCompare, sampleRows } from "./bed.ts";
import { assertClose, type CheckContext, MODEL } from "./check-context.ts";
import { between, seededRandom } from "./random.ts";

/** Multiplications that one reference comparison may cost. */
const REFERENCE_BUDGET = 4e7;

/** Prefills on keys whose size changes by up to 64 from page to page, in both dtypes, with and without a window. */
export async function steepScores(context: CheckContext): Promise<void> {
  const { executor } = context;
  const random = seededRandom(context.seed + 11);
  const rounds = Math.max(4, Math.round(12 * context.scale));
  for (let round = 0; round < rounds; round++) {
    const attention: AttentionShape = {
      ...MODEL,
      dtype: round % 2 === 0 ? "bf16" : "fp16",
      kvDtype: round % 2 === 0 ? "bf16" : "fp16",
      headDim: round % 4 < 2 ? 128 : 64,
      mask: round % 3 === 2 ? { kind: "sliding-window", window: between(random, 100, 700) } : { kind: "causal" },
    };
    const qoLens = [between(random, 100, 600), 1, between(random, 20, 200)];
    const kvLens = qoLens.map((qoLen) => qoLen + between(random, 0, 1500));
    const batch = { qoLens, kvLens };
    const pages = kvLens.reduce((sum, kvLen) => sum + Math.ceil(kvLen / attention.pageSize), 0);
    const tokens = qoLens.reduce((sum, qoLen) => sum + qoLen, 0);
    const plan = createPlanner({ attention, device: executor.plannerDevice(attention) }).plan(batch);
    const bed = await Bed.create(executor, attention, pages, tokens, false, context.seed + round);
    await bed.steepenKeys();
    await bed.shufflePages(random);
    const graph = executor.capture(plan, [bed.layer]);
    const wanted = sampleRows(attention, batch, random, REFERENCE_BUDGET);
    const what = `${attention.dtype}×${attention.headDim} ${attention.mask.kind}, ${qoLens} of ${kvLens} tokens`;
    assertClose(attention, await replayAndCompare(bed, graph, plan, batch, wanted), what);
    graph.close();
    bed.close();
  }
  context.report(`${rounds} batches`);
}
