// calibrate(): measures what one GPU and this package's kernel cost, as a `gpu-profile/1` document.
//
// Everything comes from plans that the executor itself runs: equal requests on n workers at two lengths give bandwidth (the
// slope) and launch with start and end (the intercept); the instrumented kernel gives what one piece spends before its
// first tile and after its last; empty plans give launches. Inputs rotate over more memory than L2 holds. What is not
// measured (collectives, host, data sheet; GEMM where there is no cuBLAS) is the base profile's, under the base's own sources.
// Clocks are recorded, never set.

import { type AttentionShape, createPlanner, type Device, Merge, type Plan } from "@isochron/planner";
import type { NativeTrace } from "./binding.ts";
import { calibrateGemm, type GemmCalibration, type GemmShape } from "./calibrate-gemm.ts";
import { MissingLibraryError } from "./errors.ts";
import type { CudaExecutor } from "./executor.ts";
import type { LayerTensors } from "./graph.ts";
import type { DeviceTensor } from "./tensors.ts";

interface Quantity {
  readonly value: number;
  readonly source: string;
}
type Rows = readonly (readonly [number, number])[];

/** The parts of a GPU profile that calibration replaces; the rest is carried over as it is. */
export interface BaseProfile {
  readonly name: string;
  readonly title: string;
  readonly sources: Readonly<Record<string, unknown>>;
  readonly device: object;
  readonly memory: object;
  readonly attention: object;
  readonly merge: object;
  readonly launch: object;
  readonly gemm: { readonly shapes: readonly GemmShape[] };
}

/** A measured number: median of its repetitions, and their 10 % and 90 % quantiles. */
export interface Measurement {
  readonly name: string;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

export interface Calibration {
  /** A `gpu-profile/1` document. */
  readonly profile: BaseProfile & Readonly<Record<string, unknown>>;
  readonly measurements: readonly Measurement[];
  /** What could not be measured here and why: a sentence each. */
  readonly notes: readonly string[];
  readonly durationS: number;
}

/** 8 KV heads of 128: 4 KiB a token. Bandwidth runs use one head a request, so that every request is one job. */
const SHAPE: AttentionShape = {
  queryHeads: 4,
  kvHeads: 1,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "full" },
};
const TOKEN_BYTES = 2 * 128 * 2;
/** Chosen: two lengths far enough apart that start and end cancel, short enough for a minute in all. */
const SHORT_TOKENS = 2048;
const LONG_TOKENS = 6144;
/** Chosen: five times the largest L2 in use. */
const COLD_BYTES = 2 ** 28;
const POOL_BYTES = 2 ** 30;
const WARM_UPS = 3;
const REPETITIONS = 21;
const SOURCE = "calibrated";
const KERNEL_SOURCE = "kernel";
const GEMM_SOURCE = "calibratedGemm";

