// Correctness on a GPU. Run with a device: npx vitest run --config test/gpu/vitest.config.ts
// (`npm run test:gpu` runs the same checks without vitest, and so does the bundle's run.sh.)

import { CudaExecutor, cudaStatus } from "@isochron/cuda-executor";
import { afterAll, beforeAll, describe, it } from "vitest";
import { CHECKS } from "../../packages/cuda-executor/bench/checks.ts";

const hasDevice = cudaStatus().every((item) => item.ok || item.name === "toolkit");

describe.skipIf(!hasDevice)("the CUDA executor", () => {
  const seed = Number(process.env["ISOCHRON_SEED"] ?? Date.now() % 1_000_000);
  let executor: CudaExecutor;
  beforeAll(() => {
    executor = CudaExecutor.open();
    console.log(`${executor.device.name}, ISOCHRON_SEED=${seed}`);
  });
  afterAll(() => executor.close());
  for (const check of CHECKS) {
    it(check.name, { timeout: 600_000 }, () =>
      check.run({ executor, seed, scale: 1, progress: () => {}, report: (line) => console.log(line) }),
    );
  }
});
