// The documented example of a policy of one's own does what it says, and nothing it must not.

import { type CreateBatchingPolicy, type Report, replay, traceOf } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, loggingTimer, timerOf, tinyModel } from "./helpers.ts";

const file: string = "../../docs/examples/own-batching-policy.mjs";
const example: {
  createShortestPromptFirst: CreateBatchingPolicy;
  compare(requests: number): Promise<[Report, Report]>;
} = await import(/* @vite-ignore */ file);
const batchingPolicy = { name: "shortest-prompt-first", create: example.createShortestPromptFirst };

describe("docs/examples/own-batching-policy.mjs", () => {
  it("conserves requests and tokens, keeps to every limit and frees all blocks", async () => {
    const requestList = fc.array(
      fc.record({
        arrivalUs: fc.constant(0),
        inputTokens: fc.integer({ min: 1, max: 120 }),
        outputTokens: fc.integer({ min: 1, max: 30 }),
      }),
      { minLength: 1, maxLength: 40, size: "max" },
    );
    const limits = fc.record({
      blockSizeTokens: fc.constantFrom(4, 16),
      kvBlocks: fc.integer({ min: 12, max: 60 }),
      maxRunningRequests: fc.integer({ min: 1, max: 16 }),
      maxBatchedTokens: fc.integer({ min: 4, max: 200 }),
    });
    await fc.assert(
      fc.asyncProperty(requestList, limits, async (requests, options) => {
        const { timer, steps } = loggingTimer((step) => 200 + 10 * step.tokens);
        const report = await replay({
          trace: traceOf(requests, { blockTokens: 16 }),
          deployment: { model: tinyModel, gpu, attention: "balanced", maxContextTokens: 400, ...options },
          stepTimer: timer,
          batchingPolicy,
        });
        const { metrics } = report;
        expect(report.deployment.batching).toBe("shortest-prompt-first");
        expect(metrics.completed + metrics.rejected).toBe(requests.length);
        const completed = requests.filter((_, i) => report.requests!.status[i] === 0);
        expect(metrics.outputTokens).toBe(completed.reduce((sum, { outputTokens }) => sum + outputTokens, 0));
        for (const { qoLens } of steps) {
          expect(qoLens.length).toBeLessThanOrEqual(options.maxRunningRequests);
          expect(qoLens.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(options.maxBatchedTokens);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("starts requests that wait together in the order of their prompts", async () => {
    const inputTokens = [90, 20, 60, 10, 40];
    const report = await replay({
      trace: traceOf(inputTokens.map((tokens) => ({ arrivalUs: 0, inputTokens: tokens, outputTokens: 5 }))),
      deployment: { model: tinyModel, gpu, attention: "balanced", maxRunningRequests: 1, maxContextTokens: 400 },
      stepTimer: timerOf(() => 1000),
      batchingPolicy,
    });
    const order = inputTokens
      .map((_, i) => i)
      .sort((a, b) => report.requests!.firstTokenUs[a]! - report.requests!.firstTokenUs[b]!);
    expect(order.map((i) => inputTokens[i])).toEqual([10, 20, 40, 60, 90]);
  });

  it("gives most requests their first token earlier than vLLM's order does, where prompts queue", async () => {
    const [builtIn, own] = await example.compare(500);
    expect(own.metrics.completed).toBe(500);
    expect(own.metrics.ttftMs.median).toBeLessThan(builtIn.metrics.ttftMs.median!);
  });
});
