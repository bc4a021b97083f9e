import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

  it.skipIf(!hasAddon)("with a driver that is older than the addon's toolkit is told both versions", () => {
    // A libcuda.so.1 that knows nothing but its age: the runtime asks it first.
    const folder = mkdtempSync(join(tmpdir(), "isochron-driver-"));
    const source = "int cuInit(unsigned f) { return 0; } int cuDriverGetVersion(int *v) { *v = 11040; return 0; }";
    writeFileSync(join(folder, "driver.c"), source);
    spawnSync("cc", ["-shared", "-fPIC", "-o", join(folder, "libcuda.so.1"), join(folder, "driver.c")]);
    const script = `
      import { CudaExecutor, cudaStatus } from "@isochron/cuda-executor";
      try { CudaExecutor.open(); } catch (error) {
        console.log(JSON.stringify({ missing: error.missing, message: error.message, status: cudaStatus() }));
      }`;
    const result = spawnSync(process.execPath, ["--conditions=node", "--input-type=module", "-e", script], {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      env: { ...process.env, LD_LIBRARY_PATH: folder },
      encoding: "utf8",
    });
    rmSync(folder, { recursive: true });
    expect(result.stderr).toBe("");
    const { missing, message, status } = JSON.parse(result.stdout);
    expect(missing).toBe("driver");
    expect(message).toMatch(/the driver supports CUDA 11\.4, the addon was built with \d+\.\d+; update the driver/);
    expect(status.find((item: { name: string }) => item.name === "driver").ok).toBe(false);
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
