// vLLM's FlashAttention-3 on H100 and H200 (AIConfigurator tables), simulated from the plans of its scheduler.
//
// Even batches: all requests of a row have the same length, new tokens and history.

import { createPlanner } from "@isochron/planner";
import { findProfile, KernelSimulator, listProfiles, plannerDevice } from "@isochron/simulator";
import { filesIn, folder, readText } from "./layout.mjs";

const POLICY = "fa3-varlen";
/** The version whose rows gave the kernel its constants. */
const OWN_VERSION = "0.24.0";

/** One row per measured batch of every table there is: { kernel, case, heads, measuredUs, simulatedUs }. */
export function vllmRows(data, missing = []) {
  const at = folder(data, "aiconfigurator", "perf/aiconfigurator");
  const found =
    at === undefined ? [] : filesIn(at, ".csv").map((url) => [url, TABLE.exec(url.pathname.split("/").at(-1))]);
  for (const gpu of ["h100", "h200"]) {
    for (const phase of ["generation", "context"]) {
      if (found.some(([, name]) => name?.groups.gpu === gpu && name.groups.phase === phase)) continue;
      missing.push(`aiconfigurator: a table ${gpu}_sxm_vllm_*_${phase}_attention_bf16_hd128.csv`);
    }
  }
  return found.flatMap(([url, name]) => {
    if (name === null) return [];
    if (listProfiles().includes(`${name.groups.gpu}-sxm`)) return tableRows(url, name.groups);
    missing.push(`a profile for ${url.pathname.split("/").at(-1)}`);
    return [];
  });
}

/** vLLM's tables by file name; another version of it is another table. */
const TABLE = /^(?<gpu>[a-z0-9]+)_sxm_vllm_(?<version>[^_]+)_(?<phase>generation|context)_attention_bf16_hd128\.csv/;

function tableRows(url, { gpu, phase, version }) {
  const [head, ...lines] = readText(url).trim().split(/\r?\n/);
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
    if (gpu === "h100" && version === OWN_VERSION && isFittedOn(phase, row)) continue;
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
      planners.set(heads, createPlanner({ attention, device: plannerDevice(profile, attention), policy: POLICY }));
    }
    simulator.run(
      planners.get(heads).plan({ qoLens: new Array(count).fill(qoLen), kvLens: new Array(count).fill(kvLen) }),
    );
    rows.push({
      kernel: `${gpu.toUpperCase()} vLLM ${version === OWN_VERSION ? "" : `${version} `}FA3 ${phase}`,
      case: `${count} x ${qoLen} of ${kvLen}`,
      heads,
      measuredUs: Number(row.latency) * 1000,
      simulatedUs: simulator.durationUs,
    });
  }
  return rows;
}

const FITTED_ON = {
  generation: [
    "32/8: 1 x 1 behind 1",
    "32/8: 2048 x 1 behind 1",
    "32/8: 2048 x 1 behind 127",
    "8/1: 512 x 1 behind 1",
    "8/1: 2048 x 1 behind 1",
  ],
  context: [
    "32/8: 1 x 32 behind 0",
    "32/8: 1 x 64 behind 0",
    "32/8: 1 x 128 behind 0",
    "32/8: 256 x 128 behind 0",
    "16/4: 256 x 128 behind 0",
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
