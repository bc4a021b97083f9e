import { type BatchingName, replay, traceOf } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { gpu, loggingTimer, tinyModel } from "./helpers.ts";

interface Request {
  arrivalUs: number;
  inputTokens: number;
  outputTokens: number;
}

async function run(batching: BatchingName, requests: readonly Request[], options = {}) {
  const { timer, steps } = loggingTimer(() => 1000);
  const report = await replay({
    trace: traceOf(requests),
    deployment: {
      model: tinyModel,
      gpu,
      attention: "balanced",
      batching,
      kvBlocks: 1000,
      maxContextTokens: 1000,
      ...options,
    },
    stepTimer: timer,
  });
  return { report, steps };
}

describe("prefill-first", () => {
  it("never mixes prompts and single tokens in a step, and takes prompts first", async () => {
    const requests = Array.from({ length: 40 }, (_, i) => ({ arrivalUs: i * 700, inputTokens: 30, outputTokens: 9 }));
    const { steps } = await run("prefill-first", requests, { maxBatchedTokens: 50 });
    for (const { qoLens, kvLens } of steps) {
      const prompts = qoLens.filter((qoLen, i) => qoLen > 1 || kvLens[i]! <= 30);
      expect(prompts.length === 0 || prompts.length === qoLens.length).toBe(true);
    }
    const { report } = await run("prefill-first", requests);
    // Prompts wait for at most the step in flight and their own.
    expect(report.metrics.ttftMs.max).toBeLessThanOrEqual(2);
  });

  it("sends back the request with the shortest answer so far", async () => {
    // 12 blocks of 2: the older request is 4 tokens ahead when they run out.
    const { report } = await run(
      "prefill-first",
      [
        { arrivalUs: 0, inputTokens: 4, outputTokens: 16 },
        { arrivalUs: 4500, inputTokens: 4, outputTokens: 14 },
      ],
      { blockSizeTokens: 2, kvBlocks: 13, prefixCaching: false },
    );
    expect(report.requests!.preemptions[0]).toBe(0);
    expect(report.requests!.preemptions[1]).toBeGreaterThan(0);
  });
});

describe("orca and static", () => {
  const requests = [
    { arrivalUs: 0, inputTokens: 10, outputTokens: 3 },
    { arrivalUs: 0, inputTokens: 10, outputTokens: 8 },
    { arrivalUs: 500, inputTokens: 10, outputTokens: 2 },
  ];

  it("orca lets a request in when another leaves, static when all have left", async () => {
    const orca = await run("orca", requests, { maxRunningRequests: 2 });
    expect(orca.report.requests!.scheduledUs).toEqual([0, 0, 3000]);
    const batch = await run("static", requests, { maxRunningRequests: 2 });
    expect(batch.report.requests!.scheduledUs).toEqual([0, 0, 8000]);
  });

  it("admit no more than whole contexts fit, and never send anybody back", async () => {
    for (const batching of ["orca", "static"] as const) {
      const many = Array.from({ length: 30 }, () => ({ arrivalUs: 0, inputTokens: 50, outputTokens: 50 }));
      const { report } = await run(batching, many, { maxContextTokens: 128, blockSizeTokens: 16, kvBlocks: 25 });
      expect(report.metrics.batchSize.max).toBe(3);
      expect(report.warnings).toContain(
        `${batching}: the 128 tokens of a context are reserved for each request, so 3 run at a time; a shorter one lets more in`,
      );
      expect(report.metrics.preemptions).toBe(0);
      expect(report.metrics.completed).toBe(30);
    }
  });
});

describe("mlfq", () => {
  it("lets short answers overtake long ones without knowing which is which", async () => {
    const requests = [
      ...Array.from({ length: 4 }, () => ({ arrivalUs: 0, inputTokens: 10, outputTokens: 200 })),
      ...Array.from({ length: 20 }, (_, i) => ({ arrivalUs: 5000 + i * 1000, inputTokens: 10, outputTokens: 2 })),
    ];
    const limits = { maxRunningRequests: 4 };
    const shortEnds = async (batching: BatchingName): Promise<number> => {
      const { report } = await run(batching, requests, limits);
      expect(report.metrics.completed).toBe(24);
      return Math.max(...report.requests!.endUs.slice(4));
    };
    expect(await shortEnds("mlfq")).toBeLessThan(0.5 * (await shortEnds("vllm-v1")));
  });

  it("gets on under overload: who rises after a long wait does more than it has to compute again", async () => {
    // 300 prompts of six iterations, and room for ten of them.
    const requests = Array.from({ length: 300 }, (_, i) => ({
      arrivalUs: i * 1000,
      inputTokens: 3000,
      outputTokens: 200,
    }));
    const durationS = async (batching: BatchingName): Promise<number> => {
      const { report } = await run(batching, requests, {
        kvBlocks: 2000,
        maxContextTokens: 4000,
        maxBatchedTokens: 2048,
      });
      expect(report.metrics.completed).toBe(300);
      return report.metrics.durationS;
    };
    expect(await durationS("mlfq")).toBeLessThan(1.5 * (await durationS("vllm-v1")));
  });
});
