// Requests and limits of one vLLM v1 engine, drawn at random, for the engine and for the naive one.

import type { DeploymentOptions } from "@isochron/simulator";
import fc from "fast-check";
import type { NaiveOptions, NaiveRequest } from "./naive-engine.ts";

export interface Scenario extends Omit<NaiveOptions, "times" | "stages"> {
  readonly requests: readonly NaiveRequest[];
  /** The same limits as a deployment has them. */
  readonly deployment: Partial<DeploymentOptions>;
}

/** A scenario in which blocks are scarce enough for preemptions and small enough for prefixes to be shared and evicted. */
export const scenario: fc.Arbitrary<Scenario> = fc
  .record({
    blockSize: fc.constantFrom(1, 2, 4, 8),
    perTraceBlock: fc.constantFrom(0.5, 1, 2, 4),
    maxRunning: fc.integer({ min: 1, max: 6 }),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    prefillThreshold: fc.constantFrom(0, 0, 3, 9),
    prefixCaching: fc.constantFrom(true, true, true, true, false),
    reserveFullInput: fc.boolean(),
    watermark: fc.constantFrom(0, 0, 0.1),
    spareBlocks: fc.integer({ min: 0, max: 12 }),
    requests: fc.array(
      fc.record({
        gapUs: fc.constantFrom(0, 0, 50, 400, 3000),
        inputTokens: fc.integer({ min: 1, max: 40 }),
        outputTokens: fc.integer({ min: 1, max: 12 }),
        // Prompts are paths in a tree with two branches at each block, so they share prefixes often.
        path: fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 12 }),
        hasContent: fc.constantFrom(true, true, true, false),
      }),
      { minLength: 1, maxLength: 14 },
    ),
  })
  .map((drawn) => {
    const traceBlockTokens = Math.max(1, Math.round(drawn.blockSize * drawn.perTraceBlock));
    const ids = new Map<string, number>();
    let arrivalUs = 0;
    const requests = drawn.requests.map(({ gapUs, inputTokens, outputTokens, path, hasContent }) => {
      arrivalUs += gapUs;
      let key = "";
      const content = path.slice(0, Math.ceil(inputTokens / traceBlockTokens)).map((branch) => {
        key += branch;
        if (!ids.has(key)) ids.set(key, ids.size);
        return ids.get(key)!;
      });
      return { arrivalUs, inputTokens, outputTokens, ...(hasContent ? { content } : {}) };
    });
    const largest = Math.max(...requests.map((r) => Math.ceil((r.inputTokens + r.outputTokens - 1) / drawn.blockSize)));
    const blocks = largest + drawn.spareBlocks;
    const { blockSize, maxRunning, maxTokens, prefillThreshold, prefixCaching, reserveFullInput, watermark } = drawn;
    const deployment = {
      blockSizeTokens: blockSize,
      kvBlocks: blocks + 1,
      maxRunningRequests: maxRunning,
      maxBatchedTokens: maxTokens,
      prefixCaching,
      longPrefillTokenThreshold: prefillThreshold,
      reserveFullInput,
      watermark,
    };
    return { ...drawn, traceBlockTokens, requests, blocks, deployment };
  });
