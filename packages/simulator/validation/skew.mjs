// Uneven batches in one attention launch (data/llmservingsim, skew.csv of vLLM 0.19): `nb` of n decodes are long, the others
// short. The predicted time is that of the even batch, as measured, plus the difference of the two simulated launches,
// which is what the measured timer adds to a step. Times in the table are sums of three launches.

import { createPlanner } from "@isochron/planner";
import { findModel, findProfile, KernelSimulator, plannerDevice, rankAttention } from "@isochron/simulator";
import { has, layerTablesIn, readText } from "./layout.mjs";

const LAUNCHES = 3;

/** Per GPU: errors of decodes alone and with a prompt chunk, by simulated unevenness and by the mean. */
export function skewRows(data, missing) {
  const tables = layerTablesIn(data, missing).filter(({ at }) => has(at, "skew.csv"));
  if (tables.length === 0) missing.push("llmservingsim: skew.csv of any GPU");
  return tables.flatMap(({ name, profile: profileName, model, tensorParallel, at }) => {
    const [head, ...lines] = readText(new URL("skew.csv", at)).trim().split(/\r?\n/);
    const columns = head.split(",");
    const profile = findProfile(profileName);
    const planner = createPlanner({
      attention: rankAttention(findModel(model), tensorParallel, 16),
      device: plannerDevice(profile),
      policy: "fa2-paged",
    });
    const simulator = new KernelSimulator(profile);
    const simulate = (row, decodes) => {
      const prompts = row.pc > 0 ? 1 : 0;
      const qoLens = new Int32Array(prompts + decodes.length).fill(1);
      const kvLens = Int32Array.from(prompts === 1 ? [row.pc + row.kp, ...decodes] : decodes);
      // The table's decodes are behind so many tokens, and see their own too.
      for (let i = prompts; i < kvLens.length; i++) kvLens[i]++;
      if (prompts === 1) qoLens[0] = row.pc;
      simulator.run(planner.plan({ qoLens, kvLens }));
      return simulator.durationUs;
    };
    const groups = new Map();
    for (const line of lines) {
      const row = Object.fromEntries(line.split(",").map((cell, i) => [columns[i], i === 0 ? cell : Number(cell)]));
      const uneven = Array.from({ length: row.n }, (_, i) => (i < row.nb ? row.kv_big : row.kvs));
      const even = new Array(row.n).fill(Math.round(row.kv_mean));
      const evenUs = row.t_mean_us / LAUNCHES;
      const measuredUs = row.t_skew_us / LAUNCHES;
      const predictedUs = evenUs + simulate(row, uneven) - simulate(row, even);
      const group = groups.get(row.regime) ?? { simulated: [], mean: [] };
      group.simulated.push(Math.abs(predictedUs / measuredUs - 1));
      group.mean.push(Math.abs(evenUs / measuredUs - 1));
      groups.set(row.regime, group);
    }
    return [...groups].map(([regime, errors]) => ({ gpu: name, regime, ...errors }));
  });
}
