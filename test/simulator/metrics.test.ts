import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replay, reportSchema, traceOf, writeReport } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { gpu, timerOf, tinyModel } from "./helpers.ts";

/**
 * Two requests by hand. Every step takes 10 ms.
 *   0 arrives at 0 ms with 4 tokens, 3 to answer: steps at 0, 10 and 20 ms, tokens at 10, 20 and 30 ms.
 *   1 arrives at 5 ms with 6 tokens, 2 to answer: waits until 10 ms, tokens at 20 and 30 ms.
 *   2 arrives at 50 ms with 2 tokens, 1 to answer: token at 60 ms.
 */
const trace = () =>
  traceOf([
    { arrivalUs: 0, inputTokens: 4, outputTokens: 3 },
    { arrivalUs: 5000, inputTokens: 6, outputTokens: 2 },
    { arrivalUs: 50_000, inputTokens: 2, outputTokens: 1 },
  ]);

const run = (slo = {}) =>
  replay({
    trace: trace(),
    deployment: { model: tinyModel, gpu, attention: "balanced", kvBlocks: 11, blockSizeTokens: 2, slo },
    stepTimer: timerOf(() => 10_000, { attentionUs: 4000, attentionImbalance: 1.5, smBusyFraction: 0.5 }),
  });

describe("the metrics of three requests computed by hand", () => {
  it("follow vLLM's definitions", async () => {
    const { metrics } = await run();
    expect(metrics).toMatchObject({
      completed: 3,
      rejected: 0,
      unfinished: 0,
      durationS: 0.06,
      inputTokens: 12,
      outputTokens: 6,
      requestThroughput: 3 / 0.06,
      outputTokenThroughput: 6 / 0.06,
      totalTokenThroughput: 18 / 0.06,
      goodput: null,
      preemptions: 0,
      recomputedTokens: 0,
      steps: 4,
      peakConcurrency: 2,
    });
    // TTFT 10, 15, 10; TPOT 10, 10 and none for a single token; gaps 10, 10 and 10; E2E 30, 25, 10; queue 0, 5, 0.
    expect(metrics.ttftMs).toMatchObject({ mean: 35 / 3, median: 10, min: 10, max: 15, p90: 14 });
    expect(metrics.ttftMs.std).toBeCloseTo(Math.sqrt(50 / 9), 9);
    expect(metrics.tpotMs).toMatchObject({ mean: 10, median: 10, std: 0 });
    expect(metrics.itlMs).toMatchObject({ mean: 10, p99: 10 });
    expect(metrics.e2eMs).toMatchObject({ median: 25, min: 10, max: 30, p75: 27.5 });
    expect(metrics.queueMs).toMatchObject({ mean: 5 / 3, max: 5 });
    expect(metrics.meanConcurrency).toBeCloseTo(65 / 60, 12);
    // Batches of 1, 2, 2, 1; tokens 4, 1 + 6, 1 + 1, 2.
    expect(metrics.batchSize).toEqual({ mean: 1.5, max: 2 });
    expect(metrics.tokensPerStep).toEqual({ mean: 15 / 4, max: 7 });
    // Blocks of 2 tokens: 2; 3 + 3; 3 + 4; 1, of 10.
    expect(metrics.kvUsage.max).toBeCloseTo(0.7, 12);
    expect(metrics.kvUsage.mean).toBeCloseTo(16 / 40, 12);
    expect(metrics.smBusyFraction).toBe(0.5);
    expect(metrics.attentionImbalance).toEqual({ mean: 1.5, max: 1.5 });
    expect(metrics.stepTimeShare.attention).toBeCloseTo(0.4, 12);
    expect(metrics.stepTimeShare.gemm).toBeCloseTo(0.6, 12);
  });

  it("count model flops and bytes over the busy time", async () => {
    const { metrics } = await run();
    // Per layer: Q, O 64 × 64; K, V 64 × 32; MLP 3 × 64 × 128. Two layers; 15 tokens; 6 sampled with a head of 64 × 100.
    const weights = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128);
    // (query, KV) pairs: 1+2+3+4; 5, 1+…+6; 6, 7; 1+2. Four flops for each of 4 heads × 16 in 2 layers.
    const pairs = 10 + 5 + 21 + 6 + 7 + 3;
    const flops = 2 * weights * 15 + 2 * 6400 * 6 + pairs * 4 * 4 * 16 * 2;
    expect(metrics.mfu).toBeCloseTo(flops / (0.04 * 989e12), 18);
    // KV tokens read: 4; 5 + 6; 6 + 7; 2. Each 2 layers × (K, V) × 2 heads × 16 × 2 bytes. Norms: 2 × 2 × 64 + 64.
    const bytes = 4 * 2 * (weights + 320 + 6400) + (4 + 11 + 13 + 2) * 2 * 2 * 2 * 16 * 2;
    expect(metrics.mbu).toBeCloseTo(bytes / (0.04 * 3350e9), 15);
  });

  it("count as good what meets every limit, equality included", async () => {
    const perSecond = async (slo: object): Promise<number> => (await run(slo)).metrics.goodput! * 0.06;
    expect(await perSecond({ ttftMs: 15 })).toBeCloseTo(3, 12);
    expect(await perSecond({ ttftMs: 14.9 })).toBeCloseTo(2, 12);
    expect(await perSecond({ ttftMs: 10, e2eMs: 20 })).toBeCloseTo(1, 12);
    // A single token has a TPOT of 0 here.
    expect(await perSecond({ tpotMs: 9 })).toBeCloseTo(1, 12);
  });
});

