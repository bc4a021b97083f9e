// What this machine has of the four things that the executor needs, for `isochron doctor`.

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cudaVersion, isDriverTooOld, loadAddon, type NativeAddon } from "./binding.ts";
import { CudaUnavailableError } from "./errors.ts";

/** One thing that the executor needs. */
export interface CudaStatusItem {
  readonly name: "toolkit" | "addon" | "driver" | "device";
  readonly ok: boolean;
  /** What was found, or what is missing. */
  readonly found: string;
  /** What to do where it is missing. */
  readonly advice?: string;
}

/** Toolkit, addon, driver and device, in this order. Never throws. The toolkit is needed to build the addon only. */
export function cudaStatus(): readonly CudaStatusItem[] {
  const nvcc = findToolkit();
  const toolkit: CudaStatusItem = nvcc
    ? { name: "toolkit", ok: true, found: nvcc }
    : {
        name: "toolkit",
        ok: false,
        found: "no nvcc on PATH or in CUDA_HOME (/usr/local/cuda unless set)",
        advice: "install a CUDA toolkit, version 12 or newer (needed to build the addon, not to run it)",
      };
  let addon: NativeAddon;
  try {
    addon = loadAddon();
  } catch (error) {
    const found = error instanceof CudaUnavailableError ? error.reason : String(error);
    const advice = nvcc ? "run `npm rebuild @isochron/cuda-executor`" : "install a CUDA toolkit first, then rebuild";
    const unknown = "unknown until the addon is built";
    return [
      toolkit,
      { name: "addon", ok: false, found, advice },
      { name: "driver", ok: false, found: unknown },
      { name: "device", ok: false, found: unknown },
    ];
  }
  const status = addon.status();
  const hasDriver = status.driverVersion > 0;
  return [
    toolkit,
    { name: "addon", ok: true, found: `built with CUDA ${cudaVersion(status.runtimeVersion)}` },
    driverItem(status),
    status.deviceCount > 0
      ? { name: "device", ok: true, found: deviceNames(addon, status.deviceCount) }
      : {
          name: "device",
          ok: false,
          found: status.error,
          advice:
            hasDriver && !isDriverTooOld(status)
              ? "check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
              : "see to the driver first",
        },
  ];
}

function driverItem(status: ReturnType<NativeAddon["status"]>): CudaStatusItem {
  const name = "driver";
  if (status.driverVersion === 0) {
    return { name, ok: false, found: "no NVIDIA driver", advice: "install the driver for your GPU" };
  }
  const supports = `supports CUDA ${cudaVersion(status.driverVersion)}`;
  if (!isDriverTooOld(status)) return { name, ok: true, found: supports };
  const found = `${supports}, the addon needs ${cudaVersion(status.runtimeVersion)}`;
  return { name, ok: false, found, advice: "update the driver, or rebuild the addon with an older toolkit" };
}

function deviceNames(addon: NativeAddon, count: number): string {
  const names: string[] = [];
  for (let i = 0; i < count; i++) {
    try {
      const context = addon.open(i);
      names.push(addon.deviceInfo(context).name);
      addon.closeContext(context);
    } catch (error) {
      names.push(`device ${i} (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  return names.join(", ");
}

/** Path of nvcc, or undefined. The same places as scripts/install.mjs. */
function findToolkit(): string | undefined {
  const home = process.env["CUDA_HOME"] ?? process.env["CUDA_PATH"] ?? "/usr/local/cuda";
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), join(home, "bin")];
  const names = process.platform === "win32" ? ["nvcc.exe"] : ["nvcc"];
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
}
