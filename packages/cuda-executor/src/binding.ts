// Finds and loads the addon, or explains why there is none.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { CudaUnavailableError } from "./errors.ts";

/** Opaque handles: native objects, freed by their release function or with the last reference. */
export type ContextHandle = object & { readonly __context?: never };
export type MemoryHandle = object & { readonly __memory?: never };
export type SessionHandle = object & { readonly __session?: never };
export type GraphHandle = object & { readonly __graph?: never };

/** Tensors of one launch as the addon takes them. Offsets in elements. */
export interface NativeBinding {
  readonly query: MemoryHandle;
  readonly key: MemoryHandle;
  readonly value: MemoryHandle;
  readonly output: MemoryHandle;
  readonly lse: MemoryHandle;
  readonly pageIndices: MemoryHandle;
  readonly sinks?: MemoryHandle;
  readonly queryOffset?: number;
  readonly outputOffset?: number;
  readonly lseOffset?: number;
  readonly keyOffset?: number;
  readonly valueOffset?: number;
  readonly pageIndexOffset?: number;
  readonly pageTableLength: number;
  readonly queryTokens: number;
  readonly pages: number;
  readonly headMajor?: boolean;
  readonly historyIsReady?: boolean;
  readonly softmaxScale?: number;
}

export interface NativeDeviceInfo {
  readonly name: string;
  readonly smCount: number;
  readonly memoryBytes: number;
  readonly l2Bytes: number;
  /** Ten times major plus minor: 90 for Hopper. */
  readonly computeCapability: number;
  readonly clockKHz: number;
  readonly memoryClockKHz: number;
  /** Bytes that this executor has allocated. */
  readonly bytesInUse: number;
  /** Bytes of device memory that nobody has allocated, in any process. */
  readonly freeBytes: number;
}

/**
 * Eight numbers for each piece (or merge): start and end in µs, SM, worker; and SM cycles since its CTA began: first KV
 * tile there, last consumed, rows written, arrival counted (for merges: begin, end).
 */
export interface NativeTrace {
  readonly durationUs: number;
  readonly pieces: Float64Array;
  readonly merges: Float64Array;
}

export type PlanBytes = Uint8Array | Int32Array;

/** The functions of native/addon, in the order of its files. `null` results: all staging slots are in flight, try again after one is done. */
export interface NativeAddon {
  status(): { driverVersion: number; runtimeVersion: number; deviceCount: number; error: string };
  layoutTable(): Record<string, number | Record<string, number>>;
  checkPlan(plan: PlanBytes, pageTableLength: number, queryTokens: number): number;
  open(device: number): ContextHandle;
  closeContext(context: ContextHandle): void;
  deviceInfo(context: ContextHandle): NativeDeviceInfo;
  /** Looks for a slot before a worker leaves its merges to others, in later launches and captures. For tests. */
  setMergePatience(context: ContextHandle, looks: number): void;
  kernelNeeds(
    headDim: number,
    dtype: number,
  ): { threads: number; sharedBytes: number; ctasPerSm: number; largestTile: number } | null;
  allocate(context: ContextHandle, bytes: number): MemoryHandle;
  releaseMemory(memory: MemoryHandle): void;
  write(memory: MemoryHandle, byteOffset: number, data: ArrayBufferView): Promise<void>;
  read(memory: MemoryHandle, byteOffset: number, target: ArrayBufferView): Promise<void>;
  fill(memory: MemoryHandle, byte: number): void;
  fillNormal(memory: MemoryHandle, elementOffset: number, elements: number, seed: number, dtype: number): void;
  createSession(context: ContextHandle, plan: PlanBytes): SessionHandle;
  releaseSession(session: SessionHandle): void;
  sessionInfo(session: SessionHandle): { workspaceBytes: number; uploadedBytes: number };
  launch(session: SessionHandle, plan: PlanBytes, binding: NativeBinding): Promise<number> | null;
  trace(session: SessionHandle, plan: PlanBytes, binding: NativeBinding): Promise<NativeTrace> | null;
  capture(session: SessionHandle, bindings: readonly NativeBinding[], dependent: boolean): GraphHandle;
  releaseGraph(graph: GraphHandle): void;
  replay(graph: GraphHandle, plan: PlanBytes): Promise<number> | null;
  replayAndWait(graph: GraphHandle, plan: PlanBytes): number | null;
  queue(graph: GraphHandle, plan: PlanBytes): boolean;
  time(graph: GraphHandle, plan: PlanBytes, warmUps: number, repetitions: number): Promise<Float64Array> | null;
  timeGather(
    context: ContextHandle,
    key: MemoryHandle,
    value: MemoryHandle,
    pageIndices: MemoryHandle,
    pageTokens: MemoryHandle,
    entries: number,
    copies: number,
    pageSize: number,
    bytesPerToken: number,
    ctas: number,
    warmUps: number,
    repetitions: number,
  ): Promise<Float64Array>;
  /** Rejects with MISSING_LIBRARY where the machine has no cuBLAS. */
  timeGemm(
    context: ContextHandle,
    x: MemoryHandle,
    w: MemoryHandle,
    y: MemoryHandle,
    rows: number,
    n: number,
    k: number,
    isHalf: boolean,
    copies: number,
    warmUps: number,
    repetitions: number,
  ): Promise<Float64Array>;
  drain(context: ContextHandle): Promise<void>;
}