describe("a replay of which only metrics are wanted", () => {
  it("has those of one with everything, warnings included, and none of what is long", async () => {
    const replayed = (metricsOnly: boolean) =>
      replay({
        trace: traceOf(
          Array.from({ length: 60 }, (_, i) => ({ arrivalUs: 3000 * i, inputTokens: 1 + i * 3, outputTokens: 1 + i })),
        ),
        // The longest are rejected, and there are more than records are kept for.
        deployment: {
          model: tinyModel,
          gpu,
          attention: "balanced",
          kvBlocks: 40,
          blockSizeTokens: 4,
          slo: { ttftMs: 9 },
        },
        stepTimer: timerOf(({ tokens }) => 1000 + tokens, { attentionImbalance: 1.5, smBusyFraction: 0.5 }),
        recordLimit: 50,
        metricsOnly,
      });
    const [all, short] = [await replayed(false), await replayed(true)];
    expect(short.metrics).toEqual(all.metrics);
    expect(short.warnings).toEqual(all.warnings);
    expect(short.warnings.length).toBeGreaterThan(1);
    expect([short.trace, short.deployment]).toEqual([all.trace, all.deployment]);
    expect(all.steps.step.length).toBeGreaterThan(50);
    expect([short.steps.step, short.stepBatches, short.requests, short.itlCurveMs]).toEqual([
      [],
      [],
      undefined,
      undefined,
    ]);
    reportSchema.parse(short);
  });
});

describe("a report on disk", () => {
  it("is the document and one line per request, and leaves nothing else behind", async () => {
    const folder = join(temporaryFolder(), "deep");
    const report = await run();
    await writeReport(report, folder);
    expect(readdirSync(folder).sort()).toEqual(["report.json", "requests.jsonl"]);
    const document = JSON.parse(readFileSync(join(folder, "report.json"), "utf8"));
    const { requests: _, ...rest } = report;
    expect(reportSchema.parse(document)).toEqual(rest);
    const lines = readFileSync(join(folder, "requests.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { id: 0, status: "completed", arrivalUs: 0, firstTokenUs: 10_000, endUs: 30_000, firstStep: 0, lastStep: 2 },
      { id: 1, status: "completed", arrivalUs: 5000, scheduledUs: 10_000, firstTokenUs: 20_000, endUs: 30_000 },
      { id: 2, status: "completed", arrivalUs: 50_000, endUs: 60_000, inputTokens: 2, outputTokens: 1 },
    ]);
  });

  it("keeps no records of an earlier one, and both files where one cannot be written", async () => {
    const folder = temporaryFolder();
    const report = await run();
    await writeReport(report, folder);
    const { requests: _, ...without } = report;
    expect(await writeReport(without, folder)).toEqual([join(folder, "report.json")]);
    expect(readdirSync(folder)).toEqual(["report.json"]);

    const before = readFileSync(join(folder, "report.json"), "utf8");
    // What cannot be replaced by a file.
    mkdirSync(join(folder, `.requests.jsonl.${process.pid}.part`));
    await expect(writeReport({ ...report, partial: true }, folder)).rejects.toThrow("EISDIR");
    expect(readFileSync(join(folder, "report.json"), "utf8")).toBe(before);
    expect(readdirSync(folder)).toEqual([`.requests.jsonl.${process.pid}.part`, "report.json"]);
  });
});
