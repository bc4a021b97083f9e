// The KV pool of the benchmark, and cold copies of a case on it: the method of data/NOTICE.md.
//
// K and V pools of 33 chunks of 2^28 elements, random normal. A case is launched N times in one graph, each time on other pages,
// so that its KV comes from memory and never from L2; the time of a launch is the replay's over N.

import { createRequire } from "node:module";
import type { CudaExecutor, DeviceTensor, LayerTensors } from "@isochron/cuda-executor";
import type { AttentionBatch, AttentionShape } from "@isochron/planner";
import type { Case } from "./case-file.ts";
import { permutation, seededRandom } from "./random.ts";

const CHUNK = 2 ** 28;
const QUERY_ELEMENTS = 2 ** 29;
const LSE_ROWS = 2 ** 24;
/** A case is copied until its KV is at least this large. */
const COLD_BYTES = 512 * 2 ** 20;

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
  /** Entries of the page table. */
  readonly entriesPerCopy: number;
  /** Bytes of K and V that one launch must read, a prefix once. */
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
    lse: executor.tensor(LSE_ROWS * 4),
  };
  for (let at = 0, i = 0; at < elements; at += CHUNK, i++) {
    pool.key.fillNormal(1000 + i, "bf16", at, CHUNK);
    pool.value.fillNormal(2000 + i, "bf16", at, CHUNK);
  }
  pool.query.fillNormal(7, "bf16");
  return pool;
}

/** Pages that all requests of a case have in common: the whole ones of its prefix. */
function sharedPagesOf({ prefixTokens }: Case, pageSize: number): number {
  return Math.floor(prefixTokens / pageSize);
}

/** The batch of a case, with its prefix as the planner takes it. */
export function batchOf(one: Case, pageSize: number): AttentionBatch {
  const { qoLens, kvLens } = one;
  const kvLen = sharedPagesOf(one, pageSize) * pageSize;
  return kvLen === 0
    ? { qoLens, kvLens }
    : { qoLens, kvLens, prefixes: [{ requests: kvLens.map((_, r) => r), kvLen }] };
}

/** Throws a RangeError where one copy of the case does not fit the pool. */
export async function coldCase(
  executor: CudaExecutor,
  pool: Pool,
  attention: AttentionShape,
  one: Case,
  maxCopies: number,
): Promise<ColdCase> {
  const { id, qoLens, kvLens } = one;
  const { queryHeads, kvHeads, headDim, pageSize } = attention;
  const tokenElements = kvHeads * headDim;
  const poolPages = Math.floor(pool.key.byteLength / 2 / (pageSize * tokenElements));
  const queryTokens = qoLens.reduce((sum, length) => sum + length, 0);
  const shared = sharedPagesOf(one, pageSize);
  const pagesOf = kvLens.map((length) => Math.ceil(length / pageSize));
  const ownPages = pagesOf.reduce((sum, n) => sum + n - shared, 0);
  const ownTokens = kvLens.reduce((sum, length) => sum + length - shared * pageSize, 0);
  const kvBytes = (shared * pageSize + ownTokens) * tokenElements * 4;
  const pageTokens = Uint16Array.from(
    kvLens.flatMap((length) =>
      Array.from({ length: Math.ceil(length / pageSize) }, (_, p) => Math.min(pageSize, length - p * pageSize)),
    ),
  );
  const entries = pageTokens.length;
  const distinct = shared + ownPages;
  const largest = Math.max(1, queryTokens) * queryHeads * headDim;
  if (distinct > poolPages) throw new RangeError(`${id} has ${distinct} pages, the pool ${poolPages}`);
  if (largest > QUERY_ELEMENTS) throw new RangeError(`${id} has ${largest} query elements, the pool ${QUERY_ELEMENTS}`);
  const coldBytes = ownTokens * tokenElements * 4;
  const wanted = Math.ceil(COLD_BYTES / Math.max(1, coldBytes));
  const copies = Math.max(1, Math.min(maxCopies, wanted, Math.floor(poolPages / Math.max(1, distinct))));
  const seed = crc32(`${id}|${queryHeads}|${kvHeads}|${pageSize}`);
  const order = permutation(copies * distinct, seededRandom(seed));
  const table = new Int32Array(copies * entries);
  for (let copy = 0, at = 0; copy < copies; copy++) {
    const first = copy * distinct;
    let next = first + shared;
    for (const count of pagesOf) {
      for (let p = 0; p < count; p++) table[at++] = order[p < shared ? first + p : next++]!;
    }
  }
  const pageIndices = await executor.upload(table);
  const elements = queryTokens * queryHeads * headDim;
  const rows = queryTokens * queryHeads;
  const layers = Array.from({ length: copies }, (_, copy): LayerTensors => {
    const slot = copy % Math.floor(QUERY_ELEMENTS / Math.max(1, elements));
    return {
      ...pool,
      pageIndices,
      offsets: {
        query: slot * elements,
        output: slot * elements,
        lse: (copy % Math.floor(LSE_ROWS / Math.max(1, rows))) * rows,
        pageIndices: copy * entries,
      },
      queryTokens,
      pages: poolPages,
      pageTableLength: entries,
    };
  });
  return {
    layers,
    copies,
    entriesPerCopy: entries,
    kvBytes,
    pageTokens,
    pageIndices,
    close: () => pageIndices.close(),
  };
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
    cold.entriesPerCopy,
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