const BUILD_ADVICE = "install a CUDA toolkit (nvcc 12 or newer) and run `npm rebuild @isochron/cuda-executor`";

let loaded: NativeAddon | undefined;

/** Where the addon is looked for: `ISOCHRON_CUDA_ADDON` if set, else the package's own build folder. */
export function addonPath(): string {
  return (
    process.env["ISOCHRON_CUDA_ADDON"] ?? fileURLToPath(new URL("../build/Release/isochron_cuda.node", import.meta.url))
  );
}

/** The addon, loaded once. Needs no driver. Throws CudaUnavailableError where it is not built or cannot be loaded. */
export function loadAddon(): NativeAddon {
  if (loaded !== undefined) return loaded;
  const path = addonPath();
  if (!existsSync(path)) throw new CudaUnavailableError("addon", "its addon has not been built", BUILD_ADVICE);
  try {
    loaded = createRequire(import.meta.url)(path) as NativeAddon;
  } catch (error) {
    const reason = `its addon cannot be loaded (${error instanceof Error ? error.message : String(error)})`;
    throw new CudaUnavailableError("addon", reason, BUILD_ADVICE);
  }
  return loaded;
}

/** The addon of a machine that can run it. Throws CudaUnavailableError with the part that is missing. */
export function requireCuda(): NativeAddon {
  const addon = loadAddon();
  const status = addon.status();
  if (status.driverVersion === 0) {
    throw new CudaUnavailableError("driver", "no NVIDIA driver is installed", "install the driver for your GPU");
  }
  if (isDriverTooOld(status)) {
    const { driverVersion, runtimeVersion } = status;
    const reason = `the driver supports CUDA ${cudaVersion(driverVersion)}, the addon was built with ${cudaVersion(runtimeVersion)}`;
    throw new CudaUnavailableError("driver", reason, "update the driver, or rebuild the addon with an older toolkit");
  }
  if (status.deviceCount === 0) {
    const reason = `no CUDA device is usable (${status.error})`;
    throw new CudaUnavailableError("device", reason, "check `nvidia-smi` and CUDA_VISIBLE_DEVICES");
  }
  return addon;
}

/** Drivers run what was built with any toolkit of their own major version or an older one (CUDA's minor version compatibility). */
export function isDriverTooOld(status: { driverVersion: number; runtimeVersion: number }): boolean {
  return Math.floor(status.driverVersion / 1000) < Math.floor(status.runtimeVersion / 1000);
}

/** 13000 → "13.0". */
export function cudaVersion(encoded: number): string {
  return `${Math.floor(encoded / 1000)}.${Math.floor((encoded % 1000) / 10)}`;
}
