// What a result was measured on: device, driver, clocks, toolkit, commit, date.

import { execFileSync } from "node:child_process";
import type { CudaExecutor } from "@isochron/cuda-executor";

export interface Machine {
  readonly device: string;
  readonly smCount: number;
  readonly l2Bytes: number;
  readonly memoryBytes: number;
  /** Largest clocks as the driver gives them, and as they stand; MHz. */
  readonly maxClocks: string;
  readonly clocks: string;
  readonly driver: string;
  readonly cudaRuntime: number;
  readonly commit: string;
  readonly date: string;
}

export function machine(executor: CudaExecutor): Machine {
  const { properties, native } = executor;
  const query = (fields: string): string => run("nvidia-smi", [`--query-gpu=${fields}`, "--format=csv,noheader"]);
  return {
    device: properties.name,
    smCount: properties.smCount,
    l2Bytes: properties.l2Bytes,
    memoryBytes: properties.memoryBytes,
    maxClocks: query("clocks.max.sm,clocks.max.mem"),
    clocks: query("clocks.sm,clocks.mem"),
    driver: query("driver_version"),
    cudaRuntime: native.addon.status().runtimeVersion,
    commit: process.env["ISOCHRON_COMMIT"] ?? run("git", ["rev-parse", "--short", "HEAD"]),
    date: new Date().toISOString(),
  };
}

function run(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}
