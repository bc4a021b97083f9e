// What policies make of the planner's recorded batches, in simulated time: `npm run build && node scripts/simulated-policies.mjs`.
//
// The makespan counts no merges and prices every tile as if all workers were busy; the kernel simulation knows both. Each
// policy is held against the best of `none`, `balanced` and `tight` on the same batch, which are what `auto` chooses from
// (it also tries further variants of `tight`, so it can be below 1). Batches for more SMs than the profile has are left out.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createPlanner } from "@isochron/planner";
import { findProfile, plannerDevice, simulateKernel } from "@isochron/simulator";
import { readInputs } from "../packages/planner/bench/inputs.mjs";

export const CANDIDATES = ["none", "balanced", "tight"];
const POLICIES = [...CANDIDATES, "invariant", "auto"];
const DATA = fileURLToPath(new URL("../packages/planner/bench/data", import.meta.url));

/** For every `stride`-th batch { id, durationUs: by policy, overBest: by policy }. */
export function simulateRecorded(profileName, stride = 1) {
  const profile = findProfile(profileName);
  const files = readdirSync(DATA).filter((name) => name.endsWith(".json.gz"));
  const inputs = readInputs(files.map((name) => join(DATA, name)));
  return inputs
    .filter(({ smCount }, i) => i % stride === 0 && smCount <= profile.device.smCount.value)
    .map(({ id, smCount, attention, batch }) => {
      const device = { ...plannerDevice(profile, attention), smCount };
      const simulated = POLICIES.map((policy) => [
        policy,
        simulateKernel(createPlanner({ attention, device, policy }).plan(batch), profile).durationUs,
      ]);
      const durationUs = Object.fromEntries(simulated);
      const bestUs = Math.min(...CANDIDATES.map((policy) => durationUs[policy]));
      const overBest = Object.fromEntries(simulated.map(([policy, us]) => [policy, us / bestUs]));
      return { id, durationUs, overBest };
    });
}

/** Of one policy's ratios: geometric mean, the one that 95 % do not exceed, the worst, and the share up to 1.01. */
export function summariseRatios(ratios) {
  const sorted = [...ratios].sort((a, b) => a - b);
  return {
    mean: Math.exp(sorted.reduce((sum, ratio) => sum + Math.log(ratio), 0) / sorted.length),
    p95: sorted[Math.floor(0.95 * sorted.length)],
    worst: sorted[sorted.length - 1],
    within1Percent: sorted.filter((ratio) => ratio <= 1.01).length / sorted.length,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = simulateRecorded("h100-sxm");
  console.log(`Simulated time over the best of ${CANDIDATES.join(", ")}; ${results.length} recorded batches, h100-sxm`);
  console.log("policy      mean    p95  worst  within 1 %");
  for (const policy of POLICIES) {
    const { mean, p95, worst, within1Percent } = summariseRatios(results.map(({ overBest }) => overBest[policy]));
    const cells = [mean, p95, worst].map((ratio) => (ratio < 10 ? ratio.toFixed(3) : ratio.toFixed(1)).padStart(6));
    console.log(`${policy.padEnd(9)} ${cells.join(" ")} ${(within1Percent * 100).toFixed(0).padStart(9)} %`);
  }
  for (const { id, overBest } of results.toSorted((a, b) => b.overBest.auto - a.overBest.auto).slice(0, 3)) {
    console.log(`auto at its worst: ${overBest.auto.toFixed(3)} ${id}`);
  }
}
