// Scheduling while the GPU computes: against an engine written a second time, and by arithmetic.

import {
  createStepTimer,
  type DeploymentOptions,
  findModel,
  findProfile,
  gpuFacts,
  ReplayTraceEvents,
  type Report,
  replay,
  resolveDeployment,
  type Step,
  type StepTimer,
  traceOf,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, type LoggedStep, tinyModel } from "./helpers.ts";
import { type NaiveRequest, type NaiveTimes, naiveEngine } from "./naive-engine.ts";
import { scenario } from "./scenario.ts";

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** A step of so long on the host and on the GPU. */
function timerOf(timesOf: (qoLens: number[], kvLens: number[]) => { hostUs: number; gpuUs: number }) {
  const steps: LoggedStep[] = [];
  const timer: StepTimer = {
    name: "host and GPU",
    time(step: Step) {
      const qoLens = Array.from(step.qoLens.subarray(0, step.count));
      const kvLens = Array.from(step.kvLens.subarray(0, step.count));
      steps.push({ qoLens, kvLens });
      const { hostUs, gpuUs } = timesOf(qoLens, kvLens);
      return {
        durationUs: hostUs + gpuUs,
        attentionUs: 0,
        gemmUs: gpuUs,
        collectiveUs: 0,
        otherUs: 0,
        hostUs,
        attentionImbalance: Number.NaN,
        smBusyFraction: Number.NaN,
      };
    },
  };
  return { timer, steps };
}

function run(
  requests: readonly NaiveRequest[],
  timer: StepTimer,
  options: Partial<DeploymentOptions> = {},
  onStep?: Parameters<typeof replay>[0]["onStep"],
): Promise<Report> {
  return replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: {
      model: tinyModel,
      gpu,
      attention: "balanced",
      kvBlocks: 1000,
      maxContextTokens: 4000,
      asyncScheduling: true,
      ...options,
    },
    stepTimer: timer,
    onStep,
  });
}

