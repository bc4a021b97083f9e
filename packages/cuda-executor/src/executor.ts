// CudaExecutor: the Executor port on an NVIDIA GPU.

import {
  type AttentionShape,
  type AttentionTensors,
  type Device,
  type DeviceInfo,
  DTYPES,
  type Execution,
  type Executor,
  ExecutorClosedError,
  InvalidTensorError,
  lengthsOf,
  Piece,
  type Plan,
} from "@isochron/planner";
import type {
  ContextHandle,
  NativeAddon,
  NativeBinding,
  NativeDeviceInfo,
  NativeTrace,
  SessionHandle,
} from "./binding.ts";
import { requireCuda } from "./binding.ts";
import { hopperCosts } from "./costs.ts";
import { awaiting, calling, UnsupportedPlanError } from "./errors.ts";
import { CapturedGraph, type CaptureOptions, type LayerTensors } from "./graph.ts";
import { DeviceTensor, fromBits, toBits } from "./tensors.ts";
import { measuredTimeline } from "./timeline.ts";
import { WeakMembers } from "./weak-members.ts";

export interface CudaExecutorOptions {
  /** Index of the device; 0 unless given. */
  readonly device?: number;
}

export interface ExecuteOptions {
  /** Runs the instrumented kernel and returns a measured timeline. */
  readonly timeline?: boolean;
  /** Key and value are [pages, kvHeads, pageSize, headDim] rather than [pages, pageSize, kvHeads, headDim]. */
  readonly headMajor?: boolean;
}

/** Sessions that eager execution keeps; chosen: one for each shape that a test or tool alternates between. */
const KEPT_SESSIONS = 4;

/** Runs plans on one GPU. Calls queue work and return; several executors and several calls in flight are ordinary. */
export class CudaExecutor implements Executor {
  readonly device: DeviceInfo;
  /** What the driver says about the device. */
  readonly properties: NativeDeviceInfo;
  private readonly addon: NativeAddon;
  private context: ContextHandle | undefined;
  private readonly tensors: WeakMembers<DeviceTensor> = new WeakMembers();
  private readonly graphs: WeakMembers<CapturedGraph> = new WeakMembers();
  private readonly sessions: Map<string, SessionHandle> = new Map();

  private constructor(addon: NativeAddon, context: ContextHandle) {
    this.addon = addon;
    this.context = context;
    this.properties = addon.deviceInfo(context);
    const { name, smCount, memoryBytes } = this.properties;
    this.device = { name, kind: "cuda", smCount, memoryBytes };
  }

  /** Opens a device. Throws CudaUnavailableError, with what is missing, where there is none. */
  static open(options: CudaExecutorOptions = {}): CudaExecutor {
    const addon = requireCuda();
    return new CudaExecutor(
      addon,
      calling(() => addon.open(options.device ?? 0)),
    );
  }

  /** Bytes of device memory that this executor holds. */
  get bytesInUse(): number {
    return this.addon.deviceInfo(this.handle).bytesInUse;
  }

  /** The device as the planner needs it for a shape: workers that are resident, and what their pieces cost. */
  plannerDevice(attention: AttentionShape): Device {
    const needs = this.addon.kernelNeeds(attention.headDim, DTYPES.indexOf(attention.dtype));
    if (needs === null) throw new UnsupportedPlanError(`head dimension ${attention.headDim} in ${attention.dtype}`);
    const { name, smCount } = this.device;
    const { largestTile } = needs;
    const costModel = hopperCosts(attention);
    const queryTiles = costModel.queryTiles.filter((tile) => tile.rows <= largestTile);
    return { name, smCount, ctasPerSm: needs.ctasPerSm, costModel: { ...costModel, queryTiles } };
  }

  /** Device memory of `byteLength` bytes, not initialised. Throws CudaOutOfMemoryError. */
  tensor(byteLength: number): DeviceTensor {
    const { addon, handle } = this;
    const tensor = new DeviceTensor(
      addon,
      calling(() => addon.allocate(handle, byteLength)),
      byteLength,
    );
    this.tensors.add(tensor);
    return tensor;
  }

  /** Device memory with a copy of `data`. */
  async upload(data: ArrayBufferView): Promise<DeviceTensor> {
    const tensor = this.tensor(data.byteLength);
    await tensor.write(data);
    return tensor;
  }

