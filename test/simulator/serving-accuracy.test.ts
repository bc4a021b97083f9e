import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  findModel,
  findProfile,
  LayerTimesError,
  MeasuredTimer,
  rankAttention,
  readLayerTimes,
} from "@isochron/simulator";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = new URL("../../packages/simulator/validation/", import.meta.url);
const tables = fileURLToPath(new URL("data/llmservingsim/RTXPRO6000_meta-llama_Llama-3.1-8B_bf16_tp1", folder));

interface Gap {
  readonly steps: number;
  readonly measuredMs: number;
  readonly simulatedMs: number;
}

interface Side {
  readonly tail: readonly Gap[];
  readonly preemptions: number;
}

interface Run {
  readonly name: string;
  readonly simulated: Side;
  readonly even: Side;
}

describe("replays of two vLLM runs", async () => {
  const { vllmRuns } = (await import(new URL("serving-runs.mjs", folder).href)) as {
    vllmRuns(data: URL): Promise<Run[]>;
  };
  const runs = await vllmRuns(new URL("data/", folder));

  test("seeing each request halves the error of the RTX PRO 6000's steps, beside a model of even batches", () => {
    const { simulated, even } = runs.find((run) => run.name === "RTX PRO 6000")!;
    const typical = ({ tail }: Side) => {
      const errors = tail
        .filter(({ steps }) => steps <= 6)
        .map((gap) => Math.abs(gap.simulatedMs / gap.measuredMs - 1))
        .sort((a, b) => a - b);
      expect(errors.length).toBeGreaterThan(50);
      return errors[Math.floor(errors.length * 0.9)]!;
    };
    expect(typical(simulated)).toBeLessThan(typical(even) / 2);
  });

  test("the run that is short of KV blocks preempts about as often as vLLM did", () => {
    // LLMServingSim's exact port of the scheduler counts 194.
    expect(Math.abs(runs.find((run) => run.name === "RTX 4090")!.simulated.preemptions - 194)).toBeLessThan(10);
  });
});

describe("the measured timer", () => {
  const model = findModel("llama-3.1-8b");
  const profile = findProfile("rtx-pro-6000");
  const timer = (graphTokens: number) =>
    new MeasuredTimer(model, profile, rankAttention(model, 1, 16), readLayerTimes(tables), { graphTokens });
  const decodes = (kvLens: number[]) => ({
    count: kvLens.length,
    qoLens: new Int32Array(kvLens.length).fill(1),
    kvLens: Int32Array.from(kvLens),
    tokens: kvLens.length,
    sampled: kvLens.length,
  });

  test("gives an even eager batch the time that was measured", () => {
    // attention.csv: 64 decodes behind 1,024 tokens, 221.237 µs.
    expect(timer(0).time(decodes(new Array(64).fill(1025))).attentionUs / 32).toBeCloseTo(221.237, 6);
  });

  test("charges more for the same tokens in one long request", () => {
    const even = timer(0).time(decodes(new Array(64).fill(1024))).attentionUs;
    const uneven = timer(0).time(decodes([...new Array(63).fill(910), 8206])).attentionUs;
    expect(uneven).toBeGreaterThan(1.1 * even);
  });

  test("pads what a captured graph replays to its size", () => {
    const graph = timer(256);
    const gemms = (count: number) => graph.time(decodes(new Array(count).fill(500))).gemmUs;
    expect(gemms(33) - gemms(40)).toBeLessThan(0);
    expect(gemms(40) - gemms(33)).toBeLessThan(20);
  });

  test("of a step does not depend on the steps before it", () => {
    const step = decodes([100, 5000, 300, 900]);
    const one = timer(256);
    one.time(decodes([40, 7, 8000]));
    expect(one.time(step).durationUs).toBe(timer(256).time(step).durationUs);
  });
});

describe("tables of layer times", () => {
  test("that lack a file, a column or a number say where", () => {
    const empty = temporaryFolder();
    expect(() => readLayerTimes(empty)).toThrow(LayerTimesError);
    expect(() => readLayerTimes(empty)).toThrow(/dense\.csv: does not exist/);
    writeFileSync(join(empty, "dense.csv"), "layer,tokens,time_us\nqkv_proj,1,10\nqkv_proj,2,ten\n");
    expect(() => readLayerTimes(empty)).toThrow(/line 3: time_us is "ten", expected a number/);
    writeFileSync(join(empty, "dense.csv"), "layer,tokens,time_us\nqkv_proj,2,10\nqkv_proj,1,11\n");
    expect(() => readLayerTimes(empty)).toThrow(/line 3: tokens of qkv_proj are not ascending/);
  });
});
