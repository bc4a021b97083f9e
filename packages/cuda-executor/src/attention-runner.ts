// CudaAttentionRunner: how long the attention of one step takes on the GPU, for step timers that ask and wait.
//
// Lengths are planned and the plan is replayed through a graph of some layers, each on pages of its own at random places of
// one KV cache, so that no layer finds the last one's KV in L2. The graph serves every batch of its budget; a larger batch
// captures a larger one. Time is the device's, for one layer; the caller waits for it.

import {
  type AttentionShape,
  BudgetExceededError,
  createPlanner,
  type Planner,
  type PolicyName,
} from "@isochron/planner";
import type { CudaExecutor } from "./executor.ts";
import type { CapturedGraph, LayerTensors } from "./graph.ts";
import type { DeviceTensor } from "./tensors.ts";

/** Layers in the graph: chosen, so that launches overlap as they do in a model, and first and last weigh little. */
const LAYERS = 4;
/** Tokens of each layer's cache, where memory has room for so many. */
const MOST_TOKENS = 2 ** 21;
/** Share of the free memory that the cache may take. */
const MEMORY_SHARE = 0.6;
const MOST_QUERY_TOKENS = 16_384;

export interface AttentionRunnerOptions {
  readonly policy?: PolicyName;
  /** Seed of the page table; 1 unless given. */
  readonly seed?: number;
}

export class CudaAttentionRunner {
  readonly attention: AttentionShape;
  readonly policy: PolicyName;
  /** KV tokens that a batch may have. */
  readonly kvTokens: number;
  private readonly executor: CudaExecutor;
  private readonly layers: readonly LayerTensors[];
  private limits = { maxRequests: 64, maxQueryTokens: 512 };
  private planner: Planner | undefined;
  private graph: CapturedGraph | undefined;

  private constructor(
    executor: CudaExecutor,
    attention: AttentionShape,
    policy: PolicyName,
    layers: readonly LayerTensors[],
    kvTokens: number,
  ) {
    this.executor = executor;
    this.attention = attention;
    this.policy = policy;
    this.layers = layers;
    this.kvTokens = kvTokens;
  }

  /** Allocates the cache. Throws CudaOutOfMemoryError, and UnsupportedPlanError for a shape without a kernel. */
  static async open(
    executor: CudaExecutor,
    attention: AttentionShape,
    options: AttentionRunnerOptions = {},
  ): Promise<CudaAttentionRunner> {
    const { policy = "balanced", seed = 1 } = options;
    const { queryHeads, kvHeads, headDim, pageSize, dtype } = attention;
    executor.plannerDevice(attention);
    const tokenBytes = kvHeads * headDim * 2;
    const room = (executor.properties.freeBytes * MEMORY_SHARE) / (2 * tokenBytes * LAYERS);
    const pages = Math.max(1, Math.floor(Math.min(MOST_TOKENS, room) / pageSize));
    const filled = (bytes: number, fillSeed: number): DeviceTensor => {
      const tensor = executor.tensor(bytes);
      tensor.fillNormal(fillSeed, dtype);
      return tensor;
    };
    const cacheBytes = LAYERS * pages * pageSize * tokenBytes;
    const rowBytes = MOST_QUERY_TOKENS * queryHeads * headDim * 2;
    const shared = {
      query: filled(rowBytes, seed),
      key: filled(cacheBytes, seed + 1),
      value: filled(cacheBytes, seed + 2),
      output: executor.tensor(rowBytes),
      lse: executor.tensor(MOST_QUERY_TOKENS * queryHeads * 4),
      pageIndices: await executor.upload(shuffled(LAYERS * pages, seed)),
      ...(attention.sinks === true ? { sinks: await executor.upload(new Float32Array(queryHeads)) } : {}),
      queryTokens: MOST_QUERY_TOKENS,
      pages: LAYERS * pages,
      pageTableLength: pages,
    };
    const layers = Array.from({ length: LAYERS }, (_, i) => ({ ...shared, offsets: { pageIndices: i * pages } }));
    return new CudaAttentionRunner(executor, attention, policy, layers, pages * pageSize);
  }

  /**
   * µs of one layer's attention over these requests. Blocks until the device is done. Throws BudgetExceededError for
   * more than 16,384 query tokens and PlanRejectedError for more KV tokens than the cache has.
   */
  timeUs(qoLens: Int32Array, kvLens: Int32Array): number {
    for (;;) {
      const { planner, graph } = this;
      if (planner === undefined || graph === undefined) {
        this.capture();
        continue;
      }
      try {
        return graph.replayAndWait(planner.plan({ qoLens, kvLens })) / LAYERS;
      } catch (error) {
        if (!(error instanceof BudgetExceededError)) throw error;
        const { maxRequests, maxQueryTokens } = error.budgetThatWouldDo;
        if (maxQueryTokens > MOST_QUERY_TOKENS) throw error;
        this.limits = {
          maxRequests: Math.max(this.limits.maxRequests, powerOfTwo(maxRequests)),
          maxQueryTokens: Math.max(this.limits.maxQueryTokens, powerOfTwo(maxQueryTokens)),
        };
        graph.close();
        this.graph = undefined;
      }
    }
  }

  private capture(): void {
    const { attention, policy, executor, layers, limits } = this;
    const device = executor.plannerDevice(attention);
    const budget = { ...limits, maxKvTokens: this.kvTokens };
    this.planner = createPlanner({ attention, device, policy, budget });
    this.graph = executor.capture(this.planner.plan({ qoLens: [], kvLens: [] }), layers);
  }
}

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}

/** 0 … count − 1 in random order (Fisher–Yates over a 32-bit xorshift). */
function shuffled(count: number, seed: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  let state = (seed * 0x9e3779b1) | 1;
  for (let i = count - 1; i > 0; i--) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    const swapped = order[i]!;
    order[i] = order[j]!;
    order[j] = swapped;
  }
  return order;
}
