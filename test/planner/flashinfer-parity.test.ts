// The native FlashInfer planners against recordings of FlashInfer's own, and the order of equal keys against libstdc++'s.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { FlashInferInput } from "@isochron/planner/flashinfer";
import {
  FlashInferLimitError,
  introsortDescending,
  NATIVE_PLANNERS,
  planDecode,
  planFa2,
  WorkerHeap,
} from "@isochron/planner/flashinfer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const fixture = (name: string): URL => new URL(`./fixtures/flashinfer/${name}`, import.meta.url);

interface Recording {
  readonly id: string;
  readonly input: FlashInferInput;
  readonly output: Record<string, unknown>;
}

function recordings(name: string): Recording[] {
  const { cases } = JSON.parse(gunzipSync(readFileSync(fixture(`recordings/${name}`))).toString("utf8")) as {
    cases: Recording[];
  };
  return cases;
}

/** Typed arrays as plain ones, at any depth. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, v) => (ArrayBuffer.isView(v) ? [...(v as Int32Array)] : v)));
}

describe("the native FlashInfer planners", () => {
  for (const planner of ["decode", "prefill", "holistic", "sm90", "mla"] as const) {
    it(`emit every recorded field of every ${planner} case`, () => {
      const cases = recordings(`${planner}.json.gz`);
      expect(cases.length).toBeGreaterThan(15);
      for (const { id, input, output } of cases) {
        const { plan_buffers_match_split_fn, gathered_arrays_match_batch_indices, ...expected } = output;
        expect(plan_buffers_match_split_fn ?? gathered_arrays_match_batch_indices ?? true, id).toBe(true);
        expect(plain(NATIVE_PLANNERS[planner].plan(input)), id).toEqual(expected);
      }
    });
  }

  it("refuse what FlashInfer has no kernel for or would overrun", () => {
    const input = recordings("decode.json.gz")[0]!.input;
    expect(() => planDecode({ ...input, num_qo_heads: 28, num_kv_heads: 4 })).toThrow(FlashInferLimitError);
    // One long request and 40 empty ones: the search for a chunk size counts the empty ones as no CTA, the launch as one.
    const kvLens = [65_536, ...Array<number>(40).fill(0)];
    const overrun = { ...input, num_sm: 132, occ: 4, num_qo_heads: 32, num_kv_heads: 8, page_size: 16, batch_size: 41 };
    const indptr = { kv_indptr: [0, ...kvLens.map(() => 4096)], kv_len: kvLens };
    expect(() => planDecode({ ...overrun, ...indptr, enable_cuda_graph: true })).toThrow(
      "new_batch_size is 106, its limit is 66, the padded batch size",
    );
    expect(planDecode({ ...overrun, ...indptr, enable_cuda_graph: false }).new_batch_size).toBe(106);
    const prefill = recordings("prefill.json.gz")[0]!.input;
    expect(() => planFa2({ ...prefill, batch_size: 0 })).toThrow(FlashInferLimitError);
  });
});

interface Orders {
  readonly sorts: { name: string; keys: number[]; ids: number[] }[];
  readonly heaps: { name: string; workers: number; costs: number[]; order: number[] }[];
}
const orders = JSON.parse(readFileSync(fixture("libstdcxx-order.json"), "utf8")) as Orders;

function sorted(keys: readonly number[]): Int32Array {
  const entries = { ids: Int32Array.from(keys, (_, i) => i), keys: Float64Array.from(keys) };
  introsortDescending(entries);
  return entries.ids;
}

describe("equal keys keep libstdc++'s order", () => {
  for (const { name, keys, ids } of orders.sorts) {
    it(`when sorting ${name}`, () => expect([...sorted(keys)]).toEqual(ids));
  }
  for (const { name, workers, costs, order } of orders.heaps) {
    it(`when dealing ${name}`, () => {
      const heap = new WorkerHeap(workers);
      // A query tile of 0 rows leaves the KV tokens as the cost.
      expect(costs.map((cost) => heap.assign(0, cost))).toEqual(order);
    });
  }

  it("and any keys come out descending, each id once", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 200 }), (keys) => {
        const ids = [...sorted(keys)];
        expect(ids.map((id) => keys[id])).toEqual(keys.toSorted((a, b) => b - a));
        expect(new Set(ids).size).toBe(keys.length);
      }),
      { numRuns: 1000 },
    );
  });
});
