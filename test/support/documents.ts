// Realistic documents for tests and screenshots of the viewer: a batch of 1 × 131,072 and 63 × 512 KV tokens (32 query
// heads, 8 KV heads) on 132 SMs with two workers each, planned twice; and a replay in which such a batch occurs.
//
// Piece costs are those of the project's H100 profile: 3.7 µs to start and write out, 2.83 µs for each KV tile of 64
// tokens, merges 3.0 µs and 0.117 µs for each further partial.

import type { Timeline } from "@isochron/planner";
import type { Report } from "@isochron/simulator";

const PIECE_US = 3.7;
const TILE_US = 2.83;
const TILE_TOKENS = 64;
const MERGE_US = 3;
const MERGE_PARTIAL_US = 0.117;
const LAUNCH_US = 2.2;

interface Piece {
  request: number;
  kvHead: number;
  kvStart: number;
  kvEnd: number;
}

interface Placed extends Piece {
  worker: number;
  startUs: number;
  endUs: number;
  kind: number;
}

export interface TimelineOptions {
  readonly policy?: "balanced" | "none";
  readonly kvLens?: readonly number[];
  readonly title?: string;
  readonly smCount?: number;
  readonly source?: "simulated" | "measured";
  readonly seed?: number;
}

export const SKEWED_KV_LENS: readonly number[] = [131_072, ...new Array<number>(63).fill(512)];
const KV_HEADS = 8;

/** mulberry32: small, seedable, good enough for pictures. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function makeTimeline(options: TimelineOptions = {}): Timeline {
  const { policy = "balanced", kvLens = SKEWED_KV_LENS, smCount = 132, source = "simulated" } = options;
  const ctasPerSm = 2;
  const workers = smCount * ctasPerSm;
  const pieces: Piece[] = [];
  let tiles = 0;
  for (const length of kvLens) tiles += Math.ceil(length / TILE_TOKENS) * KV_HEADS;
  const target = Math.max(4, Math.ceil((tiles / workers) * 1.02));
  kvLens.forEach((length, request) => {
    for (let kvHead = 0; kvHead < KV_HEADS; kvHead++) {
      const all = Math.ceil(length / TILE_TOKENS);
      const parts = policy === "none" ? 1 : Math.max(1, Math.ceil(all / target));
      for (let part = 0; part < parts; part++) {
        const from = Math.floor((all * part) / parts) * TILE_TOKENS;
        const to = Math.min(Math.floor((all * (part + 1)) / parts) * TILE_TOKENS, length);
        if (to > from || length === 0) pieces.push({ request, kvHead, kvStart: from, kvEnd: to });
      }
    }
  });
  pieces.sort((a, b) => b.kvEnd - b.kvStart - (a.kvEnd - a.kvStart));
  const freeAt = new Float64Array(workers).fill(LAUNCH_US);
  const placed: Placed[] = [];
  const jobs = new Map<string, Placed[]>();
  for (const piece of pieces) {
    const worker = freeAt.indexOf(Math.min(...freeAt));
    const startUs = freeAt[worker]!;
    const cost = PIECE_US + Math.ceil((piece.kvEnd - piece.kvStart) / TILE_TOKENS) * TILE_US;
    const endUs = startUs + cost;
    freeAt[worker] = endUs;
    const record = { ...piece, worker, startUs, endUs, kind: 1 };
    placed.push(record);
    const key = `${piece.request}/${piece.kvHead}`;
    jobs.set(key, [...(jobs.get(key) ?? []), record]);
  }
  let mergeRows = 0;
  let partialSlots = 0;
  let splitJobs = 0;
  for (const members of jobs.values()) {
    if (members.length < 2) continue;
    splitJobs++;
    partialSlots += members.length;
    mergeRows += 4;
    const last = members.reduce((a, b) => (b.endUs > a.endUs ? b : a));
    const startUs = Math.max(freeAt[last.worker]!, last.endUs);
    const endUs = startUs + MERGE_US + members.length * MERGE_PARTIAL_US;
    freeAt[last.worker] = endUs;
    placed.push({ ...last, startUs, endUs, kind: 3, kvStart: 0, kvEnd: 0 });
  }
  placed.sort((a, b) => a.worker - b.worker || a.startUs - b.startUs);
  if (source === "measured") addNoise(placed, random(options.seed ?? 1));
  const durationUs = placed.reduce((end, slice) => Math.max(end, slice.endUs), 0);
  const lowerBoundUs = LAUNCH_US + (tiles * TILE_US + kvLens.length * KV_HEADS * PIECE_US) / workers;
  const column = (read: (slice: Placed) => number): number[] => placed.map(read);
  return {
    isochron: "timeline/1",
    source,
    generator: { version: "0.1.0", command: "isochron simulate batch.json", seed: 1 },
    device: { name: "h100-sxm", smCount, ctasPerSm, workers },
    profile: "h100-sxm",
    attention: {
      queryHeads: 32,
      kvHeads: KV_HEADS,
      headDim: 128,
      dtype: "bf16",
      kvDtype: "bf16",
      pageSize: 16,
      mask: { kind: "causal" },
    },
    policy,
    title: options.title ?? "1 × 131,072 and 63 × 512",
    batch: { qoLens: kvLens.map(() => 1), kvLens: [...kvLens] },
    stats: {
      pieces: pieces.length,
      splitJobs,
      partialSlots,
      mergeRows,
      makespanUs: durationUs - LAUNCH_US,
      lowerBoundUs: lowerBoundUs - LAUNCH_US,
      imbalance: durationUs / lowerBoundUs,
    },
    durationUs,
    lowerBoundUs,
    slices: {
      worker: column((slice) => slice.worker),
      sm: column((slice) => slice.worker % smCount),
      startUs: column((slice) => slice.startUs),
      endUs: column((slice) => slice.endUs),
      kind: column((slice) => slice.kind),
      request: column((slice) => slice.request),
      kvHead: column((slice) => slice.kvHead),
      qTile: column(() => 0),
      kvStart: column((slice) => slice.kvStart),
      kvEnd: column((slice) => slice.kvEnd),
    },
    bandwidth: bandwidthOf(placed, durationUs),
  };
}

/** The same plan as hardware would run it: pieces take 4 % less to 8 % more, and a merge waits for its job's last piece. */
function addNoise(placed: Placed[], next: () => number): void {
  const freeAt = new Map<number, number>();
  const done = new Map<string, number>();
  const retime = (slice: Placed): void => {
    const cost = (slice.endUs - slice.startUs) * (0.96 + 0.12 * next());
    const job = `${slice.request}/${slice.kvHead}`;
    const ready = slice.kind === 3 ? (done.get(job) ?? 0) : 0;
    slice.startUs = Math.max(freeAt.get(slice.worker) ?? LAUNCH_US, ready);
    slice.endUs = slice.startUs + cost;
    freeAt.set(slice.worker, slice.endUs);
    if (slice.kind !== 3) done.set(job, Math.max(done.get(job) ?? 0, slice.endUs));
  };
  for (const slice of placed) if (slice.kind !== 3) retime(slice);
  for (const slice of placed) if (slice.kind === 3) retime(slice);
}

