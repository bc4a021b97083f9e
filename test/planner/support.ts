// Random batches, devices and tensors for the planner's properties.

import type { AttentionBatch, AttentionShape, AttentionTensors, Device, Mask } from "@isochron/planner";
import { collectJobs, Jobs, workerCount } from "@isochron/planner";
import fc from "fast-check";

/** Cases of a property: 1,000, or as many as ISOCHRON_CASES says (the long mode). */
export const CASES: number = Number(process.env["ISOCHRON_CASES"] ?? 1000);

/** 32 query heads on 8 KV heads of 128 elements, causal, pages of 16: Llama-3.1-8B. */
export const LLAMA_8B: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

export const masks: fc.Arbitrary<Mask> = fc.oneof(
  fc.constant<Mask>({ kind: "causal" }),
  fc.constant<Mask>({ kind: "full" }),
  fc.integer({ min: 1, max: 400 }).map((window): Mask => ({ kind: "sliding-window", window })),
);

/** Shapes of every group size. */
export const attentionShapes: fc.Arbitrary<AttentionShape> = shapes(4, [1, 2, 3, 4, 7, 8, 16, 128]);

/** Shapes that the reference interpreter runs in a moment. */
export const smallShapes: fc.Arbitrary<AttentionShape> = shapes(2, [1, 2, 3, 7, 16]);

function shapes(maxKvHeads: number, groups: number[]): fc.Arbitrary<AttentionShape> {
  return fc
    .record({
      kvHeads: fc.integer({ min: 1, max: maxKvHeads }),
      group: fc.constantFrom(...groups),
      headDim: fc.constantFrom(1, 2, 4),
      pageSize: fc.constantFrom(1, 3, 16, 256),
      mask: masks,
      softCap: fc.option(fc.double({ min: 0.5, max: 50, noNaN: true }), { nil: undefined }),
      sinks: fc.boolean(),
    })
    .map(({ kvHeads, group, softCap, sinks, ...rest }) => ({
      ...rest,
      queryHeads: kvHeads * group,
      kvHeads,
      dtype: "bf16" as const,
      kvDtype: "bf16" as const,
      ...(softCap === undefined ? {} : { softCap: Math.fround(softCap) }),
      ...(sinks ? { sinks } : {}),
    }));
}

/** Batches of decodes, appends, prefills and empty requests, query longer than KV among them. */
export function batches(maxRequests: number, maxQuery: number, maxKv: number): fc.Arbitrary<AttentionBatch> {
  const request = fc.tuple(
    fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 2, arbitrary: fc.integer({ min: 0, max: maxQuery }) }),
    fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 0, max: maxKv }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: Math.ceil(maxKv / 50) }) },
    ),
  );
  return fc.array(request, { maxLength: maxRequests }).map((requests) => ({
    qoLens: requests.map(([qoLen]) => qoLen),
    kvLens: requests.map(([, kvLen]) => kvLen),
  }));
}

/** Devices of 1 to 40 workers whose costs are whole numbers of tiles (isWhole) or anything. */
export function devices(isWhole: boolean, surcharge: fc.Arbitrary<number> = fc.constant(0)): fc.Arbitrary<Device> {
  const cost = isWhole
    ? fc.integer({ min: 0, max: 8 }).map((tiles) => ({ pieceNs: tiles * 100, kvTileNs: 100 }))
    : fc.record({ pieceNs: fc.integer({ min: 0, max: 5000 }), kvTileNs: fc.integer({ min: 1, max: 3000 }) });
  return fc
    .record({
      smCount: fc.integer({ min: 1, max: 20 }),
      ctasPerSm: fc.integer({ min: 1, max: 2 }),
      costs: isWhole ? cost.map((one) => [one, one, one]) : fc.array(cost, { minLength: 3, maxLength: 3 }),
      kvTileTokens: fc.constantFrom(16, 64),
      surchargeTiles: surcharge,
    })
    .map(({ smCount, ctasPerSm, costs, kvTileTokens, surchargeTiles }) => ({
      name: "random",
      smCount,
      ctasPerSm,
      costModel: {
        kvTileTokens,
        queryTiles: [16, 64, 128].map((rows, i) => ({ rows, ...costs[i]! })),
        mergeNs: 1000,
        mergePartialNs: 100,
        surchargeTiles,
      },
    }));
}

