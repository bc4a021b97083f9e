import { describe, expect, test } from "vitest";

interface Row {
  readonly kernel: string;
  readonly case: string;
  readonly heads: string;
  readonly measuredUs: number;
  readonly simulatedUs: number;
}

const validation = new URL("../../packages/simulator/validation/", import.meta.url);
const rows: Row[] = (
  (await import(new URL("kernel-h100.mjs", validation).href)) as { kernelRows(data: URL): Row[] }
).kernelRows(new URL("data/", validation));

function medianError(kernel: string): number {
  const errors = rows
    .filter((row) => row.kernel === `H100 ${kernel}`)
    .map((row) => Math.abs(row.simulatedUs / row.measuredUs - 1))
    .sort((a, b) => a - b);
  expect(errors.length).toBeGreaterThan(30);
  return errors[errors.length >> 1]!;
}

describe("the kernel level against FlashInfer on one H100, from FlashInfer's own plans", () => {
  test.each([
    ["gather_read", 0.05],
    ["fi_holistic", 0.05],
    ["fi_tc", 0.05],
    ["fi_cuda", 0.1],
  ])("%s: median error of all decode cases", (kernel, most) => {
    expect(medianError(kernel)).toBeLessThan(most);
  });

  test.each(["32/8", "64/8"])("the cliff of the default decode with one long request, %s heads", (heads) => {
    const timeOf = (kernel: string) =>
      rows.find((row) => row.kernel === `H100 ${kernel}` && row.case === "dec_b64_128k_63x512" && row.heads === heads)!;
    const measured = timeOf("fi_tc").measuredUs / timeOf("gather_read").measuredUs;
    const simulated = timeOf("fi_tc").simulatedUs / timeOf("gather_read").simulatedUs;
    expect(measured).toBeGreaterThan(8);
    expect(Math.abs(simulated / measured - 1)).toBeLessThan(0.1);
  });
});
