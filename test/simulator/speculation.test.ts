// Speculative decoding by acceptance rate: what must hold whatever the luck, and the two ends that have no luck.

import assert from "node:assert/strict";
import {
  type DeploymentError,
  type DeploymentOptions,
  type Report,
  replay,
  reportSchema,
  traceOf,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, loggingTimer, timerOf, tinyModel } from "./helpers.ts";

interface Request {
  arrivalUs: number;
  inputTokens: number;
  outputTokens: number;
}

const requestList: fc.Arbitrary<Request[]> = fc
  .array(
    fc.record({
      gapUs: fc.constantFrom(0, 0, 100, 1500, 20_000),
      inputTokens: fc.integer({ min: 1, max: 120 }),
      outputTokens: fc.integer({ min: 1, max: 40 }),
    }),
    { minLength: 1, maxLength: 30, size: "max" },
  )
  .map((drawn) => {
    let arrivalUs = 0;
    return drawn.map(({ gapUs, ...lengths }) => {
      arrivalUs += gapUs;
      return { arrivalUs, ...lengths };
    });
  });

async function run(
  requests: Request[],
  options: Partial<DeploymentOptions>,
  more: Partial<Parameters<typeof replay>[0]> = {},
): Promise<Report> {
  return replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: { model: tinyModel, gpu, attention: "balanced", ...options },
    stepTimer: timerOf(() => 1000),
    seed: 1,
    ...more,
  });
}

/** All that a replay says of requests and latencies, but not which engine it was. */
function felt({ metrics, requests }: Report): unknown {
  const { ttftMs, tpotMs, itlMs, e2eMs, queueMs, outputTokens, steps } = metrics;
  return { ttftMs, tpotMs, itlMs, e2eMs, queueMs, outputTokens, steps, requests };
}

const speculation = (tokens: number, acceptanceRate: number, draftUs = 0) => ({ tokens, acceptanceRate, draftUs });

