import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { CudaExecutor, CudaUnavailableError, cudaStatus } from "@isochron/cuda-executor";
import { describe, expect, it } from "vitest";
import { hasAddon } from "./support.ts";

const installScript = fileURLToPath(new URL("../../packages/cuda-executor/scripts/install.mjs", import.meta.url));

describe("a machine without CUDA", () => {
  it("is told what each of toolkit, addon, driver and device is, and what to do about it", () => {
    const status = cudaStatus();
    expect(status.map((item) => item.name)).toEqual(["toolkit", "addon", "driver", "device"]);
    for (const item of status) expect(item.found).not.toBe("");
    expect(status.find((item) => item.name === "addon")!.ok).toBe(hasAddon);
  });

  it.skipIf(cudaStatus().every((item) => item.ok))("gets CudaUnavailableError with the part that is missing", () => {
    const missing = cudaStatus().find((item) => item.name !== "toolkit" && !item.ok)!.name;
    try {
      CudaExecutor.open();
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(CudaUnavailableError);
      expect((error as CudaUnavailableError).missing).toBe(missing);
    }
  });

  it("installs with one line and exit code 0 where there is no toolkit", () => {
    const result = spawnSync(process.execPath, [installScript], {
      env: { PATH: "", CUDA_HOME: "/nonexistent" },
      encoding: "utf8",
    });
    expect(result.status).toBe(0);
    expect(result.stdout.trim().split("\n")).toHaveLength(1);
    expect(result.stdout).toContain("no CUDA toolkit found");
  });
});
