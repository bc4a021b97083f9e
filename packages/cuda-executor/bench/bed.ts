// A test bed on the device: a KV cache of random pages, batches on it, and comparison with the float64 reference.

import type { CapturedGraph, CudaExecutor, DeviceTensor, LayerTensors } from "@isochron/cuda-executor";
import type { AttentionShape, Plan } from "@isochron/planner";
import { permutation } from "./random.ts";
import { forEachRow, type HostBatch } from "./reference.ts";

export interface Comparison {
  /** ‖out − ref‖ / ‖ref‖ over all compared rows. */
  readonly relativeError: number;
  /** Largest |lse − ref|. */
  readonly lseError: number;
  /** Elements of output or lse that were never written, or are not numbers. */
  readonly unwritten: number;
}

/** Room for `pages` pages and `queryTokens` query tokens, with host copies for the reference. */
export class Bed {
  readonly attention: AttentionShape;
  readonly layer: LayerTensors;
  readonly pages: number;
  readonly headMajor: boolean;
  private readonly host: { query: Float32Array; key: Float32Array; value: Float32Array; sinks: Float32Array };
  private pageIndices: Int32Array = new Int32Array(0);

  private constructor(attention: AttentionShape, layer: LayerTensors, headMajor: boolean, host: Bed["host"]) {
    this.attention = attention;
    this.layer = layer;
    this.pages = layer.pages;
    this.headMajor = headMajor;
    this.host = host;
  }

  static async create(
    executor: CudaExecutor,
    attention: AttentionShape,
    pages: number,
    queryTokens: number,
    headMajor: boolean,
    seed: number,
    tableLength: number = pages,
  ): Promise<Bed> {
    const { queryHeads, kvHeads, headDim, pageSize, dtype } = attention;
    const kvElements = pages * pageSize * kvHeads * headDim;
    const queryElements = queryTokens * queryHeads * headDim;
    const query = executor.tensor(queryElements * 2);
    const key = executor.tensor(kvElements * 2);
    const value = executor.tensor(kvElements * 2);
    query.fillNormal(seed, dtype);
    key.fillNormal(seed + 1, dtype);
    value.fillNormal(seed + 2, dtype);
    const sinkValues = Float32Array.from({ length: queryHeads }, (_, h) => ((h * 7) % 11) / 4 - 1);
    const layer: LayerTensors = {
      query,
      key,
      value,
      output: executor.tensor(queryElements * 2),
      lse: executor.tensor(queryTokens * queryHeads * 4),
      pageIndices: executor.tensor(tableLength * 4),
      sinks: await executor.upload(sinkValues),
      queryTokens,
      pages,
      pageTableLength: tableLength,
      headMajor,
    };
    const decoded = async (tensor: DeviceTensor): Promise<Float32Array> => {
      const bits = await tensor.read(new Uint16Array(tensor.byteLength / 2));
      return decode(bits, dtype === "fp16");
    };
    const host = {
      query: await decoded(query),
      key: tokenMajor(await decoded(key), attention, headMajor),
      value: tokenMajor(await decoded(value), attention, headMajor),
      sinks: sinkValues,
    };
    return new Bed(attention, layer, headMajor, host);
  }

  /** Multiplies the keys of page p by 2^(p mod 7): scores of one page outgrow those of another by hundreds. */
  async steepenKeys(): Promise<void> {
    const { key } = this.layer;
    const isHalf = this.attention.dtype === "fp16";
    const bits = await key.read(new Uint16Array(key.byteLength / 2));
    const elements = bits.length / this.pages;
    const exponent = isHalf ? { shift: 10, mask: 0x1f } : { shift: 7, mask: 0xff };
    for (let i = 0; i < bits.length; i++) {
      const steps = Math.floor(i / elements) % 7;
      // Zeros and denormals stay: they are too small to matter.
      if (((bits[i]! >> exponent.shift) & exponent.mask) === 0) continue;
      bits[i]! += steps << exponent.shift;
      this.host.key[i]! *= 2 ** steps;
    }
    await key.write(bits);
  }

  /** Gives the next batch a new random page table. */
  async shufflePages(random: () => number): Promise<void> {
    this.pageIndices = permutation(this.pages, random);
    await this.layer.pageIndices.write(this.pageIndices);
  }

  /** Gives the next batch this page table. */
  async setPages(pageIndices: Int32Array): Promise<void> {
    this.pageIndices = pageIndices;
    await this.layer.pageIndices.write(pageIndices);
  }

