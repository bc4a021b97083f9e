import { findModel, gpuFacts, resolveDeployment } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { gpu } from "./helpers.ts";

const model = findModel("llama-3.1-8b");
const resolve = (options: object) => resolveDeployment({ model, gpu, attention: "balanced", ...options });

describe("a deployment", () => {
  it("has about the KV blocks that vLLM 0.19 found on an RTX 4090 of 25,250,627,584 bytes: 2,588", () => {
    // The run that the memory reserve comes from; what is held here is that the whole calculation gives it back.
    const { kvBlocks } = resolve({ gpu: { ...gpu, name: "rtx-4090", memoryBytes: 25_250_627_584 } }).description;
    expect(Math.abs(kvBlocks / 2588 - 1)).toBeLessThan(0.005);
  });

  it("has more blocks with more memory, more ranks and shorter steps, fewer with larger blocks", () => {
    const blocks = (options: object): number => resolve(options).description.kvBlocks;
    const base = blocks({});
    expect(blocks({ gpu: { ...gpu, memoryBytes: 100e9 } })).toBeGreaterThan(base);
    expect(blocks({ tensorParallel: 2 })).toBeGreaterThan(2 * base);
    expect(blocks({ maxBatchedTokens: 1024 })).toBeGreaterThan(base);
    expect(blocks({ blockSizeTokens: 32 })).toBe(Math.floor(base / 2));
    expect(blocks({ gpuMemoryUtilization: 0.8 })).toBeLessThan(base);
    expect(blocks({ kvBlocks: 123 })).toBe(123);
  });

  it("takes vLLM's defaults for large and for other GPUs", () => {
    const limits = (options: object) => resolve(options).limits;
    expect(limits({})).toMatchObject({ maxRunningRequests: 1024, maxBatchedTokens: 8192, maxContextTokens: 131_072 });
    for (const other of [{ name: "l40s", memoryBytes: 48e9 }, { name: "a100-sxm" }]) {
      expect(limits({ gpu: { ...gpu, ...other } })).toMatchObject({ maxRunningRequests: 256, maxBatchedTokens: 2048 });
    }
  });

  it("takes a GPU's facts from its profile", () => {
    const quantity = (value: number) => ({ value, source: "test" });
    const facts = gpuFacts({
      name: "some-gpu",
      device: { memoryBytes: quantity(48e9) },
      memory: { dataSheetGBps: quantity(800) },
      tensor: { peakTflops: { bf16: quantity(300) } },
    });
    expect(facts).toEqual({
      name: "some-gpu",
      memoryBytes: 48e9,
      memoryBandwidthGBps: 800,
      peakTensorTflops: { bf16: 300, fp16: 300 },
    });
  });
});