/** Measures the executor's device, about ten seconds; GEMM of the base profile's shapes where the machine has cuBLAS. Throws what the executor throws. */
export async function calibrate(executor: CudaExecutor, base: BaseProfile): Promise<Calibration> {
  const startedMs = performance.now();
  const bench = await Bench.create(executor);
  const measurements: Measurement[] = [];
  const record = (name: string, samples: readonly number[]): number => {
    const measured = { name, median: quantile(samples, 0.5), p10: quantile(samples, 0.1), p90: quantile(samples, 0.9) };
    measurements.push(measured);
    return measured.median;
  };
  try {
    const { smCount } = executor.device;
    const { ctasPerSm } = executor.plannerDevice(SHAPE);
    const clockMHz = record("clockMHz", await bench.clocks(smCount));

    const curve: [number, number][] = [];
    for (const [sms, ctas] of workerCounts(smCount, ctasPerSm)) {
      const short = await bench.decode(sms, ctas, SHORT_TOKENS);
      const long = await bench.decode(sms, ctas, LONG_TOKENS);
      const bytes = (LONG_TOKENS - SHORT_TOKENS) * TOKEN_BYTES * sms * ctas;
      const shortUs = quantile(short, 0.5);
      curve.push([
        sms * ctas,
        record(
          `bandwidthGBps of ${sms * ctas} workers`,
          long.map((us) => bytes / (us - shortUs) / 1e3),
        ),
      ]);
    }
    const l2GBps = record("l2GBps", await bench.shared(smCount, ctasPerSm));

    const phases = await bench.phases(clockMHz);
    const startUs = record("startUs", phases.start);
    const nextStartUs = record("nextStartUs", phases.nextStart);
    const writeOutUs = record("writeOutUs", phases.writeOut);
    const tflops: [number, number][] = [];
    for (const { rows } of executor.plannerDevice(SHAPE).costModel.queryTiles) {
      tflops.push([rows, record(`TFLOP/s of ${rows} rows`, await bench.tensor(rows, smCount, ctasPerSm))]);
    }
    const [few, many] = [await bench.merge(2, clockMHz), await bench.merge(32, clockMHz)];
    const fewUs = record(`merge of ${few.sources} sources, µs`, few.samples);
    const manyUs = record(`merge of ${many.sources} sources, µs`, many.samples);
    const partialUs = Math.max(0, (manyUs - fewUs) / Math.max(1, many.sources - few.sources));

    const streamUs = record("streamUs", await bench.streamLaunches());
    const one = await bench.emptyGraph(1, false);
    const graphUs = record("graphUs", one);
    const node = (samples: readonly number[], nodes: number): number[] =>
      samples.map((us) => (us - graphUs) / (nodes - 1));
    const graphNodeUs = record("graphNodeUs", node(await bench.emptyGraph(64, false), 64));
    record("dependent graphNodeUs", node(await bench.emptyGraph(64, true), 64));

    const notes: string[] = [];
    const gemm = await bench.gemm(base.gemm.shapes, notes);
    if (gemm !== undefined) {
      record("GEMM fixedUs", [gemm.fixedUs]);
      record("GEMM memoryGBps", [gemm.memoryGBps]);
      record("GEMM TFLOP/s", [gemm.tflops]);
    }

    const { properties } = executor;
    const when = new Date().toISOString().slice(0, 10);
    const measured = (value: number): Quantity => ({ value: Math.max(value, 0), source: SOURCE });
    const byConstruction = (value: number): Quantity => ({ value, source: KERNEL_SOURCE });
    const rows = (table: Rows): { rows: Rows; source: string } => ({ rows: table, source: SOURCE });
    const profile = {
      ...base,
      name: `${base.name}-calibrated`,
      title: `${properties.name}, calibrated`,
      calibrated: true,
      sources: {
        ...base.sources,
        [SOURCE]: {
          basis: "measured",
          what: `isochron calibrate on ${properties.name} at ${Math.round(clockMHz)} MHz: this package's attention kernel, medians of ${REPETITIONS}; numbers with other sources are those of ${base.name}`,
          by: "isochron calibrate",
          when,
        },
        [KERNEL_SOURCE]: {
          basis: "estimated",
          what: "how this package's kernel is written: 64 KV tokens in a tile, four rows of a merge at once; its rounds are not told apart from its partial states",
          by: "isochron calibrate",
          when,
        },
        ...(gemm === undefined
          ? {}
          : {
              [GEMM_SOURCE]: {
                basis: "measured",
                what: `isochron calibrate on ${properties.name}: bf16 products of cuBLAS in graph replays, weights from memory; the line through m ≤ 64 gives fixed and bandwidth, the median of m ≥ 1024 throughput`,
                by: "isochron calibrate",
                when,
              },
            }),
      },
      device: {
        ...base.device,
        smCount: measured(smCount),
        ctasPerSm: measured(ctasPerSm),
        clockMHz: measured(clockMHz),
        l2Bytes: measured(properties.l2Bytes),
        memoryBytes: measured(properties.memoryBytes),
      },
      memory: {
        ...base.memory,
        achievedGBps: rows(curve),
        perCtaGBps: measured(curve[0]![1]),
        l2GBps: measured(l2GBps),
      },
      attention: {
        ...base.attention,
        startUs: measured(startUs),
        nextStartUs: measured(nextStartUs),
        writeOutUs: measured(writeOutUs),
        kvTileTokens: byConstruction(64),
        tensorTflops: rows(tflops),
      },
      merge: {
        ...base.merge,
        fixedUs: measured(Math.max(0, fewUs - few.sources * partialUs)),
        roundUs: byConstruction(0),
        partialUs: measured(partialUs),
        rowsAtOnce: byConstruction(4),
      },
      launch: {
        ...base.launch,
        streamUs: measured(streamUs),
        graphNodeUs: measured(graphNodeUs),
        graphUs: measured(graphUs),
      },
      ...(gemm === undefined
        ? {}
        : {
            gemm: {
              shapes: gemm.shapes.map((shape) => ({ ...shape, source: GEMM_SOURCE })),
              fixedUs: { value: gemm.fixedUs, source: GEMM_SOURCE },
              tflops: { value: gemm.tflops, source: GEMM_SOURCE },
              memoryGBps: { value: gemm.memoryGBps, source: GEMM_SOURCE },
            },
          }),
    };
    return { profile, measurements, notes, durationS: (performance.now() - startedMs) / 1000 };
  } finally {
    bench.close();
  }
}

