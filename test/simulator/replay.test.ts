import assert from "node:assert/strict";
import {
  BATCHING_POLICIES,
  type BatchingName,
  type DeploymentOptions,
  type Report,
  ROUTERS,
  type RouterName,
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
  content?: number[];
}

const requestList: fc.Arbitrary<Request[]> = fc
  .array(
    fc.record({
      gapUs: fc.constantFrom(0, 0, 100, 1500, 20_000),
      inputTokens: fc.integer({ min: 1, max: 120 }),
      outputTokens: fc.integer({ min: 1, max: 30 }),
      content: fc.option(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 1 }), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 40, size: "max" },
  )
  .map((drawn) => {
    let arrivalUs = 0;
    return drawn.map(({ gapUs, content, ...lengths }) => {
      arrivalUs += gapUs;
      return { arrivalUs, ...lengths, ...(content === undefined ? {} : { content }) };
    });
  });

const deployments: fc.Arbitrary<Partial<DeploymentOptions>> = fc
  .record({
    replicas: fc.integer({ min: 1, max: 4 }),
    router: fc.constantFrom(...(Object.keys(ROUTERS) as RouterName[])),
    batching: fc.constantFrom(...(Object.keys(BATCHING_POLICIES) as BatchingName[])),
    maxContextTokens: fc.constantFrom(150, 400),
    blockSizeTokens: fc.constantFrom(4, 8, 16),
    kvBlocks: fc.integer({ min: 20, max: 60 }),
    maxRunningRequests: fc.integer({ min: 1, max: 16 }),
    maxBatchedTokens: fc.integer({ min: 4, max: 200 }),
    prefixCaching: fc.boolean(),
    disaggregation: fc.option(
      fc.record({
        prefillReplicas: fc.constant(1),
        kvTransferGBps: fc.constantFrom(1, 100),
        kvTransferLatencyUs: fc.constantFrom(0, 300),
      }),
      { nil: undefined },
    ),
  })
  .map((drawn) =>
    drawn.replicas > 1 && drawn.batching === "vllm-v1" ? drawn : { ...drawn, disaggregation: undefined },
  );

async function run(
  requests: Request[],
  options: Partial<DeploymentOptions>,
  more: Partial<Parameters<typeof replay>[0]> = {},
): Promise<Report> {
  return replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: { model: tinyModel, gpu, attention: "balanced", ...options },
    stepTimer: timerOf((step) => 200 + 10 * step.tokens + 5 * step.count),
    seed: 1,
    ...more,
  });
}

function withoutWallClock(report: Report): string {
  const { wallClock: _, ...rest } = report;
  return JSON.stringify(rest);
}