/** Repeatable uniform numbers in [−1, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Random tensors for a batch; pages lie in random order and are reused from a pool, as in a real cache. */
export function randomTensors(attention: AttentionShape, batch: AttentionBatch, seed: number): AttentionTensors {
  const random = randomNumbers(seed);
  const fill = (length: number): Float64Array => Float64Array.from({ length }, () => 2 * random());
  const tokens = Array.from(batch.qoLens).reduce((sum, qoLen) => sum + qoLen, 0);
  const pageCounts = Array.from(batch.kvLens, (kvLen) => Math.ceil(kvLen / attention.pageSize));
  const pageIndptr = [0];
  for (const count of pageCounts) pageIndptr.push(pageIndptr[pageIndptr.length - 1]! + count);
  const pool = Math.max(1, Math.min(64, pageIndptr[pageIndptr.length - 1]!));
  const pageIndices = Array.from({ length: pageIndptr[pageIndptr.length - 1]! }, () =>
    Math.floor(((random() + 1) / 2) * pool),
  );
  const { queryHeads, kvHeads, headDim, valueHeadDim = headDim, pageSize } = attention;
  return {
    query: fill(tokens * queryHeads * headDim),
    key: fill(pool * pageSize * kvHeads * headDim),
    value: fill(pool * pageSize * kvHeads * valueHeadDim),
    pageIndptr,
    pageIndices,
    ...(attention.sinks === true ? { sinks: fill(queryHeads) } : {}),
  };
}

/** ‖a − b‖ / ‖b‖; 0 when both are zero. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

/** ⌈Σ(A + n·c) / P⌉ and the dearest A and c among the jobs. */
export function area(attention: AttentionShape, device: Device, batch: AttentionBatch) {
  const jobs = new Jobs();
  collectJobs(jobs, attention, device.costModel, batch.qoLens, batch.kvLens, batch.qoLens.length);
  let sum = 0;
  let pieceNs = 0;
  let kvTileNs = 0;
  for (let j = 0; j < jobs.count; j++) {
    sum += jobs.wholeNs[j]! * jobs.headCount;
    pieceNs = Math.max(pieceNs, jobs.pieceNs[j]!);
    kvTileNs = Math.max(kvTileNs, jobs.kvTileNs[j]!);
  }
  return { areaNs: Math.ceil(sum / workerCount(device)), pieceNs, kvTileNs, jobCount: jobs.count * jobs.headCount };
}

/** One query head and one KV head: a job is a request. */
export const ONE_HEAD: AttentionShape = { ...LLAMA_8B, queryHeads: 1, kvHeads: 1 };

/** Workers for which a tile costs 1 ns and a piece `piece` ns. */
export function unitDevice(workers: number, piece: number): Device {
  return {
    name: "unit",
    smCount: workers,
    ctasPerSm: 1,
    costModel: {
      kvTileTokens: 64,
      queryTiles: [{ rows: 16, pieceNs: piece, kvTileNs: 1 }],
      mergeNs: 0,
      mergePartialNs: 0,
      surchargeTiles: 0,
    },
  };
}

export function decodes(tiles: readonly number[]): AttentionBatch {
  return { qoLens: tiles.map(() => 1), kvLens: tiles.map((n) => n * 64) };
}

/** Best makespan over all ways to give each worker any number of tiles of each job. */
export function exhaustiveOptimum(tiles: readonly number[], workers: number, piece: number): number {
  const loads = new Array<number>(workers).fill(0);
  let best = Number.POSITIVE_INFINITY;
  const place = (job: number, worker: number, left: number): void => {
    if (Math.max(...loads) >= best) return;
    if (job === tiles.length) {
      best = Math.max(...loads);
      return;
    }
    if (worker === workers) {
      if (left === 0) place(job + 1, 0, tiles[job + 1] ?? 0);
      return;
    }
    for (let take = 0; take <= left; take++) {
      const cost = take === 0 ? 0 : piece + take;
      loads[worker]! += cost;
      place(job, worker + 1, left - take);
      loads[worker]! -= cost;
    }
  };
  place(0, 0, tiles[0]!);
  return best;
}