/** [SMs, CTAs an SM]: one CTA on ever more SMs, then two. */
function workerCounts(smCount: number, ctasPerSm: number): [number, number][] {
  const sms = [1, 2, 4, 8, 16, 24, 33, 49, 66, 99, 132].filter((n) => n < smCount);
  const counts: [number, number][] = [...sms, smCount].map((n) => [n, 1]);
  if (ctasPerSm > 1) counts.push([Math.ceil(smCount * 0.75), ctasPerSm], [smCount, ctasPerSm]);
  return counts;
}

/** Memory, and the runs on it. */
class Bench {
  private readonly executor: CudaExecutor;
  private readonly tensors: Omit<LayerTensors, "queryTokens" | "pages" | "pageTableLength">;
  private readonly pages: number;

  private constructor(executor: CudaExecutor, tensors: Bench["tensors"], pages: number) {
    this.executor = executor;
    this.tensors = tensors;
    this.pages = pages;
  }

  static async create(executor: CudaExecutor): Promise<Bench> {
    const bytesPerPage = (SHAPE.pageSize * TOKEN_BYTES) / 2;
    const pages = POOL_BYTES / bytesPerPage;
    const filled = (bytes: number, seed: number): DeviceTensor => {
      const tensor = executor.tensor(bytes);
      tensor.fillNormal(seed, SHAPE.dtype);
      return tensor;
    };
    // A fixed stride through all pages, coprime to their number: neighbours in a table are far apart in memory.
    const order = Int32Array.from({ length: pages }, (_, i) => (i * 40_503) % pages);
    const tensors = {
      query: filled(2 ** 24, 1),
      key: filled(POOL_BYTES, 2),
      value: filled(POOL_BYTES, 3),
      output: executor.tensor(2 ** 24),
      lse: executor.tensor(2 ** 20),
      pageIndices: await executor.upload(order),
    };
    return new Bench(executor, tensors, pages);
  }

  close(): void {
    const { query, key, value, output, lse, pageIndices } = this.tensors;
    for (const tensor of [query, key, value, output, lse, pageIndices]) tensor.close();
  }

  /** µs of n equal decodes of `tokens` on n workers, L2-cold. */
  async decode(smCount: number, ctasPerSm: number, tokens: number): Promise<number[]> {
    const workers = smCount * ctasPerSm;
    const plan = this.plan({ smCount, ctasPerSm }, workers, 1, tokens);
    const layers = this.layers(plan, workers, workers * Math.ceil(tokens / SHAPE.pageSize), 64);
    return await this.time(plan, layers);
  }