  /** Runs one plan on tensors of the host: uploads, launches, downloads. */
  async execute(plan: Plan, tensors: AttentionTensors, options: ExecuteOptions = {}): Promise<Execution> {
    const { addon } = this;
    const session = this.sessionFor(plan);
    const owned: DeviceTensor[] = [];
    try {
      const { binding, output, lse } = await this.bindHost(plan, tensors, options, owned);
      const bytes = new Uint8Array(plan.buffer);
      if (options.timeline === true) {
        const trace = await this.retry(() => addon.trace(session, bytes, binding));
        const { device } = this;
        const generator = { version: "0.1.0", command: "CudaExecutor.execute" };
        const timeline = measuredTimeline(plan, trace, device, generator);
        return { ...(await download(plan, output, lse)), durationUs: trace.durationUs, timeline };
      }
      const durationUs = await this.retry(() => addon.launch(session, bytes, binding));
      return { ...(await download(plan, output, lse)), durationUs };
    } finally {
      for (const tensor of owned) tensor.close();
    }
  }

  /**
   * Records one graph over `layers`, for every plan with the capacities and the attention shape of `plan` (any plan of
   * the budget, an empty one too).
   */
  capture(plan: Plan, layers: readonly LayerTensors[], options: CaptureOptions = {}): CapturedGraph {
    const { addon, handle } = this;
    const session = calling(() => addon.createSession(handle, new Uint8Array(plan.buffer)));
    const graph = calling(() => addon.capture(session, layers.map(nativeBinding), options.dependent ?? true));
    const captured = new CapturedGraph(addon, session, graph);
    this.graphs.add(captured);
    return captured;
  }

  /** Runs the instrumented kernel once on each layer and returns what the last one wrote. */
  async trace(plan: Plan, layers: readonly LayerTensors[]): Promise<NativeTrace> {
    const { addon, handle } = this;
    const bytes = new Uint8Array(plan.buffer);
    const session = calling(() => addon.createSession(handle, bytes));
    try {
      let trace: NativeTrace | undefined;
      for (const layer of layers) trace = await this.retry(() => addon.trace(session, bytes, nativeBinding(layer)));
      if (trace === undefined) throw new RangeError("layers is empty, expected at least one");
      return trace;
    } finally {
      addon.releaseSession(session);
    }
  }

  /** Resolves when everything queued so far is done. */
  drain(): Promise<void> {
    const { addon, handle } = this;
    return awaiting(calling(() => addon.drain(handle)));
  }

  /** The addon and its handle, for tools that measure (calibration, benchmarks). */
  get native(): { readonly addon: NativeAddon; readonly context: ContextHandle } {
    return { addon: this.addon, context: this.handle };
  }

  /** Waits for what runs, frees everything. Later calls throw ExecutorClosedError. Closing twice is fine. */
  async close(): Promise<void> {
    const { context, addon } = this;
    if (context === undefined) return;
    this.context = undefined;
    try {
      await awaiting(calling(() => addon.drain(context)));
    } finally {
      for (const graph of this.graphs) graph.close();
      for (const session of this.sessions.values()) addon.releaseSession(session);
      for (const tensor of this.tensors) tensor.close();
      this.sessions.clear();
      addon.closeContext(context);
    }
  }

  private get handle(): ContextHandle {
    if (this.context === undefined) throw new ExecutorClosedError();
    return this.context;
  }

  /** The session of a plan's shape and capacities, made on first use. */
  private sessionFor(plan: Plan): SessionHandle {
    const { addon, handle, sessions } = this;
    const key = `${plan.fingerprint}/${hasTallTiles(plan)}`;
    let session = sessions.get(key);
    if (session !== undefined) {
      sessions.delete(key);
    } else {
      if (sessions.size >= KEPT_SESSIONS) {
        const oldest = sessions.keys().next().value!;
        addon.releaseSession(sessions.get(oldest)!);
        sessions.delete(oldest);
      }
      session = calling(() => addon.createSession(handle, new Uint8Array(plan.buffer)));
    }
    sessions.set(key, session);
    return session;
  }

  /** Uploads host tensors in the plan's dtype. `owned` gets every tensor that was made, also when this throws. */
  private async bindHost(
    plan: Plan,
    tensors: AttentionTensors,
    options: ExecuteOptions,
    owned: DeviceTensor[],
  ): Promise<{ binding: NativeBinding; output: DeviceTensor; lse: DeviceTensor }> {
    const { attention } = plan;
    const pages = checkHostTensors(plan, tensors);
    const upload = async (data: ArrayBufferView): Promise<DeviceTensor> => {
      const tensor = this.tensor(data.byteLength);
      owned.push(tensor);
      await tensor.write(data);
      return tensor;
    };
    const query = await upload(toBits(tensors.query, attention.dtype));
    const key = await upload(toBits(tensors.key, attention.dtype));
    const value = await upload(toBits(tensors.value, attention.dtype));
    const pageIndices = await upload(Int32Array.from(tensors.pageIndices));
    const queryTokens = tensors.query.length / (attention.queryHeads * attention.headDim);
    const output = this.tensor(tensors.query.length * 2);
    const lse = this.tensor(queryTokens * attention.queryHeads * 4);
    owned.push(output, lse);
    const sinks =
      attention.sinks === true
        ? await upload(
            Float32Array.from(
              tensors.sinks instanceof Uint16Array ? fromBits(tensors.sinks, attention.dtype) : tensors.sinks!,
            ),
          )
        : undefined;
    const layer: LayerTensors = {
      query,
      key,
      value,
      output,
      lse,
      pageIndices,
      ...(sinks === undefined ? {} : { sinks }),
      queryTokens,
      pages,
      pageTableLength: tensors.pageIndices.length,
      headMajor: options.headMajor ?? false,
      ...(tensors.softmaxScale === undefined ? {} : { softmaxScale: tensors.softmaxScale }),
    };
    return { binding: nativeBinding(layer), output, lse };
  }