  /** NaN everywhere, so that what is not written shows. */
  poison(): void {
    this.layer.output.fill(0xff);
    this.layer.lse.fill(0xff);
  }

  async outputBits(tokens: number): Promise<Uint16Array> {
    return await this.layer.output.read(new Uint16Array(tokens * this.attention.queryHeads * this.attention.headDim));
  }

  /** Compares what the device holds with the reference, on rows that `wanted` chooses; looks for poison on all rows. */
  async compare(batch: HostBatch, wanted: (row: number) => boolean): Promise<Comparison> {
    const { attention, host, pageIndices } = this;
    const { queryHeads, headDim, dtype } = attention;
    const tokens = batch.qoLens.reduce((sum, length) => sum + length, 0);
    const output = decode(await this.outputBits(tokens), dtype === "fp16");
    const lse = await this.layer.lse.read(new Float32Array(tokens * queryHeads));
    let unwritten = 0;
    for (let i = 0; i < output.length; i++) if (Number.isNaN(output[i]!)) unwritten++;
    for (let i = 0; i < lse.length; i++) if (Number.isNaN(lse[i]!)) unwritten++;
    let difference = 0;
    let norm = 0;
    let lseError = 0;
    const tensors = {
      query: host.query,
      key: host.key,
      value: host.value,
      pageIndices,
      ...(attention.sinks === true ? { sinks: host.sinks } : {}),
    };
    forEachRow(attention, batch, tensors, wanted, (row, expected, expectedLse) => {
      for (let d = 0; d < headDim; d++) {
        const error = output[row * headDim + d]! - expected[d]!;
        difference += error * error;
        norm += expected[d]! * expected[d]!;
      }
      const found = lse[row]!;
      const error = found === expectedLse ? 0 : Math.abs(found - expectedLse);
      if (!(error <= lseError)) lseError = error;
    });
    const relativeError = norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
    return { relativeError, lseError, unwritten };
  }

  close(): void {
    const { query, key, value, output, lse, pageIndices, sinks } = this.layer;
    for (const tensor of [query, key, value, output, lse, pageIndices, sinks]) tensor?.close();
  }
}

/** Replays a plan on the bed and compares. */
export async function replayAndCompare(
  bed: Bed,
  graph: CapturedGraph,
  plan: Plan,
  batch: HostBatch,
  wanted: (row: number) => boolean,
): Promise<Comparison> {
  bed.poison();
  await graph.replay(plan);
  return await bed.compare(batch, wanted);
}

/** Rows a reference may cost: all of them while cheap, a random sample otherwise. */
export function sampleRows(
  attention: AttentionShape,
  batch: HostBatch,
  random: () => number,
  budget: number,
): (row: number) => boolean {
  let cost = 0;
  batch.qoLens.forEach((qoLen, i) => {
    cost += qoLen * attention.queryHeads * Math.max(1, batch.kvLens[i]!) * attention.headDim;
  });
  const share = Math.min(1, budget / Math.max(cost, 1));
  return () => random() < share;
}

function decode(bits: Uint16Array, isHalf: boolean): Float32Array {
  const table = isHalf ? halfTable() : bf16Table();
  const floats = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) floats[i] = table[bits[i]!]!;
  return floats;
}

let bf16Values: Float32Array | undefined;
let halfValues: Float32Array | undefined;

function bf16Table(): Float32Array {
  bf16Values ??= new Float32Array(Uint32Array.from({ length: 65_536 }, (_, i) => i << 16).buffer);
  return bf16Values;
}

function halfTable(): Float32Array {
  halfValues ??= Float32Array.from({ length: 65_536 }, (_, word) => {
    const sign = word & 0x8000 ? -1 : 1;
    const exponent = (word >> 10) & 0x1f;
    const fraction = word & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  return halfValues;
}

/** [pages, kvHeads, pageSize, D] → [pages, pageSize, kvHeads, D] where the cache is head-major. */
function tokenMajor(data: Float32Array, attention: AttentionShape, headMajor: boolean): Float32Array {
  if (!headMajor) return data;
  const { kvHeads, pageSize, headDim } = attention;
  const out = new Float32Array(data.length);
  const pages = data.length / (kvHeads * pageSize * headDim);
  for (let page = 0; page < pages; page++) {
    for (let head = 0; head < kvHeads; head++) {
      for (let slot = 0; slot < pageSize; slot++) {
        const from = ((page * kvHeads + head) * pageSize + slot) * headDim;
        const to = ((page * pageSize + slot) * kvHeads + head) * headDim;
        out.set(data.subarray(from, from + headDim), to);
      }
    }
  }
  return out;
}
