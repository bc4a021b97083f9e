// How long the kernel level takes: planning and simulating one attention launch, by batch size.
//
//   npm run build && node packages/simulator/bench/kernel.bench.mjs [--json]
//
// Decode batches with 32/8 heads on an H100 profile, lengths lognormal (median 700, σ 1.1: near production decodes).
// Processor time, minimum over rounds: other work on the machine only ever adds to it.

import { clonePlan, createPlanner } from "@isochron/planner";
import { findProfile, KernelSimulator, plannerDevice, simulateKernel } from "@isochron/simulator";

const profile = findProfile("h100-sxm");
const attention = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};
const planner = createPlanner({ attention, device: plannerDevice(profile), policy: "balanced" });
const simulator = new KernelSimulator(profile);

/** Numbers in [0, 1), the same on every run (Park–Miller). */
function randomStream(seed) {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

function decodeBatch(size, random) {
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return {
    qoLens: new Int32Array(size).fill(1),
    kvLens: Int32Array.from({ length: size }, () =>
      Math.max(16, Math.min(32_000, Math.round(700 * Math.exp(1.1 * normal())))),
    ),
  };
}

/** Microseconds of processor time of one call: the fastest of several rounds. */
function timeUs(call, calls) {
  for (let i = 0; i < calls; i++) call(i);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 15; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < calls; i++) call(i);
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / calls);
  }
  return best;
}

const rows = [];
for (const size of [1, 16, 32, 64, 128, 256, 1024]) {
  const random = randomStream(size);
  const batches = Array.from({ length: 16 }, () => decodeBatch(size, random));
  // Enough that the just-in-time compiler is done: a replay makes hundreds of thousands of calls.
  const calls = Math.max(200, Math.ceil(8192 / size));
  const planUs = timeUs((i) => planner.plan(batches[i % 16]), calls);
  const plans = batches.map((batch) => clonePlan(planner.plan(batch)));
  const simulateUs = timeUs((i) => simulator.run(plans[i % 16]), calls);
  const timelineUs = timeUs((i) => simulateKernel(plans[i % 16], profile), Math.max(2, Math.ceil(256 / size)));
  simulator.run(plans[0]);
  rows.push({
    decodes: size,
    pieces: simulator.totals.pieces,
    planUs: Number(planUs.toFixed(1)),
    simulateUs: Number(simulateUs.toFixed(1)),
    timelineUs: Number(timelineUs.toFixed(0)),
    simulatedUs: Number(simulator.durationUs.toFixed(1)),
    overBound: Number((simulator.durationUs / simulator.lowerBoundUs).toFixed(3)),
  });
}
if (process.argv.includes("--json")) console.log(JSON.stringify({ isochron: "bench/1", node: process.version, rows }));
else console.table(rows);