describe("speculative decoding", () => {
  it("gives every request the tokens it asked for, within every limit, and the same bytes for the same seed", async () => {
    const deployments = fc.record({
      replicas: fc.integer({ min: 1, max: 3 }),
      maxContextTokens: fc.constantFrom(161, 400),
      blockSizeTokens: fc.constantFrom(4, 16),
      kvBlocks: fc.integer({ min: 20, max: 60 }),
      maxRunningRequests: fc.integer({ min: 1, max: 16 }),
      maxBatchedTokens: fc.integer({ min: 9, max: 200 }),
      prefixCaching: fc.boolean(),
      speculation: fc.record({
        tokens: fc.integer({ min: 1, max: 8 }),
        acceptanceRate: fc.constantFrom(0, 0.3, 0.9, 1),
        draftUs: fc.constantFrom(0, 50),
      }),
    });
    await fc.assert(
      fc.asyncProperty(requestList, deployments, fc.boolean(), async (requests, options, isSplit) => {
        const disaggregation = isSplit && options.replicas > 1 ? { prefillReplicas: 1, kvTransferGBps: 10 } : undefined;
        const { timer, steps } = loggingTimer((step) => 200 + 10 * step.tokens + 5 * step.count);
        const report = await run(requests, { ...options, disaggregation }, { stepTimer: timer });
        expect(reportSchema.safeParse(report).error).toBeUndefined();
        const { metrics, requests: records } = report;
        const of = records!;
        expect(metrics.completed + metrics.rejected).toBe(requests.length);
        const completed = requests.filter((_, i) => of.status[i] === 0);
        expect(metrics.outputTokens).toBe(completed.reduce((sum, { outputTokens }) => sum + outputTokens, 0));
        requests.forEach((request, i) => {
          if (of.status[i] !== 0) return;
          assert.equal(of.outputTokens[i], request.outputTokens);
          assert.ok(of.firstTokenUs[i]! > of.scheduledUs[i]! && of.endUs[i]! >= of.firstTokenUs[i]!);
        });
        for (const { qoLens, kvLens } of steps) {
          assert.ok(qoLens.reduce((a, b) => a + b, 0) <= options.maxBatchedTokens);
          assert.ok(kvLens.every((kvLen, i) => kvLen >= qoLens[i]! && kvLen < options.maxContextTokens));
        }
        assert.ok(metrics.kvUsage.max <= 1);
        const { draftTokens = 0, acceptedTokens = 0 } = metrics.speculation ?? {};
        assert.ok(acceptedTokens <= draftTokens && acceptedTokens <= metrics.outputTokens);
        if (options.speculation.acceptanceRate === 0) assert.equal(acceptedTokens, 0);
        const { wallClock: _, ...rest } = report;
        const again = await run(
          requests,
          { ...options, disaggregation },
          { stepTimer: loggingTimer((step) => 200 + 10 * step.tokens + 5 * step.count).timer },
        );
        const { wallClock: __, ...restAgain } = again;
        assert.equal(JSON.stringify(restAgain), JSON.stringify(rest));
      }),
      { numRuns: 400 },
    );
  });

  it("feels like decoding without it, plus the time of wasted tokens, when no draft is right", async () => {
    await fc.assert(
      fc.asyncProperty(requestList, fc.integer({ min: 1, max: 8 }), async (requests, tokens) => {
        const roomy = { kvBlocks: 4000, maxBatchedTokens: 8192 };
        const { timer, steps } = loggingTimer(() => 1000);
        const speculative = await run(
          requests,
          { ...roomy, speculation: speculation(tokens, 0) },
          { stepTimer: timer },
        );
        expect(felt(speculative)).toEqual(felt(await run(requests, roomy)));
        // Every answer's token but the first costs a step with K drafts behind it.
        const decodes = requests.reduce((sum, { outputTokens }) => sum + outputTokens - 1, 0);
        const inputs = requests.reduce((sum, { inputTokens }) => sum + inputTokens, 0);
        const computed = steps.reduce((sum, { qoLens }) => sum + qoLens.reduce((a, b) => a + b, 0), 0);
        expect(computed).toBe(inputs + decodes * (1 + tokens));
        expect(speculative.metrics.speculation?.draftTokens ?? 0).toBe(decodes * tokens);
        // With drafts that take time it is as if each sampling step took that much longer.
        const slow = await run(requests, { ...roomy, speculation: speculation(tokens, 0, 100) });
        expect(felt(slow)).toEqual(felt(await run(requests, roomy, { stepTimer: timerOf(() => 1000 + 100 * tokens) })));
      }),
      { numRuns: 200 },
    );
  });

  it("takes K + 1 tokens a step when every draft is right", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 8 }),
        async (inputTokens, outputTokens, tokens) => {
          const one = [{ arrivalUs: 0, inputTokens, outputTokens }];
          const { metrics } = await run(one, { kvBlocks: 4000, speculation: speculation(tokens, 1) });
          const verifications = Math.ceil((outputTokens - 1) / (tokens + 1));
          expect(metrics.steps).toBe(1 + verifications);
          expect(metrics.e2eMs.mean).toBeCloseTo(1 + verifications, 9);
          // Per token as the benchmark has it: the time after the first one over the tokens after the first one.
          if (outputTokens > 1) expect(metrics.tpotMs.mean).toBeCloseTo(verifications / (outputTokens - 1), 9);
          // A client sees one gap per burst.
          if (outputTokens > 1) expect(metrics.itlMs).toMatchObject({ min: 1, max: 1 });
        },
      ),
      { numRuns: 1000 },
    );
  });

  it.each([
    [1, 0.6],
    [4, 0.7],
    [8, 0.5],
  ])("with %i drafts at %f yields (1 − p^(K+1)) / (1 − p) tokens a step on average", async (tokens, rate) => {
    const requests = Array.from({ length: 40 }, (_, i) => ({ arrivalUs: i, inputTokens: 10, outputTokens: 2000 }));
    const { metrics } = await run(requests, { kvBlocks: 100_000, speculation: speculation(tokens, rate) });
    const verifications = metrics.speculation!.draftTokens / tokens;
    const perStep = (metrics.outputTokens - 40) / verifications;
    const expected = (1 - rate ** (tokens + 1)) / (1 - rate);
    // About 40,000 verifications of standard deviation below 2: five standard errors.
    expect(Math.abs(perStep - expected)).toBeLessThan((5 * 2) / Math.sqrt(verifications));
  });

  it("meets the same luck on every deployment, and other luck with another seed", async () => {
    const requests = [{ arrivalUs: 0, inputTokens: 10, outputTokens: 500 }];
    const options = { kvBlocks: 4000, speculation: speculation(3, 0.5) };
    const steps = async (more: object, seed: number) =>
      (await run(requests, { ...options, ...more }, { seed })).metrics.steps;
    expect(await steps({}, 1)).toBe(await steps({ replicas: 4, router: "random" }, 1));
    expect(await steps({}, 1)).not.toBe(await steps({}, 2));
  });

  it.each([
    ["no drafts", { speculation: speculation(0, 0.5) }, "speculation.tokens"],
    [
      "more drafts than a step has tokens",
      { maxBatchedTokens: 8, speculation: speculation(8, 0.5) },
      "speculation.tokens",
    ],
    ["an acceptance above one", { speculation: speculation(2, 1.5) }, "speculation.acceptanceRate"],
    ["drafts that take less than no time", { speculation: speculation(2, 0.5, -1) }, "speculation.draftUs"],
    ["a policy that verifies none", { batching: "orca" as const, speculation: speculation(2, 0.5) }, "batching"],
  ])("refuses %s", async (_, options, field) => {
    await expect(run([], options)).rejects.toMatchObject({
      name: "DeploymentError",
      field,
    } satisfies Partial<DeploymentError>);
  });
});
