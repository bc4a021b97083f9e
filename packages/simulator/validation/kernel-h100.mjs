// FlashInfer's kernels on one H100 (data/h100), each simulated from its own plan, and the read floor.
//
// Nothing of flashinfer.csv's decode section went into the h100-sxm profile: its constants are microbenchmarks.

import { createPlanner } from "@isochron/planner";
import { findProfile, KernelSimulator, plannerDevice } from "@isochron/simulator";
import { textOf } from "./layout.mjs";

const POLICY_OF_KERNEL = {
  fi_holistic: "flashinfer-holistic",
  fi_tc: "flashinfer-fa2",
  fi_tc_cg: "flashinfer-fa2-graph",
  fi_cuda: "flashinfer-decode",
  fi_cuda_cg: "flashinfer-decode-graph",
};

/** What launched the plans of the tensor-core kernels; the policies alone run on the profile's general kernel. */
const KERNEL_OF_KERNEL = {
  fi_holistic: "flashinfer-holistic",
  fi_tc: "flashinfer-fa2",
  fi_tc_cg: "flashinfer-fa2",
};

/** Cases from which build-profiles.mjs takes the rates of the CUDA-core kernel. */
const FITTED_ON = new Set([
  "fi_cuda dec_b256_c8192 32/8",
  "fi_cuda dec_b256_c8192 64/8",
  "fi_cuda dec_b1_c1024 64/8",
  "fi_cuda dec_b256_z1024 64/8",
  "fi_cuda dec_b256_z8192 64/8",
]);

/** What a kernel that only reads waits for, per piece: intercept of piece_time (1.4 µs) less a graph node. */
const READ_LATENCY_US = 0.45;

/** One row per measured decode case: { kernel, case, heads, measuredUs, simulatedUs }. */
export function kernelRows(data, missing = []) {
  const [casesText, table] = ["h100/cases.json", "h100/flashinfer.csv"].map((name) => textOf(data, missing, name));
  if (casesText === undefined || table === undefined) return [];
  const cases = JSON.parse(casesText);
  const lengths = new Map(cases.decode.map((one) => [one.id, one.kv_lens]));
  const [head, ...lines] = table.trim().split(/\r?\n/);
  const columns = head.split(",");
  const profile = findProfile("h100-sxm");
  const reading = structuredClone(profile);
  reading.attention.startUs.value = READ_LATENCY_US;
  reading.attention.nextStartUs.value = 0;
  reading.attention.writeOutUs.value = 0;
  const simulators = {
    reading: new KernelSimulator(reading),
    attention: new KernelSimulator(profile),
    "flashinfer-holistic": new KernelSimulator(profile, "flashinfer-holistic"),
    "flashinfer-fa2": new KernelSimulator(profile, "flashinfer-fa2"),
  };
  const planners = new Map();
  const rows = [];
  for (const line of lines) {
    const row = Object.fromEntries(line.split(",").map((cell, i) => [columns[i], cell]));
    const kvLens = lengths.get(row.case);
    if (row.sec !== "decode" || row.ps !== "16" || kvLens === undefined) continue;
    if (FITTED_ON.has(`${row.kernel.slice(0, 7)} ${row.case} ${row.heads}`)) continue;
    const isFloor = row.kernel === "gather_read";
    const policy = isFloor ? "balanced" : POLICY_OF_KERNEL[row.kernel];
    if (policy === undefined) continue;
    const key = `${policy} ${row.heads}`;
    if (!planners.has(key)) {
      const [queryHeads, kvHeads] = row.heads.split("/").map(Number);
      const attention = {
        queryHeads,
        kvHeads,
        headDim: 128,
        dtype: "bf16",
        kvDtype: "bf16",
        pageSize: 16,
        mask: { kind: "causal" },
      };
      planners.set(key, createPlanner({ attention, device: plannerDevice(profile, attention), policy }));
    }
    const plan = planners.get(key).plan({ qoLens: kvLens.map(() => 1), kvLens });
    const simulator = simulators[isFloor ? "reading" : (KERNEL_OF_KERNEL[row.kernel] ?? "attention")];
    simulator.run(plan);
    // The floor merges nothing: its end is the end of the last read.
    rows.push({
      kernel: `H100 ${row.kernel}`,
      case: row.case,
      heads: row.heads,
      measuredUs: Number(row.us),
      simulatedUs: isFloor ? simulator.piecesEndUs : simulator.durationUs,
    });
  }
  return rows;
}