  /** Calls until a staging slot is free. */
  private async retry<T>(call: () => Promise<T> | null): Promise<T> {
    for (;;) {
      const done = calling(call);
      if (done !== null) return await awaiting(done);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Plans with tiles of more than 16 rows run on another kernel. */
function hasTallTiles(plan: Plan): boolean {
  for (let i = 0; i < plan.pieceRecordCount; i++) {
    if (plan.pieces[i * Piece.stride + Piece.rows]! >>> 16 > 16) return true;
  }
  return false;
}

function nativeBinding(layer: LayerTensors): NativeBinding {
  const { query, key, value, output, lse, pageIndices, sinks, offsets } = layer;
  return {
    query: query.handle,
    key: key.handle,
    value: value.handle,
    output: output.handle,
    lse: lse.handle,
    pageIndices: pageIndices.handle,
    ...(sinks === undefined ? {} : { sinks: sinks.handle }),
    queryOffset: offsets?.query ?? 0,
    keyOffset: offsets?.key ?? 0,
    valueOffset: offsets?.value ?? 0,
    outputOffset: offsets?.output ?? 0,
    lseOffset: offsets?.lse ?? 0,
    pageIndexOffset: offsets?.pageIndices ?? 0,
    queryTokens: layer.queryTokens,
    pages: layer.pages,
    pageTableLength: layer.pageTableLength,
    headMajor: layer.headMajor ?? false,
    historyIsReady: layer.historyIsReady ?? true,
    ...(layer.softmaxScale === undefined ? {} : { softmaxScale: layer.softmaxScale }),
  };
}

async function download(
  plan: Plan,
  output: DeviceTensor,
  lse: DeviceTensor,
): Promise<{ output: Float32Array; lse: Float32Array }> {
  const bits = await output.read(new Uint16Array(output.byteLength / 2));
  return {
    output: fromBits(bits, plan.attention.dtype),
    lse: await lse.read(new Float32Array(lse.byteLength / 4)),
  };
}

/** Throws InvalidTensorError where a tensor does not fit the plan; returns the number of pages. */
function checkHostTensors(plan: Plan, tensors: AttentionTensors): number {
  const { attention } = plan;
  const { queryHeads, kvHeads, headDim, pageSize } = attention;
  const { qoLens, kvLens } = lengthsOf(plan);
  const tokens = qoLens.reduce((sum, length) => sum + length, 0);
  const expect = (name: string, length: number | undefined, expected: number): void => {
    if (length !== expected) throw new InvalidTensorError(name, `${length ?? 0} elements`, String(expected));
  };
  expect("query", tensors.query.length, tokens * queryHeads * headDim);
  const pageElements = pageSize * kvHeads * headDim;
  if (tensors.key.length % pageElements !== 0) {
    throw new InvalidTensorError("key", `${tensors.key.length} elements`, `a multiple of ${pageElements} (one page)`);
  }
  expect("value", tensors.value.length, tensors.key.length);
  expect("pageIndptr", tensors.pageIndptr.length, qoLens.length + 1);
  if (attention.sinks === true) expect("sinks", tensors.sinks?.length, queryHeads);
  const pages = tensors.key.length / pageElements;
  checkPageIndices(tensors.pageIndices, pages);
  for (let i = 0; i < kvLens.length; i++) {
    const has = tensors.pageIndptr[i + 1]! - tensors.pageIndptr[i]!;
    const needed = Math.ceil(kvLens[i]! / pageSize);
    if (has < needed) throw new InvalidTensorError("pageIndptr", `${has} pages for request ${i}`, `at least ${needed}`);
  }
  return pages;
}

/** Throws InvalidTensorError at the first page id outside the cache. Run it before a page table goes to the device. */
export function checkPageIndices(pageIndices: ArrayLike<number>, pages: number): void {
  for (let i = 0; i < pageIndices.length; i++) {
    const page = pageIndices[i]!;
    if (!(page >= 0 && page < pages)) {
      throw new InvalidTensorError("pageIndices", `page ${page} at ${i}`, `a page from 0 to ${pages - 1}`);
    }
  }
}
