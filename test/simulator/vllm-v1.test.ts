import { replay, traceOf } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, loggingTimer, tinyModel } from "./helpers.ts";
import { naiveEngine } from "./naive-engine.ts";
import { type Scenario, scenario } from "./scenario.ts";

const law = (tokens: number, kvTokens: number, count: number): number => 100 + tokens * 7 + kvTokens + count * 3;

function sum(values: ArrayLike<number>, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += values[i]!;
  return total;
}

async function replayLogged(s: Scenario) {
  const { timer, steps } = loggingTimer((step) => law(step.tokens, sum(step.kvLens, step.count), step.count));
  const report = await replay({
    trace: traceOf(s.requests, { blockTokens: s.traceBlockTokens }),
    deployment: { model: tinyModel, gpu, attention: "balanced", ...s.deployment },
    stepTimer: timer,
  });
  return { report, steps };
}

describe("vllm-v1 batching", () => {
  it("makes the same steps, hits, preemptions and times as a second engine written block by block", async () => {
    let preemptions = 0;
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async (s) => {
        const expected = naiveEngine(s.requests, {
          ...s,
          stages: 1,
          times: (qoLens, kvLens) => {
            const us = law(sum(qoLens, qoLens.length), sum(kvLens, kvLens.length), qoLens.length);
            return { hostUs: 0, stageUs: [us], transferUs: 0 };
          },
        });
        const { report, steps } = await replayLogged(s);
        expect(steps).toEqual(expected.steps.map(({ qoLens, kvLens }) => ({ qoLens, kvLens })));
        const { requests } = report;
        expect(requests!.scheduledUs).toEqual(expected.requests.map((r) => r.scheduledUs));
        expect(requests!.firstTokenUs).toEqual(expected.requests.map((r) => r.tokenTimes[0]));
        expect(requests!.endUs).toEqual(expected.requests.map((r) => r.tokenTimes.at(-1)));
        expect(requests!.cachedTokens).toEqual(expected.requests.map((r) => r.cached));
        expect(requests!.preemptions).toEqual(expected.requests.map((r) => r.preemptions));
        expect(expected.freeBlocks).toBe(s.blocks);
        preemptions += report.metrics.preemptions;
        hits += report.metrics.prefixHitRatio;
      }),
      { numRuns: 2000 },
    );
    // The scenarios do reach what they are for.
    expect(preemptions).toBeGreaterThan(500);
    expect(hits).toBeGreaterThan(50);
  });

  it("sends the last running request back, whose recomputation finds its own blocks", async () => {
    // Two prompts of 8 tokens in 4 blocks each of 2; 9 usable blocks. Both decode; when both need a fifth block, one is left.
    const { timer, steps } = loggingTimer(() => 1000);
    const report = await replay({
      trace: traceOf([
        { arrivalUs: 0, inputTokens: 8, outputTokens: 4 },
        { arrivalUs: 0, inputTokens: 8, outputTokens: 4 },
      ]),
      deployment: { model: tinyModel, gpu, attention: "balanced", blockSizeTokens: 2, kvBlocks: 10 },
      stepTimer: timer,
    });
    expect(steps).toEqual([
      { qoLens: [8, 8], kvLens: [8, 8] },
      // Request 0 takes the last block; request 1 is preempted.
      { qoLens: [1], kvLens: [9] },
      // 9 known tokens, 4 blocks of which are still there: one token to compute, but its fifth block is not free.
      { qoLens: [1], kvLens: [10] },
      // Request 0 needs a sixth block: the oldest free one, the tail of request 1.
      { qoLens: [1], kvLens: [11] },
      // Request 0 is done. Request 1 finds 3 of its 4 blocks: 9 known − 6 cached.
      { qoLens: [3], kvLens: [9] },
      { qoLens: [1], kvLens: [10] },
      { qoLens: [1], kvLens: [11] },
    ]);
    expect(report.metrics.preemptions).toBe(1);
    expect(report.metrics.recomputedTokens).toBe(2);
    expect(report.requests!.preemptions).toEqual([0, 1]);
    // The preempted request's first token came with step 0, its second with step 4: one long gap.
    expect(report.metrics.itlMs.max).toBe(4);
  });

  it("finds a prompt's prefix until it is evicted, tail first", async () => {
    const trace = (thirdArrivalUs: number, fillTokens: number) =>
      traceOf(
        [
          { arrivalUs: 0, inputTokens: 9, outputTokens: 1, content: [0, 1] },
          { arrivalUs: 10_000, inputTokens: fillTokens, outputTokens: 1, content: [2] },
          { arrivalUs: thirdArrivalUs, inputTokens: 9, outputTokens: 1, content: [0, 1] },
        ],
        { blockTokens: 4 },
      );
    const hit = async (fillTokens: number): Promise<number> => {
      const report = await replay({
        trace: trace(20_000, fillTokens),
        deployment: { model: tinyModel, gpu, attention: "balanced", blockSizeTokens: 2, kvBlocks: 9 },
        stepTimer: loggingTimer(() => 100).timer,
      });
      return report.requests!.cachedTokens[2]!;
    };
    // 8 blocks; request 0 leaves 4 hashed ones behind 3 that were never used and its own unhashed fifth.
    expect(await hit(8)).toBe(8);
    expect(await hit(10)).toBe(6);
    expect(await hit(14)).toBe(2);
    expect(await hit(16)).toBe(0);
  });

  it("recomputes at least the last token of a prompt that is cached whole", async () => {
    const { timer, steps } = loggingTimer(() => 100);
    await replay({
      trace: traceOf(
        [
          { arrivalUs: 0, inputTokens: 8, outputTokens: 1, content: [0] },
          { arrivalUs: 1000, inputTokens: 8, outputTokens: 1, content: [0] },
        ],
        { blockTokens: 8 },
      ),
      deployment: { model: tinyModel, gpu, attention: "balanced", blockSizeTokens: 4, kvBlocks: 100 },
      stepTimer: timer,
    });
    expect(steps[1]).toEqual({ qoLens: [4], kvLens: [8] });
  });
});
