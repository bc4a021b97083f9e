// The KV pool of the benchmark, and cold copies of a case on it: the method of data/NOTICE.md.
//
// K and V pools of 33 chunks of 2^28 elements, random normal. A case is launched N times in one graph, each time on other pages,
// so that its KV comes from memory and never from L2; the time of a launch is the replay's over N.

import { createRequire } from "node:module";
import type { CudaExecutor, DeviceTensor, LayerTensors } from "@isochron/cuda-executor";
import type { AttentionShape } from "@isochron/planner";
import { permutation, seededRandom } from "./random.ts";

const CHUNK = 2 ** 28;
const QUERY_ELEMENTS = 2 ** 29;
/** A case is copied until its KV is at least this large. */
const COLD_BYTES = 512 * 2 ** 20;

export interface Case {
  readonly id: string;
  readonly qoLens: readonly number[];
  readonly kvLens: readonly number[];
}

export interface Pool {
  readonly key: DeviceTensor;
  readonly value: DeviceTensor;
  readonly query: DeviceTensor;
  readonly output: DeviceTensor;
  readonly lse: DeviceTensor;
}

/** One case, ready to be captured: N layers on N page tables. */
export interface ColdCase {
  readonly layers: readonly LayerTensors[];
  readonly copies: number;
  readonly pagesPerCopy: number;
  /** Bytes of K and V that one launch must read. */
  readonly kvBytes: number;
  readonly pageTokens: Uint16Array;
  readonly pageIndices: DeviceTensor;
  close(): void;
}

/** `share` of the full pool: 1 for the recorded method. */
export function createPool(executor: CudaExecutor, share: number): Pool {
  const elements = Math.max(1, Math.round(33 * share)) * CHUNK;
  const pool = {
    key: executor.tensor(elements * 2),
    value: executor.tensor(elements * 2),
    query: executor.tensor(QUERY_ELEMENTS * 2),
    output: executor.tensor(QUERY_ELEMENTS * 2),
    lse: executor.tensor(2 ** 24 * 4),
  };
  for (let at = 0, i = 0; at < elements; at += CHUNK, i++) {
    pool.key.fillNormal(1000 + i, "bf16", at, CHUNK);
    pool.value.fillNormal(2000 + i, "bf16", at, CHUNK);
  }
  pool.query.fillNormal(7, "bf16");
  return pool;
}

export async function coldCase(
  executor: CudaExecutor,
  pool: Pool,
  attention: AttentionShape,
  { id, qoLens, kvLens }: Case,
  maxCopies: number,
): Promise<ColdCase> {
  const { queryHeads, kvHeads, headDim, pageSize } = attention;
  const tokenElements = kvHeads * headDim;
  const poolPages = Math.floor(pool.key.byteLength / 2 / (pageSize * tokenElements));
  const kvTokens = kvLens.reduce((sum, length) => sum + length, 0);
  const queryTokens = qoLens.reduce((sum, length) => sum + length, 0);
  const kvBytes = kvTokens * tokenElements * 4;
  const pageTokens = Uint16Array.from(
    kvLens.flatMap((length) =>
      Array.from({ length: Math.ceil(length / pageSize) }, (_, p) => Math.min(pageSize, length - p * pageSize)),
    ),
  );
  const pages = pageTokens.length;
  const copies = Math.max(1, Math.min(maxCopies, Math.ceil(COLD_BYTES / kvBytes), Math.floor(poolPages / pages)));
  const seed = crc32(`${id}|${queryHeads}|${kvHeads}|${pageSize}`);
  const order = permutation(copies * pages, seededRandom(seed));
  const pageIndices = await executor.upload(order);
  const elements = queryTokens * queryHeads * headDim;
  const rows = queryTokens * queryHeads;
  const layers = Array.from({ length: copies }, (_, copy): LayerTensors => {
    const slot = copy % Math.floor(QUERY_ELEMENTS / elements);
    return {
      ...pool,
      pageIndices,
      offsets: {
        query: slot * elements,
        output: slot * elements,
        lse: (copy % Math.floor(2 ** 24 / rows)) * rows,
        pageIndices: copy * pages,
      },
      queryTokens,
      pages: poolPages,
      pageTableLength: pages,
    };
  });
  return { layers, copies, pagesPerCopy: pages, kvBytes, pageTokens, pageIndices, close: () => pageIndices.close() };
}

/** The floor: µs of one gather read of the case, for each replay of a graph of all copies. */
export async function timeFloor(
  executor: CudaExecutor,
  pool: Pool,
  attention: AttentionShape,
  cold: ColdCase,
  ctas: number,
  warmUps: number,
  repetitions: number,
): Promise<Float64Array> {
  const { addon, context } = executor.native;
  const pageTokens = await executor.upload(cold.pageTokens);
  const times = await addon.timeGather(
    context,
    pool.key.handle,
    pool.value.handle,
    cold.pageIndices.handle,
    pageTokens.handle,
    cold.pagesPerCopy,
    cold.copies,
    attention.pageSize,
    attention.kvHeads * attention.headDim * 2,
    ctas,
    warmUps,
    repetitions,
  );
  pageTokens.close();
  return times.map((us) => us / cold.copies);
}

/** CRC-32 (IEEE), as in Python's zlib: the recorded cases are seeded with it. */
export function crc32(text: string): number {
  const { crc32: native } = createRequire(import.meta.url)("node:zlib") as { crc32?: (data: string) => number };
  if (native !== undefined) return native(text);
  let crc = 0xffff_ffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