  /** GB/s of all workers that read the same pages, L2-warm. */
  async shared(smCount: number, ctasPerSm: number): Promise<number[]> {
    const workers = smCount * ctasPerSm;
    const run = async (tokens: number): Promise<number[]> => {
      const plan = this.plan({ smCount, ctasPerSm }, workers, 1, tokens);
      return await this.time(onePageTable(plan), this.layers(plan, workers, Math.ceil(tokens / SHAPE.pageSize), 1));
    };
    const short = quantile(await run(SHORT_TOKENS), 0.5);
    return (await run(LONG_TOKENS)).map(
      (us) => ((LONG_TOKENS - SHORT_TOKENS) * TOKEN_BYTES * workers) / (us - short) / 1e3,
    );
  }

  /** TFLOP/s, padding counted, of query tiles of `rows` rows against KV in L2. */
  async tensor(rows: number, smCount: number, ctasPerSm: number): Promise<number[]> {
    const workers = smCount * ctasPerSm;
    const run = async (tokens: number): Promise<number[]> => {
      const device = this.device({ smCount, ctasPerSm });
      const queryTiles = device.costModel.queryTiles.filter((tile) => tile.rows === rows);
      const only = { ...device, costModel: { ...device.costModel, queryTiles } };
      const qoLen = rows / SHAPE.queryHeads;
      const batch = { qoLens: new Array(workers).fill(qoLen), kvLens: new Array(workers).fill(tokens) };
      const plan = createPlanner({ attention: SHAPE, device: only, policy: "none" }).plan(batch);
      return await this.time(
        onePageTable(plan),
        this.layers(plan, workers * qoLen, Math.ceil(tokens / SHAPE.pageSize), 1),
      );
    };
    const short = quantile(await run(SHORT_TOKENS), 0.5);
    const flops = 4 * rows * (LONG_TOKENS - SHORT_TOKENS) * SHAPE.headDim * workers;
    return (await run(LONG_TOKENS)).map((us) => flops / (us - short) / 1e6);
  }

  /** SM clock in MHz while the kernel runs. */
  async clocks(smCount: number): Promise<number[]> {
    const { pieces } = await this.trace({ smCount, ctasPerSm: 1 }, smCount, 1, 4 * LONG_TOKENS);
    return rowsOf(pieces).map((at) => pieces[at + 6]! / (pieces[at + 1]! - pieces[at]!));
  }

  /** What pieces spend before their first tile, after an earlier piece, and after their last tile; µs. */
  async phases(clockMHz: number): Promise<{ start: number[]; nextStart: number[]; writeOut: number[] }> {
    // Few workers: what they wait for a busy memory is the bandwidth curve's.
    const { pieces } = await this.trace({ smCount: 8, ctasPerSm: 1 }, 4 * 8, 1, 512);
    const start: number[] = [];
    const nextStart: number[] = [];
    const writeOut: number[] = [];
    const byWorker = new Map<number, number[]>();
    for (const at of rowsOf(pieces)) {
      writeOut.push((pieces[at + 6]! - pieces[at + 5]!) / clockMHz);
      const list = byWorker.get(pieces[at + 3]!) ?? [];
      list.push(at);
      byWorker.set(pieces[at + 3]!, list);
    }
    for (const list of byWorker.values()) {
      list.sort((a, b) => pieces[a + 4]! - pieces[b + 4]!);
      list.forEach((at, i) => {
        if (i === 0) start.push(pieces[at + 4]! / clockMHz);
        else nextStart.push(Math.max(0, pieces[at + 4]! - pieces[list[i - 1]! + 7]!) / clockMHz);
      });
    }
    return { start, nextStart, writeOut };
  }

  /** µs of merging 4 rows of one job that 2 × `smCount` workers share. */
  async merge(smCount: number, clockMHz: number): Promise<{ readonly sources: number; readonly samples: number[] }> {
    const samples: number[] = [];
    let sources = 0;
    for (let i = 0; i < 7; i++) {
      const { merges, plan } = await this.trace({ smCount, ctasPerSm: 2 }, 1, 1, smCount * 2 * 512);
      sources = plan.merges[Merge.sourceEnd]! - plan.merges[Merge.sourceStart]!;
      for (const at of rowsOf(merges)) samples.push((merges[at + 5]! - merges[at + 4]!) / clockMHz);
    }
    return { sources, samples };
  }