describe("a replay", () => {
  it("conserves requests and tokens, respects causality and every limit, and frees all blocks", async () => {
    await fc.assert(
      fc.asyncProperty(requestList, deployments, async (requests, options) => {
        const { timer, steps } = loggingTimer((step) => 200 + 10 * step.tokens + 5 * step.count);
        const report = await run(requests, options, { stepTimer: timer, seriesLimit: 100_000 });
        expect(reportSchema.safeParse(report).error).toBeUndefined();
        const { metrics, requests: records } = report;
        const usable = options.kvBlocks! - 1;

        // Requests conserved: all ended, one way or the other, and rejected ones could not fit.
        expect(metrics.completed + metrics.rejected).toBe(requests.length);
        expect(metrics.unfinished).toBe(0);
        const of = records!;
        requests.forEach((request, i) => {
          const kvTokens = request.inputTokens + request.outputTokens - 1;
          const isTooLarge = Math.ceil(kvTokens / options.blockSizeTokens!) > usable;
          assert.equal(of.status[i], isTooLarge ? 1 : 0);
          assert.equal(of.id[i], i);
          if (isTooLarge) return;
          // Causality.
          assert.equal(of.arrivalUs[i], request.arrivalUs);
          assert.ok(of.scheduledUs[i]! >= request.arrivalUs);
          assert.ok(of.firstTokenUs[i]! > of.scheduledUs[i]!);
          assert.ok(of.endUs[i]! >= of.firstTokenUs[i]!);
          assert.ok(of.lastStep[i]! >= of.firstStep[i]!);
          assert.ok(of.cachedTokens[i]! < request.inputTokens);
        });

        // Limits of every step.
        let computed = 0;
        for (const { qoLens, kvLens } of steps) {
          const tokens = qoLens.reduce((a, b) => a + b, 0);
          computed += tokens;
          assert.ok(tokens <= options.maxBatchedTokens!);
          assert.ok(qoLens.length <= options.maxRunningRequests!);
          assert.ok(qoLens.every((qoLen, i) => qoLen > 0 && kvLens[i]! >= qoLen));
        }
        assert.ok(report.steps.kvBlocksUsed.every((blocks) => blocks <= usable));
        assert.ok(metrics.kvUsage.max <= 1);

        // Tokens out as asked; tokens computed are prompts and answers, less hits, plus what was computed again.
        const completed = requests.filter((_, i) => of.status[i] === 0);
        const asked = completed.reduce((sum, { outputTokens }) => sum + outputTokens, 0);
        const needed = completed.reduce((sum, r) => sum + r.inputTokens + r.outputTokens - 1, 0);
        const hits = of.cachedTokens.reduce((a, b) => a + b, 0);
        assert.equal(metrics.outputTokens, asked);
        // A request that comes back may find more than it lost, if another one computed it meanwhile.
        const most = needed - hits + metrics.recomputedTokens;
        assert.ok(metrics.recomputedTokens >= 0 && computed <= most);
        if (metrics.preemptions === 0 || !options.prefixCaching) assert.equal(computed, most);

        // Clock monotone, and no replica in two steps at once.
        for (let replica = 0; replica < options.replicas!; replica++) {
          let endUs = 0;
          report.steps.startUs.forEach((startUs, i) => {
            if (report.steps.replica[i] !== replica) return;
            assert.ok(startUs >= endUs - 1e-3);
            endUs = startUs + report.steps.durationUs[i]!;
          });
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("is the same to the byte for the same seed", async () => {
    await fc.assert(
      fc.asyncProperty(requestList, deployments, fc.integer(), async (requests, options, seed) => {
        const first = await run(requests, options, { seed });
        expect(withoutWallClock(await run(requests, options, { seed }))).toBe(withoutWallClock(first));
      }),
      { numRuns: 200 },
    );
  });

  it("is work conserving: no replica idles while it has requests", async () => {
    await fc.assert(
      fc.asyncProperty(requestList, deployments, async (requests, options) => {
        // A prefill replica may wait for blocks that are being sent.
        const whole = { ...options, disaggregation: undefined };
        const report = await run(requests, whole, { seriesLimit: 100_000 });
        const { steps, requests: records } = report;
        for (let replica = 0; replica < options.replicas!; replica++) {
          let endUs = 0;
          steps.startUs.forEach((startUs, i) => {
            if (steps.replica[i] !== replica) return;
            if (startUs > endUs + 2e-3) {
              // The gap ends with an arrival, and nobody who arrived before is still there.
              const present = records!.id.filter(
                (id) =>
                  records!.replica[id] === replica &&
                  records!.arrivalUs[id]! < startUs - 2e-3 &&
                  records!.endUs[id]! > endUs + 2e-3,
              );
              expect(present).toEqual([]);
            }
            endUs = startUs + steps.durationUs[i]!;
          });
        }
      }),
      { numRuns: 300 },
    );
  });

  it("schedules without knowing how long answers will be", async () => {
    // Making one answer longer changes nothing up to the step in which the shorter one would have ended.
    await fc.assert(
      fc.asyncProperty(
        requestList,
        deployments,
        fc.nat(),
        fc.integer({ min: 1, max: 20 }),
        async (requests, options, which, more) => {
          const chosen = which % requests.length;
          const longer = requests.map((request, i) =>
            i === chosen ? { ...request, outputTokens: request.outputTokens + more } : request,
          );
          const law = { ...options, replicas: 1, disaggregation: undefined, kvBlocks: 60, blockSizeTokens: 4 };
          const [short, long] = [loggingTimer(() => 300), loggingTimer(() => 300)];
          const report = await run(requests, law, { stepTimer: short.timer });
          const longReport = await run(longer, law, { stepTimer: long.timer });
          fc.pre(report.metrics.rejected === longReport.metrics.rejected);
          const last = report.requests!.lastStep[chosen]!;
          expect(long.steps.slice(0, last + 1)).toEqual(short.steps.slice(0, last + 1));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("rejects and counts requests that can never fit, warns, and goes on", async () => {
    const report = await run(
      [
        { arrivalUs: 0, inputTokens: 10, outputTokens: 5 },
        { arrivalUs: 0, inputTokens: 1000, outputTokens: 5 },
        { arrivalUs: 1, inputTokens: 10, outputTokens: 1000 },
      ],
      { kvBlocks: 1000, maxContextTokens: 500 },
    );
    expect(report.requests!.status).toEqual([0, 1, 1]);
    expect(report.metrics).toMatchObject({ completed: 1, rejected: 2 });
    expect(report.warnings.join()).toMatch(/2 requests rejected/);
    expect(report.requests!.replica).toEqual([0, -1, -1]);
  });

  it("stops at an abort signal with a partial report that accounts for every request that arrived", async () => {
    const abort = new AbortController();
    const requests = Array.from({ length: 5000 }, (_, i) => ({ arrivalUs: i, inputTokens: 10, outputTokens: 500 }));
    let steps = 0;
    const report = await run(
      requests,
      { kvBlocks: 2000 },
      {
        signal: abort.signal,
        stepTimer: timerOf(() => {
          if (++steps === 100) abort.abort();
          return 100;
        }),
      },
    );
    expect(report.partial).toBe(true);
    expect(report.metrics.unfinished).toBeGreaterThan(0);
    expect(report.metrics.completed + report.metrics.unfinished).toBe(report.trace.requestsUsed);
    expect(report.requests!.status.filter((status) => status === 2)).toHaveLength(report.metrics.unfinished);
    expect(report.warnings.join()).toMatch(/stopped before its end/);
    expect(reportSchema.safeParse(report).success).toBe(true);
  });

  it("tells its progress", async () => {
    const seen: number[] = [];
    const requests = Array.from({ length: 300 }, (_, i) => ({ arrivalUs: i, inputTokens: 10, outputTokens: 50 }));
    const spin = timerOf(() => {
      const until = performance.now() + 1;
      while (performance.now() < until);
      return 100;
    });
    await run(requests, {}, { stepTimer: spin, onProgress: ({ completed }) => seen.push(completed) });
    expect(seen.length).toBeGreaterThan(0);
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
  });

  it("refuses a step timer that stops the clock", async () => {
    const requests = [{ arrivalUs: 0, inputTokens: 1, outputTokens: 1 }];
    for (const durationUs of [0, -1, Number.NaN]) {
      await expect(run(requests, {}, { stepTimer: timerOf(() => durationUs) })).rejects.toThrow(/expected more than 0/);
    }
  });

  it("refuses deployments that cannot be, by the field's name", async () => {
    const requests = [{ arrivalUs: 0, inputTokens: 1, outputTokens: 1 }];
    for (const [field, options] of [
      ["replicas", { replicas: 0 }],
      ["tensorParallel", { tensorParallel: 3 }],
      ["kvBlocks", { kvBlocks: 1 }],
      ["router", { router: "nearest" as RouterName }],
      ["gpuMemoryUtilization", { gpuMemoryUtilization: 1.5 }],
      ["slo.ttftMs", { slo: { ttftMs: -1 } }],
      ["gpu", { gpu: { ...gpu, memoryBytes: 1e6 } }],
    ] as const) {
      await expect(run(requests, options)).rejects.toMatchObject({ name: "DeploymentError", field });
    }
    await expect(run(requests, { blockSizeTokens: 12 })).rejects.toThrow(/expected a divisor or a multiple/);
  });
});

describe("the steps of a report", () => {
  const requests = Array.from({ length: 200 }, (_, i) => ({
    arrivalUs: i * 1000,
    inputTokens: 1 + ((i * 37) % 90),
    outputTokens: 1 + ((i * 17) % 40),
  }));

  it("are thinned to the limit by a stride that it states", async () => {
    const full = await run(requests, { replicas: 2 }, { seriesLimit: 1e6 });
    const thin = await run(requests, { replicas: 2 }, { seriesLimit: 100 });
    expect(full.stepStride).toBe(1);
    expect(full.steps.step).toHaveLength(full.metrics.steps);
    expect(thin.steps.step.length).toBeLessThanOrEqual(100);
    expect(thin.steps.step.length).toBeGreaterThan(40);
    const kept = full.steps.step.flatMap((step, i) => (step % thin.stepStride === 0 ? [i] : []));
    expect(thin.steps.startUs).toEqual(kept.map((i) => full.steps.startUs[i]));
    expect(thin.steps.replica).toEqual(kept.map((i) => full.steps.replica[i]));
    expect(thin.metrics).toEqual(full.metrics);
  });

  it("name the requests of a kept batch that ended with it", async () => {
    // Step 35, which nothing else keeps, ends request 0 and gives request 1 the slower first token of the two.
    const two = [
      { arrivalUs: 0, inputTokens: 10, outputTokens: 36 },
      { arrivalUs: 34_500, inputTokens: 10, outputTokens: 2 },
    ];
    const { stepBatches } = await run(two, {}, { stepTimer: timerOf(() => 1000) });
    const slowest = stepBatches.find(({ reason }) => reason === "p99 TTFT");
    expect(slowest).toMatchObject({ step: 35, requests: [0, 1], qoLens: [1, 10] });
  });

  it("keep the batches worth looking into, as they were", async () => {
    const { timer, steps } = loggingTimer((step) => 200 + 10 * step.tokens);
    const report = await run(
      requests,
      {},
      { stepTimer: timer, recordSteps: [{ replica: 0, step: 5 }], seriesLimit: 1e6 },
    );
    for (const batch of report.stepBatches) {
      expect({ qoLens: batch.qoLens, kvLens: batch.kvLens }).toEqual(steps[batch.step]);
      expect(batch.requests).toHaveLength(batch.qoLens.length);
      // Even where the series leaves the step out, the batch says what it took.
      expect(batch.durationUs).toBe(report.steps.durationUs[batch.step]);
      expect(batch.attentionUs).toBe(report.steps.attentionUs[batch.step]);
      expect(batch.attentionImbalance).toBe(report.steps.attentionImbalance[batch.step]);
    }
    const reasons = report.stepBatches.map(({ reason }) => reason).join(", ");
    for (const reason of ["longest step", "p50 TTFT", "p99 TTFT", "evenly spaced", "asked for"]) {
      expect(reasons).toContain(reason);
    }
    const longest = Math.max(...report.steps.durationUs);
    const named = report.stepBatches.find(({ step }) => report.steps.durationUs[step] === longest);
    expect(named?.reason).toContain("longest step");
    expect(report.stepBatches.find(({ step }) => step === 5)?.reason).toContain("asked for");
    // The p99 step gave a request its first token, with a TTFT within the width of a class of the percentile.
    const p99 = report.stepBatches.find(({ reason }) => reason.includes("p99 TTFT"))!;
    const { firstTokenUs, arrivalUs } = report.requests!;
    const endUs = report.steps.startUs[p99.step]! + report.steps.durationUs[p99.step]!;
    const ttfts = p99.requests
      .filter((id) => Math.abs(firstTokenUs[id]! - endUs) < 0.01)
      .map((id) => firstTokenUs[id]! - arrivalUs[id]!);
    const p99Us = report.metrics.ttftMs.p99! * 1000;
    expect(Math.min(...ttfts.map((ttft) => Math.abs(ttft / p99Us - 1)))).toBeLessThan(0.05);
  });

  it("keep the steps whose attention lost most time above its bound, not the tiny ones with the largest ratio", async () => {
    const { timer } = loggingTimer((step) => 200 + 10 * step.tokens);
    const stepTimer: typeof timer = {
      ...timer,
      time: (step) => {
        const found = timer.time(step);
        return { ...found, attentionUs: step.tokens, attentionImbalance: step.tokens < 8 ? 50 : 2 };
      },
    };
    const report = await run(requests, {}, { stepTimer, seriesLimit: 1e6 });
    const { attentionUs, attentionImbalance } = report.steps;
    const lost = attentionUs.map((us, i) => us * (1 - 1 / attentionImbalance[i]!));
    const named = report.stepBatches.filter(({ reason }) => reason.includes("attention above bound"));
    const third = [...lost].sort((a, b) => b - a)[2]!;
    expect(named).toHaveLength(3);
    for (const { step } of named) expect(lost[step]).toBeGreaterThanOrEqual(third);
    expect(named.some(({ attentionImbalance: ratio }) => ratio === 50)).toBe(false);
  });
});

describe("routers", () => {
  const count = (report: Report): number[] =>
    [0, 1, 2].map((replica) => report.requests!.replica.filter((r) => r === replica).length);
  const even = Array.from({ length: 300 }, (_, i) => ({ arrivalUs: i * 100, inputTokens: 20, outputTokens: 10 }));

  it("round-robin deals evenly, random about evenly", async () => {
    expect(count(await run(even, { replicas: 3, router: "round-robin" }))).toEqual([100, 100, 100]);
    const random = count(await run(even, { replicas: 3, router: "random" }));
    expect(Math.min(...random)).toBeGreaterThan(70);
    expect(random).not.toEqual([100, 100, 100]);
  });

  it("least-outstanding and least-kv avoid the replica that is busy with a long request", async () => {
    const requests = [
      { arrivalUs: 0, inputTokens: 500, outputTokens: 20_000 },
      ...Array.from({ length: 20 }, (_, i) => ({ arrivalUs: 10_000 + i * 100_000, inputTokens: 10, outputTokens: 2 })),
    ];
    for (const router of ["least-outstanding", "least-kv"] as const) {
      const report = await run(requests, { replicas: 3, router });
      expect(report.requests!.replica.slice(1)).not.toContain(report.requests!.replica[0]);
    }
  });

  it("prefix-aware sends a prompt where its prefix is", async () => {
    const requests = Array.from({ length: 60 }, (_, i) => ({
      arrivalUs: i * 100_000,
      inputTokens: 40,
      outputTokens: 2,
      content: [i % 3, 3 + (i % 3)],
    }));
    const aware = await run(requests, { replicas: 3, router: "prefix-aware", kvBlocks: 200 });
    expect(aware.metrics.prefixHitRatio).toBeGreaterThan(0.7);
    const random = await run(requests, { replicas: 3, router: "random", kvBlocks: 200 });
    expect(aware.metrics.prefixHitRatio).toBeGreaterThan(random.metrics.prefixHitRatio);
  });
});

describe("a closed loop", () => {
  const requests = Array.from({ length: 60 }, (_, i) => ({
    arrivalUs: 1e9 * i,
    inputTokens: 10,
    outputTokens: 1 + (i % 7),
  }));

  it("keeps so many requests in flight and sends the next when one ends", async () => {
    for (const replicas of [1, 3]) {
      const report = await run(requests, { replicas }, { concurrency: 6 });
      const { arrivalUs, endUs } = report.requests!;
      expect(arrivalUs.slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0]);
      const ends = [...endUs].sort((a, b) => a - b);
      expect(arrivalUs.slice(6)).toEqual(ends.slice(0, -6));
      expect(report.metrics).toMatchObject({ completed: 60, peakConcurrency: 6 });
      expect(report.deployment.concurrency).toBe(6);
    }
  });

  it("of one request is a sequence without waiting", async () => {
    const report = await run(requests, { replicas: 2, router: "least-outstanding" }, { concurrency: 1 });
    expect(report.metrics.queueMs.max).toBe(0);
    expect(report.metrics.batchSize.max).toBe(1);
    expect(report.metrics.meanConcurrency).toBeCloseTo(1, 9);
  });

  it("goes on past requests that are rejected, and can be stopped", async () => {
    const mixed = requests.map((request, i) => (i % 3 === 0 ? { ...request, inputTokens: 5000 } : request));
    const report = await run(mixed, { maxContextTokens: 100 }, { concurrency: 4 });
    expect(report.metrics).toMatchObject({ completed: 40, rejected: 20, peakConcurrency: 4 });
    const abort = new AbortController();
    abort.abort();
    const many = Array.from({ length: 20_000 }, () => ({ arrivalUs: 0, inputTokens: 10, outputTokens: 100 }));
    const stopped = await run(many, {}, { concurrency: 4, signal: abort.signal });
    expect(stopped.partial).toBe(true);
    expect(stopped.metrics.unfinished).toBeLessThanOrEqual(4);
    await expect(run(requests, {}, { concurrency: 0 })).rejects.toThrow(RangeError);
  });
});

describe("prefill and decode on replicas of their own", () => {
  // The tiny model has 2 layers × (K, V) × 2 heads × 16 × 2 bytes: 256 bytes per token; 0.001 GB/s is a byte per µs.
  const disaggregation = { prefillReplicas: 1, kvTransferGBps: 0.001, kvTransferLatencyUs: 40 };
  const timer = () => timerOf(() => 1000);

  it("send the KV cache after the first token, one request after another", async () => {
    const requests = [
      { arrivalUs: 0, inputTokens: 10, outputTokens: 3 },
      { arrivalUs: 0, inputTokens: 10, outputTokens: 3 },
      { arrivalUs: 0, inputTokens: 10, outputTokens: 1 },
    ];
    const report = await run(requests, { replicas: 2, disaggregation }, { stepTimer: timer() });
    expect(report.requests).toMatchObject({
      firstTokenUs: [1000, 1000, 1000],
      // First token, 2,560 bytes each on one link, latency, two steps.
      endUs: [1000 + 2560 + 40 + 2000, 1000 + 5120 + 40 + 2000, 1000],
      replica: [1, 1, 0],
    });
    expect(report.deployment.disaggregation).toEqual(disaggregation);
    expect(report.metrics.itlMs.max).toBe(6.16);
    // Two were handed over; 5,120 µs of sending in 8,160.
    expect(report.metrics.kvTransfers).toEqual({ meanMs: (2.6 + 5.16) / 2, maxMs: 5.16, linkUse: 5120 / 8160 });
    expect(reportSchema.safeParse(report).success).toBe(true);
  });

  it("spread over all decode replicas, and prompts never wait for answers", async () => {
    const requests = Array.from({ length: 40 }, (_, i) => ({ arrivalUs: i * 2000, inputTokens: 10, outputTokens: 20 }));
    const fast = { ...disaggregation, kvTransferGBps: 100 };
    const report = await run(requests, { replicas: 4, disaggregation: fast }, { stepTimer: timer() });
    expect(report.metrics.ttftMs.max).toBe(1);
    expect(new Set(report.requests!.replica)).toEqual(new Set([1, 2, 3]));
  });

  it("work in a closed loop too", async () => {
    const requests = Array.from({ length: 30 }, () => ({ arrivalUs: 0, inputTokens: 10, outputTokens: 5 }));
    const report = await run(requests, { replicas: 3, disaggregation }, { concurrency: 4 });
    expect(report.metrics.kvTransfers!.linkUse).toBeGreaterThan(0.5);
    expect(report.metrics.kvTransfers!.linkUse).toBeLessThanOrEqual(1);
    expect(report.metrics).toMatchObject({ completed: 30, peakConcurrency: 4 });
  });

  it("are refused where they cannot be", async () => {
    for (const [field, options] of [
      ["disaggregation.prefillReplicas", { replicas: 1, disaggregation }],
      ["disaggregation.kvTransferGBps", { replicas: 2, disaggregation: { ...disaggregation, kvTransferGBps: 0 } }],
      ["batching", { replicas: 2, batching: "static", disaggregation }],
    ] as const) {
      await expect(run([{ arrivalUs: 0, inputTokens: 1, outputTokens: 1 }], options)).rejects.toMatchObject({ field });
    }
  });
});