describe("asynchronous scheduling", () => {
  it("makes the same steps, preemptions and times as a second engine, at the end of the context too", async () => {
    let preemptions = 0;
    let discarded = 0;
    let atLength = 0;
    const costs = fc.record({
      hostUs: fc.constantFrom(0, 10, 90, 700),
      tokenUs: fc.integer({ min: 1, max: 12 }),
      spareContext: fc.constantFrom(0, 0, 1, 5, 1000),
    });
    await fc.assert(
      fc.asyncProperty(scenario, costs, async (s, { hostUs, tokenUs, spareContext }) => {
        const times = (qoLens: readonly number[], kvLens: readonly number[]): NaiveTimes => ({
          hostUs: hostUs + qoLens.length,
          transferUs: 0,
          stageUs: [20 + tokenUs * total(qoLens) + total(kvLens)],
        });
        const maxContext = Math.max(...s.requests.map((r) => r.inputTokens + r.outputTokens)) + spareContext;
        const expected = naiveEngine(s.requests, { ...s, times, stages: 1, async: { maxContext } });
        const { timer, steps } = timerOf((qoLens, kvLens) => {
          const { hostUs: host, stageUs } = times(qoLens, kvLens);
          return { hostUs: host, gpuUs: stageUs[0]! };
        });
        const report = await replay({
          trace: traceOf(s.requests, { blockTokens: s.traceBlockTokens }),
          deployment: {
            model: tinyModel,
            gpu,
            attention: "balanced",
            asyncScheduling: true,
            ...s.deployment,
            maxContextTokens: maxContext,
          },
          stepTimer: timer,
        });
        expect(steps).toEqual(expected.steps.map(({ qoLens, kvLens }) => ({ qoLens, kvLens })));
        const { requests, metrics } = report;
        expect(requests!.scheduledUs).toEqual(expected.requests.map((r) => r.scheduledUs));
        expect(requests!.firstTokenUs).toEqual(expected.requests.map((r) => r.tokenTimes[0]));
        expect(requests!.endUs).toEqual(expected.requests.map((r) => r.tokenTimes.at(-1)));
        expect(requests!.preemptions).toEqual(expected.requests.map((r) => r.preemptions));
        expect(expected.freeBlocks).toBe(s.blocks);
        preemptions += metrics.preemptions;
        const computed = total(steps.map(({ qoLens }) => total(qoLens)));
        if (metrics.preemptions === 0 && metrics.prefixHitRatio === 0) {
          const needed = total(s.requests.map((r) => r.inputTokens + r.outputTokens - 1));
          expect(computed).toBeGreaterThanOrEqual(needed);
          // At most one place each.
          expect(computed).toBeLessThanOrEqual(needed + s.requests.length);
          discarded += computed - needed;
          if (spareContext === 0 && computed - needed < s.requests.length) atLength++;
        }
      }),
      { numRuns: 2000 },
    );
    expect(preemptions).toBeGreaterThan(500);
    expect(discarded).toBeGreaterThan(500);
    expect(atLength).toBeGreaterThan(100);
  });

  it.each([
    ["hides a host that is faster than the GPU", 60, 200],
    ["leaves a GPU that is faster than the host to wait for it", 200, 60],
  ])("%s", async (_, hostUs, gpuUs) => {
    const request = [{ arrivalUs: 0, inputTokens: 30, outputTokens: 100 }];
    const { timer } = timerOf(() => ({ hostUs, gpuUs }));
    const { metrics, deployment } = await run(request, timer);
    expect(deployment.asyncScheduling).toBe(true);
    expect(metrics.ttftMs.max).toBeCloseTo((hostUs + gpuUs) / 1000, 9);
    expect(metrics.itlMs.min).toBeCloseTo(Math.max(hostUs, gpuUs) / 1000, 9);
    expect(metrics.itlMs.max).toBeCloseTo(Math.max(hostUs, gpuUs) / 1000, 9);
    // The GPU waits for what of the host's time is longer, and for all of it at first.
    expect(metrics.steps).toBe(101);
    const exposedUs = hostUs + 100 * Math.max(0, hostUs - gpuUs);
    expect(metrics.stepTimeShare.host).toBeCloseTo(exposedUs / (exposedUs + 101 * gpuUs), 9);
    const { metrics: waits } = await run(request, timer, { asyncScheduling: false });
    expect(waits.itlMs.max).toBeCloseTo((hostUs + gpuUs) / 1000, 9);
    expect(waits.steps).toBe(100);
  });

  it("gives a request that ended a place in one more step, unless its length says that it ends", async () => {
    const requests = [
      { arrivalUs: 0, inputTokens: 10, outputTokens: 2 },
      { arrivalUs: 0, inputTokens: 20, outputTokens: 3 },
    ];
    const { timer, steps } = timerOf(() => ({ hostUs: 5, gpuUs: 100 }));
    await run(requests, timer);
    expect(steps.map(({ kvLens }) => kvLens)).toEqual([[10, 20], [11, 21], [12, 22], [23]]);
    steps.length = 0;
    await run(requests, timer, { maxContextTokens: 23 });
    // 20 + 3 tokens are all that fit: the last one is never computed.
    expect(steps.map(({ kvLens }) => kvLens)).toEqual([
      [10, 20],
      [11, 21],
      [12, 22],
    ]);
  });

  it("of a replica that gives requests away asks for one token", async () => {
    const requests = Array.from({ length: 12 }, (_, i) => ({ arrivalUs: 40 * i, inputTokens: 20, outputTokens: 5 }));
    const { timer, steps } = timerOf(() => ({ hostUs: 5, gpuUs: 100 }));
    const { metrics } = await run(requests, timer, {
      replicas: 2,
      disaggregation: { prefillReplicas: 1, kvTransferGBps: 1 },
    });
    expect(metrics.completed).toBe(12);
    const computed = total(steps.map(({ qoLens }) => total(qoLens)));
    // Prompts, four more tokens each, and a place that each leaves behind on the decode replica alone.
    expect(computed).toBe(12 * (20 + 4 + 1));
  });

  it("takes requests that come while only what is thrown away is in flight", async () => {
    const { timer } = timerOf(() => ({ hostUs: 5, gpuUs: 100 }));
    const requests = [0, 150, 320, 4000].map((arrivalUs) => ({ arrivalUs, inputTokens: 4, outputTokens: 1 }));
    const { metrics, requests: records } = await run(requests, timer);
    expect(metrics.completed).toBe(4);
    // The first step ends at 105, the extra place of its request at 205: who arrives at 150 is scheduled then.
    expect(records!.scheduledUs).toEqual([0, 205, 410, 4000]);
    const closed = await replay({
      trace: traceOf(requests),
      deployment: { model: tinyModel, gpu, attention: "balanced", kvBlocks: 100, asyncScheduling: true },
      stepTimer: timer,
      concurrency: 1,
    });
    expect(closed.metrics.completed).toBe(4);
  });

  it("shows host and GPU side by side in trace events", async () => {
    let text = "";
    const events = new ReplayTraceEvents((part) => {
      text += part;
    });
    const { timer } = timerOf(() => ({ hostUs: 60, gpuUs: 100 }));
    const report = await run([{ arrivalUs: 0, inputTokens: 9, outputTokens: 5 }], timer, {}, (step) =>
      events.step(step),
    );
    events.end(report);
    const { traceEvents } = JSON.parse(text) as { traceEvents: { cat?: string; ts: number; dur: number }[] };
    const of = (cat: string) => traceEvents.filter((event) => event.cat === cat).map(({ ts, dur }) => [ts, ts + dur]);
    expect(of("host").slice(0, 3)).toEqual([
      [0, 60],
      [60, 120],
      [160, 220],
    ]);
    expect(of("step").slice(0, 3)).toEqual([
      [60, 160],
      [160, 260],
      [260, 360],
    ]);
  });

  it("is refused where the model of it does not reach", () => {
    const refusal = (options: object) => () =>
      resolveDeployment({
        model: tinyModel,
        gpu,
        attention: "balanced",
        kvBlocks: 100,
        asyncScheduling: true,
        ...options,
      });
    expect(refusal({})).not.toThrow();
    expect(refusal({ batching: "orca" })).toThrow("asyncScheduling is true, expected false with orca batching");
    expect(refusal({ pipelineParallel: 2 })).toThrow("expected false in a pipeline");
    expect(refusal({ speculation: { tokens: 2, acceptanceRate: 0.5 } })).toThrow("false with speculative decoding");
    const moe = { experts: 8, expertsPerToken: 2, sharedExperts: 0, expertIntermediateSize: 64, denseLayers: 0 };
    const spread = { model: { ...tinyModel, moe }, replicas: 2, expertParallel: 2 };
    expect(refusal(spread)).toThrow("expected false where replicas step together");
  });

  it("brings small batches nearer to what the GPU alone takes", async () => {
    const model = findModel("llama-3.1-8b");
    const profile = findProfile("h100-sxm");
    const requests = Array.from({ length: 20 }, (_, i) => ({
      arrivalUs: 9000 * i,
      inputTokens: 300,
      outputTokens: 60,
    }));
    const served = (asyncScheduling: boolean) =>
      run(requests, createStepTimer({ kind: "analytic", model, profile }), {
        model,
        gpu: gpuFacts(profile),
        kvBlocks: undefined,
        asyncScheduling,
      });
    const [waits, ahead] = [await served(false), await served(true)];
    const hostMs = profile.host.stepUs.value / 1000;
    expect(ahead.metrics.itlMs.median! + 0.9 * hostMs).toBeLessThan(waits.metrics.itlMs.median!);
    expect(ahead.metrics.stepTimeShare.host).toBeLessThan(0.05 * waits.metrics.stepTimeShare.host);
  });
});
