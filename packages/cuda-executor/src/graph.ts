// A captured CUDA Graph: every plan of one budget can be replayed through it.
//
// Grid, shared memory and every pointer depend on the budget and the bound tensors alone; a replay uploads the plan's
// used prefix and launches the graph. Nothing waits: completion comes through an event.

import type { Plan } from "@isochron/planner";
import type { GraphHandle, NativeAddon, SessionHandle } from "./binding.ts";
import { awaiting, calling } from "./errors.ts";
import type { DeviceTensor } from "./tensors.ts";

/** Tensors of one attention layer, on the device. 16-bit elements of the plan's dtype; lse and sinks are float32. */
export interface LayerTensors {
  /** [queryTokens, queryHeads, headDim] */
  readonly query: DeviceTensor;
  /** [pages, pageSize, kvHeads, headDim], or with `headMajor` [pages, kvHeads, pageSize, headDim]; value alike. */
  readonly key: DeviceTensor;
  readonly value: DeviceTensor;
  /** [queryTokens, queryHeads, headDim] */
  readonly output: DeviceTensor;
  /** [queryTokens, queryHeads] */
  readonly lse: DeviceTensor;
  /** Int32; page ids are the caller's to keep within `pages` (`checkPageIndices`). */
  readonly pageIndices: DeviceTensor;
  /** [queryHeads] float32, natural-log units. */
  readonly sinks?: DeviceTensor;
  /** First element of each tensor, where several layers share one; 0 unless given. */
  readonly offsets?: {
    readonly query?: number;
    readonly key?: number;
    readonly value?: number;
    readonly output?: number;
    readonly lse?: number;
    readonly pageIndices?: number;
  };
  readonly queryTokens: number;
  readonly pages: number;
  /** Entries of the page table. */
  readonly pageTableLength: number;
  readonly headMajor?: boolean;
  /**
   * Only the last qoLen KV tokens of a request may be written by the kernel just before (the step's own append); all
   * older ones were there when the graph was launched. A dependent launch then reads them early. True unless given.
   */
  readonly historyIsReady?: boolean;
  /** 1 / √headDim unless given. */
  readonly softmaxScale?: number;
}

export interface CaptureOptions {
  /**
   * Layers after the first start while the one before drains (programmatic dependent launch). The plan and the page
   * tables must not be written by kernels between the layers. True unless given.
   */
  readonly dependent?: boolean;
}

export class GraphClosedError extends Error {
  override readonly name = "GraphClosedError";

  constructor() {
    super("the captured graph is closed: capture another one");
  }
}

/** One captured graph over one or more layers. */
export class CapturedGraph {
  private readonly addon: NativeAddon;
  private readonly session: SessionHandle;
  private graph: GraphHandle | undefined;
  private readonly pending: Set<Promise<unknown>> = new Set();

  constructor(addon: NativeAddon, session: SessionHandle, graph: GraphHandle) {
    this.addon = addon;
    this.session = session;
    this.graph = graph;
  }

  /** Device memory of the plan image, the partial states and the counters, in bytes. */
  get workspaceBytes(): number {
    return this.info.workspaceBytes;
  }

  /** Bytes that the last replay copied to the device. */
  get uploadedBytes(): number {
    return this.info.uploadedBytes;
  }

  /** Replays with a plan; resolves to the device time of all layers in µs. Throws PlanRejectedError. */
  async replay(plan: Plan): Promise<number> {
    for (;;) {
      const done = calling(() => this.addon.replay(this.handle, new Uint8Array(plan.buffer)));
      if (done !== null) return await this.track(awaiting(done));
      await this.oneDone();
    }
  }

  /** As replay, but blocks the calling thread until the device is done: for tools that measure step by step. */
  replayAndWait(plan: Plan): number {
    for (;;) {
      const us = calling(() => this.addon.replayAndWait(this.handle, new Uint8Array(plan.buffer)));
      if (us !== null) return us;
    }
  }

  /** As replay, without a completion; false where all plan slots are in flight and nothing was queued. */
  queue(plan: Plan): boolean {
    return calling(() => this.addon.queue(this.handle, new Uint8Array(plan.buffer)));
  }

  /** Device time of each of `repetitions` replays of one plan, in µs, after `warmUps` that do not count. */
  async time(plan: Plan, warmUps: number, repetitions: number): Promise<Float64Array> {
    for (;;) {
      const done = calling(() => this.addon.time(this.handle, new Uint8Array(plan.buffer), warmUps, repetitions));
      if (done !== null) return await this.track(awaiting(done));
      await this.oneDone();
    }
  }

  close(): void {
    if (this.graph === undefined) return;
    this.addon.releaseGraph(this.graph);
    this.graph = undefined;
    // The session's memory must not wait for a garbage collection; what is still queued keeps it alive.
    this.addon.releaseSession(this.session);
  }

  private get info(): ReturnType<NativeAddon["sessionInfo"]> {
    if (this.graph === undefined) throw new GraphClosedError();
    return this.addon.sessionInfo(this.session);
  }

  private get handle(): GraphHandle {
    if (this.graph === undefined) throw new GraphClosedError();
    return this.graph;
  }

  private async track<T>(promise: Promise<T>): Promise<T> {
    this.pending.add(promise);
    try {
      return await promise;
    } finally {
      this.pending.delete(promise);
    }
  }

  /** Waits until a staging slot may be free. */
  private async oneDone(): Promise<void> {
    if (this.pending.size > 0) await Promise.race([...this.pending].map((p) => p.catch(() => undefined)));
    else await new Promise((resolve) => setImmediate(resolve));
  }
}
