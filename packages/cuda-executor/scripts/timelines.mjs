// run.sh timelines [FILE]: measured timelines against simulated ones of the same plans, on the bundled profile and on one
// calibrated just before; and what measuring costs. A makespan is from the first piece's start to the last end. Both
// launches are eager and take turns, each on the next cold copy.

import { readFileSync, writeFileSync } from "node:fs";
import { CudaExecutor, calibrate } from "@isochron/cuda-executor";
import { createPlanner } from "@isochron/planner";

const bench = new URL("./node_modules/@isochron/cuda-executor/dist/bench/", import.meta.url);
const simulator = new URL("./node_modules/@isochron/simulator/dist/index.js", import.meta.url);
const { findProfile, gpuProfileSchema, simulateKernel } = await import(simulator.href);
const { coldCase, createPool } = await import(new URL("pool.js", bench).href);
const { machine } = await import(new URL("machine.js", bench).href);
const out = process.argv[2];
const executor = CudaExecutor.open();
const bundled = findProfile("h100-sxm");
const calibrated = gpuProfileSchema.parse((await calibrate(executor, bundled)).profile);
const pool = createPool(executor, 1);
/** As the benchmark: with so many copies a small case's KV is 512 MiB, ten times L2, between two launches on one copy. */
const MOST_COPIES = 128;
const { addon, context } = executor.native;
const results = [];
const median = (l) => l.toSorted((a, b) => a - b)[l.length >> 1];
const load = (f, k) =>
  JSON.parse(readFileSync(new URL(`../../bench/data/${f}`, bench)))[k].map((c) => ({ ...c, kind: f }));
for (const c of [...load("cases.json", "decode"), ...load("trace-steps.json", "decode")]) {
  const attention = {
    queryHeads: 32,
    kvHeads: 8,
    headDim: 128,
    dtype: "bf16",
    kvDtype: "bf16",
    pageSize: 16,
    mask: { kind: "causal" },
  };
  const one = { id: c.id, kvLens: c.kv_lens, qoLens: c.kv_lens.map(() => 1), prefixTokens: 0 };
  const plan = createPlanner({ attention, device: executor.plannerDevice(attention) }).plan(one);
  const cold = await coldCase(executor, pool, attention, one, MOST_COPIES);
  const bytes = new Uint8Array(plan.buffer);
  const session = addon.createSession(context, bytes);
  const spans = [],
    timed = [],
    plain = [];
  let copy = 0;
  const nextCopy = () => {
    const layer = cold.layers[copy++ % cold.layers.length];
    return {
      query: layer.query.handle,
      key: layer.key.handle,
      value: layer.value.handle,
      output: layer.output.handle,
      lse: layer.lse.handle,
      pageIndices: layer.pageIndices.handle,
      queryOffset: layer.offsets.query,
      keyOffset: 0,
      valueOffset: 0,
      outputOffset: layer.offsets.output,
      lseOffset: layer.offsets.lse,
      pageIndexOffset: layer.offsets.pageIndices,
      queryTokens: layer.queryTokens,
      pages: layer.pages,
      pageTableLength: layer.pageTableLength,
      headMajor: false,
      historyIsReady: true,
    };
  };
  for (let i = 0; i < 12; i++) {
    const launch = await addon.launch(session, bytes, nextCopy());
    const trace = await addon.trace(session, bytes, nextCopy());
    if (i < 3) continue;
    let end = 0;
    for (const a of [trace.pieces, trace.merges])
      for (let at = 0; at < a.length; at += 8) end = Math.max(end, a[at + 1]);
    spans.push(end);
    timed.push(trace.durationUs);
    plain.push(launch);
  }
  addon.releaseSession(session);
  const measuredUs = median(spans);
  const simulate = (profile) => {
    const { slices } = simulateKernel(plan, profile).timeline;
    return Math.max(...slices.endUs) - Math.min(...slices.startUs);
  };
  results.push({
    case: c.id,
    kind: c.kind,
    measuredUs,
    bundledUs: simulate(bundled),
    calibratedUs: simulate(calibrated),
    timedUs: median(timed),
    plainUs: median(plain),
  });
  cold.close();
}
for (const kind of ["cases.json", "trace-steps.json"]) {
  const of = results.filter((r) => r.kind === kind);
  for (const key of ["bundledUs", "calibratedUs"]) {
    const e = of.map((r) => Math.abs(r[key] / r.measuredUs - 1)).sort((a, b) => a - b);
    console.log(
      kind,
      key,
      "makespan error median",
      (100 * e[e.length >> 1]).toFixed(1),
      "% p90",
      (100 * e[Math.floor(0.9 * e.length)]).toFixed(1),
      "%",
    );
  }
  console.log(
    kind,
    "timeline overhead median",
    (100 * (median(of.map((r) => r.timedUs / r.plainUs)) - 1)).toFixed(1),
    "%",
  );
}
for (const r of results.slice(0, 36))
  console.log(
    r.case.padEnd(24),
    r.measuredUs.toFixed(1),
    r.bundledUs.toFixed(1),
    r.calibratedUs.toFixed(1),
    r.timedUs.toFixed(1),
    r.plainUs.toFixed(1),
  );
if (out) writeFileSync(out, JSON.stringify({ machine: machine(executor), benchmark: "timelines", results }, null, 1));
await executor.close();
