// Time of one plan() call, warm, on one core: decodes of 512 to 8,192 KV tokens, 32 query and 8 KV heads, the batches
// changing from call to call. Also garbage collections and heap bytes while planning, bytes per plan, and step().

import { PerformanceObserver, performance } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createPlanner, H100_SXM, POLICIES, PolicyNotApplicableError } from "../dist/index.js";

export const BATCH_SIZES = [1, 16, 64, 256, 1024];
const ATTENTION = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};
const SEED = 20_261_120;
/** Different batches that are planned in turn, so that no branch predictor learns one of them by heart. */
const BATCHES = 16;
const SAMPLES = 101;
const SAMPLE_MS = 0.5;
const WARM_UP_MS = 150;
const GC_PLANS = 5000;

// The collector, without a command-line flag.
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc");

export async function measurePlanTimes(policies) {
  const rows = [];
  for (const policy of policies) {
    const row = { policy, medianUs: {}, bytes: {}, stepUnchangedUs: undefined };
    for (const size of BATCH_SIZES) {
      try {
        const { medianUs, bytes } = timePlans(policy, decodeBatches(size));
        row.medianUs[size] = medianUs;
        row.bytes[size] = bytes;
      } catch (error) {
        if (!(error instanceof PolicyNotApplicableError)) throw error;
      }
    }
    row.collections = await countCollections(policy);
    row.stepUnchangedUs = timeUnchangedStep(policy);
    rows.push(row);
    console.error(`timed ${policy}`);
  }
  return rows;
}

/** Batches of single-token decodes, lengths uniform in 512 … 8,192, from a fixed seed. */
function decodeBatches(size) {
  let state = SEED;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: BATCHES }, () => ({
    qoLens: new Int32Array(size).fill(1),
    kvLens: Int32Array.from({ length: size }, () => 512 + Math.floor(next() * 7681)),
  }));
}

function timePlans(policy, batches) {
  const planner = createPlanner({ attention: ATTENTION, device: H100_SXM, policy });
  const medianUs = medianTimeUs((i) => planner.plan(batches[i % BATCHES]));
  return { medianUs, bytes: planner.plan(batches[0]).usedBytes };
}

/** Median over samples of the mean time of a call within a sample, in microseconds. */
function medianTimeUs(call) {
  let calls = 0;
  const warmUntil = performance.now() + WARM_UP_MS;
  const warmFrom = performance.now();
  while (performance.now() < warmUntil || calls < 50) call(calls++);
  const perCallMs = (performance.now() - warmFrom) / calls;
  const perSample = Math.max(1, Math.round(SAMPLE_MS / perCallMs));
  const samples = new Float64Array(SAMPLES);
  for (let s = 0; s < SAMPLES; s++) {
    const start = performance.now();
    for (let i = 0; i < perSample; i++) call(calls++);
    samples[s] = ((performance.now() - start) / perSample) * 1000;
  }
  samples.sort();
  return samples[SAMPLES >> 1];
}

/**
 * Garbage collections and heap growth while 5,000 warm plans of 256 decodes are made (500 with comparison policies).
 * Warm: the code is compiled, the buffers have grown to these batches, and what came before is collected, so that every
 * collection that is counted comes from the plans.
 */
async function countCollections(policy) {
  const batches = decodeBatches(256);
  const plans = POLICIES[policy].isComparison ? GC_PLANS / 10 : GC_PLANS;
  let planner;
  const planAll = (count) => {
    for (let i = 0; i < count; i++) planner.plan(batches[i % BATCHES]);
  };
  try {
    planner = createPlanner({ attention: ATTENTION, device: H100_SXM, policy });
    // More than once, so that this loop is compiled, too.
    for (let i = 0; i < 4; i++) planAll(plans / 8);
  } catch (error) {
    if (error instanceof PolicyNotApplicableError) return undefined;
    throw error;
  }
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  collectGarbage();
  await new Promise(setImmediate);
  observer.observe({ entryTypes: ["gc"] });
  const heapBefore = process.memoryUsage().heapUsed;
  planAll(plans);
  const heapAfter = process.memoryUsage().heapUsed;
  await new Promise((done) => setTimeout(done, 20));
  observer.disconnect();
  return { plans, collections, heapBytesPerPlan: collections > 0 ? undefined : (heapAfter - heapBefore) / plans };
}

/** Time of step() on a batch in which no request crosses a tile; undefined where planners cannot step. */
function timeUnchangedStep(policy) {
  const planner = createPlanner({ attention: ATTENTION, device: H100_SXM, policy });
  if (typeof planner.step !== "function") return undefined;
  const size = 256;
  const qoLens = new Int32Array(size).fill(1);
  // Lengths 10 and 11 tokens into a tile of 64: the step changes lengths and no tile.
  const lengths = (extra) => Int32Array.from({ length: size }, (_, i) => 64 * (8 + (i % 100)) + 10 + extra);
  const steps = [
    { qoLens, kvLens: lengths(0) },
    { qoLens, kvLens: lengths(1) },
  ];
  try {
    planner.plan(steps[0]);
    planner.step(steps[1]);
  } catch {
    return undefined;
  }
  return medianTimeUs((i) => planner.step(steps[i % 2]));
}
