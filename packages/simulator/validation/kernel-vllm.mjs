// vLLM's FlashAttention-3 on H100 and H200 (AIConfigurator tables), simulated from the plans of its scheduler.
//
// Even batches: all requests of a row have the same length, new tokens and history.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { createPlanner } from "@isochron/planner";
import { findProfile, KernelSimulator, plannerDevice } from "@isochron/simulator";

const POLICY = "fa3-varlen";
const data = new URL("./data/aiconfigurator/", import.meta.url);

/** One row per measured batch: { kernel, case, heads, measuredUs, simulatedUs }. */
export function vllmRows() {
  return ["h100", "h200"].flatMap((gpu) => ["generation", "context"].flatMap((phase) => tableRows(gpu, phase)));
}

function tableRows(gpu, phase) {
  const file = new URL(`${gpu}_sxm_vllm_0.24.0_${phase}_attention_bf16_hd128.csv.gz`, data);
  const [head, ...lines] = gunzipSync(readFileSync(file)).toString().trim().split(/\r?\n/);
  const columns = head.split(",");
  const profile = findProfile(`${gpu}-sxm`);
  const simulator = new KernelSimulator(profile);
  simulator.startsWarm = true;
  const planners = new Map();
  const rows = [];
  for (const line of lines) {
    const row = Object.fromEntries(line.split(",").map((cell, i) => [columns[i], cell]));
    const qoLen = phase === "generation" ? 1 : Number(row.isl);
    const kvLen = Number(row.step) + qoLen;
    const count = Number(row.batch_size);
    if (gpu === "h100" && isFittedOn(phase, row)) continue;
    if (count * qoLen > MOST_QUERY_TOKENS) continue;
    const heads = `${row.num_heads}/${row.num_key_value_heads}`;
    if (!planners.has(heads)) {
      const attention = {
        queryHeads: Number(row.num_heads),
        kvHeads: Number(row.num_key_value_heads),
        headDim: 128,
        dtype: "bf16",
        kvDtype: "bf16",
        pageSize: 16,
        mask: { kind: "causal" },
      };
      planners.set(heads, createPlanner({ attention, device: plannerDevice(profile), policy: POLICY }));
    }
    simulator.run(
      planners.get(heads).plan({ qoLens: new Array(count).fill(qoLen), kvLens: new Array(count).fill(kvLen) }),
    );
    rows.push({
      kernel: `${gpu.toUpperCase()} vLLM FA3 ${phase}`,
      case: `${count} x ${qoLen} of ${kvLen}`,
      heads,
      measuredUs: Number(row.latency) * 1000,
      simulatedUs: simulator.durationUs,
    });
  }
  return rows;
}

const FITTED_ON = {
  generation: ["32/8: 1 x 1 behind 1", "32/8: 2048 x 1 behind 1", "32/8: 2048 x 1 behind 127", "8/1: 512 x 1 behind 1"],
  context: [
    "32/8: 1 x 32 behind 0",
    "32/8: 1 x 64 behind 0",
    "32/8: 1 x 128 behind 0",
    "32/8: 256 x 128 behind 0",
    "32/8: 1 x 16384 behind 0",
  ],
};

/** Rows from which build-profiles.mjs takes the constants of this kernel. */
function isFittedOn(phase, row) {
  const shape = `${row.num_heads}/${row.num_key_value_heads}: ${row.batch_size} x ${row.isl} behind ${row.step}`;
  return FITTED_ON[phase].includes(shape);
}

/** Larger prompts are left out: chosen, because planning them takes longer than all others together. */
const MOST_QUERY_TOKENS = 65_536;