/** Busy workers share 2,900 GB/s, and one alone draws at most 35 GB/s. */
function bandwidthOf(placed: readonly Placed[], durationUs: number): NonNullable<Timeline["bandwidth"]> {
  const steps = 200;
  const atUs: number[] = [];
  const gigabytesPerSecond: number[] = [];
  for (let k = 0; k < steps; k++) {
    const at = (durationUs * k) / steps;
    const busy = placed.filter((slice) => slice.kind !== 3 && slice.startUs <= at && slice.endUs > at).length;
    atUs.push(at);
    gigabytesPerSecond.push(Math.min(busy * 35, 2900));
  }
  return { atUs, gigabytesPerSecond };
}

export interface ReportOptions {
  readonly requests?: number;
  readonly seed?: number;
  readonly partial?: boolean;
  readonly withRequests?: boolean;
}

/** A replay of a small engine with chunked prefill: enough of a queue that the charts have the shapes of real ones. */
export function makeReport(options: ReportOptions = {}): Report {
  const { requests: count = 400, partial = false, withRequests = true } = options;
  const next = random(options.seed ?? 7);
  const exponential = (mean: number): number => -Math.log(1 - next()) * mean;
  const arrivals: number[] = [];
  let clock = 0;
  for (let i = 0; i < count; i++) {
    clock += exponential(i > count * 0.45 && i < count * 0.65 ? 60_000 : 150_000);
    arrivals.push(clock);
  }
  const inputs = arrivals.map((_, i) => (i === Math.floor(count / 2) ? 131_072 : Math.ceil(60 + exponential(1100))));
  const outputs = arrivals.map(() => Math.ceil(2 + exponential(190)));
  const blockTokens = 16;
  const kvBlocks = 28_000;
  const budget = 2048;
  const live = { prefilled: new Array<number>(count).fill(0), produced: new Array<number>(count).fill(0) };
  const times = {
    scheduled: new Array<number>(count).fill(-1),
    first: new Array<number>(count).fill(-1),
    end: new Array<number>(count).fill(-1),
    firstStep: new Array<number>(count).fill(-1),
    lastStep: new Array<number>(count).fill(-1),
  };
  const series: Record<string, number[]> = {};
  for (const name of [
    "step",
    "replica",
    "startUs",
    "durationUs",
    "running",
    "waiting",
    "tokens",
    "prefillTokens",
    "kvBlocksUsed",
    "attentionUs",
    "attentionImbalance",
    "preemptions",
  ]) {
    series[name] = [];
  }
  const batches: Report["stepBatches"][number][] = [];
  const waiting: number[] = [];
  let running: number[] = [];
  let arrived = 0;
  let now = arrivals[0]!;
  let step = 0;
  const longest = { us: 0, batch: null as Report["stepBatches"][number] | null };
  while (arrived < count || waiting.length > 0 || running.length > 0) {
    while (arrived < count && arrivals[arrived]! <= now) waiting.push(arrived++);
    if (waiting.length === 0 && running.length === 0) {
      now = arrivals[arrived]!;
      continue;
    }
    const used = (): number =>
      running.reduce((sum, r) => sum + Math.ceil((live.prefilled[r]! + live.produced[r]!) / blockTokens), 0);
    while (waiting.length > 0 && running.length < 64) {
      const candidate = waiting[0]!;
      if (used() + Math.ceil(inputs[candidate]! / blockTokens) > kvBlocks) break;
      running.push(waiting.shift()!);
    }
    let left = budget;
    const scheduled: { request: number; tokens: number }[] = [];
    for (const request of running) {
      if (live.prefilled[request]! >= inputs[request]!) {
        scheduled.push({ request, tokens: 1 });
        left--;
      }
    }
    for (const request of running) {
      const missing = inputs[request]! - live.prefilled[request]!;
      if (missing > 0 && left > 0) {
        const tokens = Math.min(missing, left);
        scheduled.push({ request, tokens });
        left -= tokens;
      }
    }
    const tokens = scheduled.reduce((sum, entry) => sum + entry.tokens, 0);
    const context = scheduled.map(({ request, tokens: n }) => live.prefilled[request]! + live.produced[request]! + n);
    const most = Math.max(...context);
    const mean = context.reduce((a, b) => a + b, 0) / context.length;
    const imbalance = 1 + Math.min(most / (mean * 6), 9) * 0.3;
    const attentionUs = 700 + context.reduce((a, b) => a + b, 0) * 0.02 * imbalance;
    const durationUs = 6500 + tokens * 18 + attentionUs;
    const decodeTokens = scheduled.filter((entry) => entry.tokens === 1).length;
    const values = {
      step,
      replica: 0,
      startUs: now,
      durationUs,
      running: running.length,
      waiting: waiting.length,
      tokens,
      prefillTokens: tokens - decodeTokens,
      kvBlocksUsed: used(),
      attentionUs,
      attentionImbalance: imbalance,
      preemptions: 0,
    };
    for (const [name, value] of Object.entries(values)) series[name]!.push(value);
    const batch = {
      replica: 0,
      step,
      reason: "longest step",
      durationUs,
      attentionUs,
      attentionImbalance: imbalance,
      requests: scheduled.map((entry) => entry.request),
      qoLens: scheduled.map((entry) => entry.tokens),
      kvLens: context,
    };
    if (durationUs > longest.us) Object.assign(longest, { us: durationUs, batch });
    if (step % 997 === 400) batches.push({ ...batch, reason: "attention above bound" });
    const end = now + durationUs;
    for (const { request, tokens: n } of scheduled) {
      if (times.scheduled[request] === -1) {
        times.scheduled[request] = now;
        times.firstStep[request] = step;
      }
      times.lastStep[request] = step;
      if (live.prefilled[request]! < inputs[request]!) live.prefilled[request]! += n;
      else live.produced[request]!++;
      if (live.prefilled[request]! >= inputs[request]! && times.first[request] === -1) {
        times.first[request] = end;
        live.produced[request]!++;
      }
      if (live.produced[request]! >= outputs[request]!) times.end[request] = end;
    }
    running = running.filter((request) => times.end[request] === -1);
    now = end;
    step++;
  }
  batches.unshift(longest.batch!);
  const ms = (values: readonly number[]): number[] => values.map((us) => us / 1e3);
  const ttft = ms(arrivals.map((at, i) => times.first[i]! - at));
  const e2e = ms(arrivals.map((at, i) => times.end[i]! - at));
  const queue = ms(arrivals.map((at, i) => times.scheduled[i]! - at));
  const tpot = arrivals.flatMap((_, i) =>
    outputs[i]! > 1 ? [(times.end[i]! - times.first[i]!) / (outputs[i]! - 1) / 1e3] : [],
  );
  const slo = { ttftMs: 1000, tpotMs: 30 };
  const durationS = now / 1e6;
  const met = ttft.filter((value) => value <= slo.ttftMs).length * 0.93;
  const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    isochron: "report/1",
    generator: { version: "0.1.0", command: "isochron replay azure-conv-2023 --limit 400", seed: 7 },
    partial,
    trace: { name: "azure-conv-2023", format: "azure", sha256: "0".repeat(64), requestsUsed: count, linesSkipped: 0 },
    deployment: {
      model: "llama-3.1-8b",
      gpu: "h100-sxm",
      tensorParallel: 1,
      replicas: 1,
      router: "round-robin",
      batching: "vllm",
      attention: "balanced",
      stepTimer: "kernel",
      blockSizeTokens: blockTokens,
      kvBlocks,
      maxRunningRequests: 64,
      maxBatchedTokens: budget,
      prefixCaching: true,
      rate: 1,
      slo,
    },
    metrics: {
      completed: count,
      rejected: 0,
      unfinished: 0,
      durationS,
      inputTokens: sum(inputs),
      outputTokens: sum(outputs),
      requestThroughput: count / durationS,
      outputTokenThroughput: sum(outputs) / durationS,
      totalTokenThroughput: (sum(inputs) + sum(outputs)) / durationS,
      goodput: met / durationS,
      ttftMs: summary(ttft),
      tpotMs: summary(tpot),
      itlMs: summary(tpot.map((value) => value * 1.01)),
      e2eMs: summary(e2e),
      queueMs: summary(queue),
      preemptions: 0,
      recomputedTokens: 0,
      prefixHitRatio: 0.12,
      kvUsage: {
        mean: meanOf(series["kvBlocksUsed"]!) / kvBlocks,
        max: Math.max(...series["kvBlocksUsed"]!) / kvBlocks,
      },
      meanConcurrency: meanOf(series["running"]!),
      peakConcurrency: Math.max(...series["running"]!),
      steps: step,
      tokensPerStep: { mean: meanOf(series["tokens"]!), max: Math.max(...series["tokens"]!) },
      batchSize: { mean: meanOf(series["running"]!), max: Math.max(...series["running"]!) },
      smBusyFraction: 0.71,
      attentionImbalance: {
        mean: meanOf(series["attentionImbalance"]!),
        max: Math.max(...series["attentionImbalance"]!),
      },
      mfu: 0.31,
      mbu: 0.44,
      stepTimeShare: { attention: 0.28, gemm: 0.56, collective: 0, other: 0.1, host: 0.06 },
    },
    steps: series as unknown as Report["steps"],
    stepStride: 1,
    stepBatches: batches.slice(0, 4),
    ...(withRequests
      ? {
          requests: {
            id: arrivals.map((_, i) => i),
            replica: arrivals.map(() => 0),
            status: arrivals.map(() => 0),
            arrivalUs: arrivals,
            scheduledUs: times.scheduled,
            firstTokenUs: times.first,
            endUs: times.end,
            inputTokens: inputs,
            outputTokens: outputs,
            cachedTokens: arrivals.map(() => 0),
            preemptions: arrivals.map(() => 0),
            firstStep: times.firstStep,
            lastStep: times.lastStep,
          },
        }
      : {}),
    warnings: [],
    wallClock: { startedAt: "2026-11-20T12:00:00Z", durationMs: 812, requestsPerSecond: count / 0.812 },
  };
}

function summary(values: readonly number[]): Report["metrics"]["ttftMs"] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low]! + (place - low) * (sorted[high]! - sorted[low]!);
  };
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  return {
    mean,
    median: at(0.5),
    std: Math.sqrt(variance),
    min: sorted[0]!,
    max: sorted[sorted.length - 1]!,
    p75: at(0.75),
    p90: at(0.9),
    p95: at(0.95),
    p99: at(0.99),
  };
}

/** The report with a timeline for each of its steps that can be opened: what `replay --html` embeds. */
export function makeBundle(): { reports: Report[]; timelines: Timeline[] } {
  const report = makeReport();
  const timelines = report.stepBatches.map((batch) =>
    makeTimeline({ kvLens: batch.kvLens, policy: "none", title: `replica ${batch.replica} · step ${batch.step}` }),
  );
  return { reports: [report], timelines };
}