  /** µs of an empty plan, launched to a stream by itself. */
  async streamLaunches(): Promise<number[]> {
    const plan = this.plan({ smCount: 1, ctasPerSm: 1 }, 0, 0, 0);
    const graph = { query: new Float32Array(0), key: new Float32Array(4096), value: new Float32Array(4096) };
    const samples: number[] = [];
    for (let i = 0; i < 15; i++) {
      const { durationUs } = await this.executor.execute(plan, { ...graph, pageIndptr: [0], pageIndices: [] });
      if (i >= 5) samples.push(durationUs);
    }
    return samples;
  }

  /** µs of a graph of `nodes` empty launches. */
  async emptyGraph(nodes: number, dependent: boolean): Promise<number[]> {
    const plan = this.plan({ smCount: 1, ctasPerSm: 1 }, 0, 0, 0);
    return await this.time(plan, this.layers(plan, 1, 1, nodes).slice(0, nodes), dependent);
  }

  /** Tables of cuBLAS's products, or a note that there is no cuBLAS. */
  async gemm(shapes: readonly GemmShape[], notes: string[]): Promise<GemmCalibration | undefined> {
    if (shapes.length === 0) return undefined;
    const { key: activations, value: weights } = this.tensors;
    try {
      return await calibrateGemm(this.executor, shapes, { activations, weights, coldBytes: COLD_BYTES });
    } catch (error) {
      if (!(error instanceof MissingLibraryError)) throw error;
      notes.push(`GEMM was not measured: ${error.message}`);
      return undefined;
    }
  }

  private device(size: { readonly smCount: number; readonly ctasPerSm: number }): Device {
    return { ...this.executor.plannerDevice(SHAPE), ...size };
  }

  private plan(size: { smCount: number; ctasPerSm: number }, requests: number, qoLen: number, tokens: number): Plan {
    const batch = { qoLens: new Array(requests).fill(qoLen), kvLens: new Array(requests).fill(tokens) };
    return createPlanner({ attention: SHAPE, device: this.device(size) }).plan(batch);
  }

  /** As many layers as make the inputs cold, each with a part of the page table of its own. */
  private layers(plan: Plan, queryTokens: number, pages: number, most: number): LayerTensors[] {
    const bytes = Math.max(1, pages * SHAPE.pageSize * TOKEN_BYTES);
    const wanted = plan.pieceRecordCount === 0 ? most : Math.ceil(COLD_BYTES / bytes);
    const count = Math.max(1, Math.min(most, wanted, Math.floor(this.pages / Math.max(1, pages))));
    return Array.from({ length: count }, (_, i) => ({
      ...this.tensors,
      offsets: { pageIndices: i * pages },
      queryTokens,
      pages: this.pages,
      pageTableLength: pages,
    }));
  }

  private async time(plan: Plan, layers: readonly LayerTensors[], dependent = false): Promise<number[]> {
    const graph = this.executor.capture(plan, layers, { dependent });
    try {
      const perLayer = plan.pieceRecordCount === 0 ? 1 : layers.length;
      return Array.from(await graph.time(plan, WARM_UPS, REPETITIONS), (us) => us / perLayer);
    } finally {
      graph.close();
    }
  }

  private async trace(
    size: { smCount: number; ctasPerSm: number },
    requests: number,
    qoLen: number,
    tokens: number,
  ): Promise<NativeTrace & { readonly plan: Plan }> {
    const plan = this.plan(size, requests, qoLen, tokens);
    const layers = this.layers(plan, requests, requests * Math.ceil(tokens / SHAPE.pageSize), 2);
    const trace = await this.executor.trace(plan, [...layers, ...layers]);
    return { ...trace, plan };
  }
}

/** The same plan with every request on the page table of the first. */
function onePageTable(plan: Plan): Plan {
  for (let i = 0; i < plan.requestCount; i++) plan.requests[i * 4 + 3] = 0;
  return plan;
}

/** Index of the first number of each trace row. */
function rowsOf(trace: Float64Array): number[] {
  return Array.from({ length: trace.length / 8 }, (_, i) => i * 8);
}

function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
