// Measured all-reduces and all-to-alls as the tables of a profile: [bytes, µs] for each number of GPUs.

import { groupBy, round } from "./numbers.mjs";
import { readTable } from "./tables.mjs";

/** message_size counts elements of bf16. */
const ALL_REDUCE_UNIT_BYTES = 2;

export function allReduceTables(gpu) {
  const rows = readTable(`aiconfigurator/${gpu}_vllm_0.24.0_custom_allreduce.csv.gz`).filter(
    (row) => row.backend === "vllm_graph",
  );
  const counts = [...new Set(rows.map((row) => Number(row.num_gpus)))].sort((a, b) => a - b);
  return counts.map((gpus) => ({
    gpus,
    rows: rows
      .filter((row) => Number(row.num_gpus) === gpus)
      .map((row) => [Number(row.message_size) * ALL_REDUCE_UNIT_BYTES, round(Number(row.latency) * 1000)])
      .sort((a, b) => a[0] - b[0]),
    source: "allReduce",
  }));
}

/** message_size counts elements, of which each GPU has so many: 8-bit runs of twice as many take as long as 16-bit ones. */
export function allToAllTables(gpu) {
  const all = readTable(`aiconfigurator/${gpu}_nccl_2.29.2.csv.gz`).filter((row) => row.op_name === "alltoall");
  return [...groupBy(all, (row) => Number(row.num_gpus))].map(([gpus, rows]) => {
    const bytesOf = (row) => Number(row.message_size) * (row.nccl_dtype === "half" ? 2 : 1);
    const bySize = [...groupBy(rows, bytesOf)].sort((a, b) => a[0] - b[0]);
    return {
      gpus,
      // The same transfer twice: other work on the machine only ever adds to it.
      rows: bySize.map(([bytes, runs]) => [bytes, round(Math.min(...runs.map((row) => Number(row.latency))) * 1000)]),
      source: "allToAll",
    };
  });
}
