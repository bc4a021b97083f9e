// What y = x·Wᵀ takes on one GPU, by cuBLAS: a table for each shape, and the line through all of them.
//
// Weights rotate over more memory than L2 holds, as the layers of a model do; a graph of several products is timed and
// divided. The line is for shapes that are not in the table: few rows are bound by reading W, so time against bytes gives
// the fixed part and the bandwidth; many rows are bound by arithmetic, and their median is the throughput.

import { awaiting, calling } from "./errors.ts";
import type { CudaExecutor } from "./executor.ts";
import type { DeviceTensor } from "./tensors.ts";

export interface GemmShape {
  readonly n: number;
  readonly k: number;
}

export interface GemmTable extends GemmShape {
  /** [m, µs] in ascending m. */
  readonly rows: readonly (readonly [number, number])[];
}

export interface GemmCalibration {
  readonly shapes: readonly GemmTable[];
  readonly fixedUs: number;
  readonly memoryGBps: number;
  readonly tflops: number;
}

/** Chosen: doublings, and the small batches of decode steps. */
const ROW_COUNTS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192] as const;
/** Rows up to which reading the weights is what takes time, and from which arithmetic is, on every GPU with a profile. */
const MEMORY_BOUND_ROWS = 64;
const COMPUTE_BOUND_ROWS = 1024;
const ELEMENT_BYTES = 2;
const MOST_COPIES = 32;
const WARM_UPS = 2;
const REPETITIONS = 9;

/**
 * Measures every shape on the executor's device: about 10 ms a shape and row count. `weights` is memory with values in it;
 * products of a shape go through as much of it as `coldBytes` asks for. Throws MissingLibraryError without cuBLAS.
 */
export async function calibrateGemm(
  executor: CudaExecutor,
  shapes: readonly GemmShape[],
  inputs: { readonly activations: DeviceTensor; readonly weights: DeviceTensor; readonly coldBytes: number },
): Promise<GemmCalibration> {
  const { activations, weights, coldBytes } = inputs;
  const { addon, context } = executor.native;
  const fits = shapes.filter(({ n, k }) => n * k * ELEMENT_BYTES <= weights.byteLength);
  const widest = Math.max(...fits.map(({ n }) => n));
  const output = executor.tensor(ROW_COUNTS.at(-1)! * widest * ELEMENT_BYTES);
  try {
    const tables: GemmTable[] = [];
    for (const { n, k } of fits) {
      const weightBytes = n * k * ELEMENT_BYTES;
      const room = Math.floor(weights.byteLength / weightBytes);
      const rows: [number, number][] = [];
      for (const m of ROW_COUNTS) {
        if (m * k * ELEMENT_BYTES > activations.byteLength) continue;
        const copies = Math.min(room, MOST_COPIES, Math.ceil(coldBytes / weightBytes));
        const { handle: x } = activations;
        const { handle: w } = weights;
        const { handle: y } = output;
        const us = await awaiting(
          calling(() => addon.timeGemm(context, x, w, y, m, n, k, false, copies, WARM_UPS, REPETITIONS)),
        );
        rows.push([m, Number((us.toSorted()[REPETITIONS >> 1]! / copies).toPrecision(4))]);
      }
      tables.push({ n, k, rows });
    }
    return { shapes: tables, ...fitLine(tables) };
  } finally {
    output.close();
  }
}

/** Least squares of µs against bytes over few rows; median TFLOP/s over many. */
function fitLine(tables: readonly GemmTable[]): { fixedUs: number; memoryGBps: number; tflops: number } {
  const few: { bytes: number; us: number }[] = [];
  const rates: number[] = [];
  for (const { n, k, rows } of tables) {
    for (const [m, us] of rows) {
      if (m <= MEMORY_BOUND_ROWS) few.push({ bytes: ELEMENT_BYTES * (n * k + m * (n + k)), us });
      if (m >= COMPUTE_BOUND_ROWS) rates.push((2 * m * n * k) / us / 1e6);
    }
  }
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanBytes = mean(few.map((one) => one.bytes));
  const meanUs = mean(few.map((one) => one.us));
  let covariance = 0;
  let variance = 0;
  for (const { bytes, us } of few) {
    covariance += (bytes - meanBytes) * (us - meanUs);
    variance += (bytes - meanBytes) ** 2;
  }
  const usPerByte = covariance / variance;
  return {
    fixedUs: Math.max(0, meanUs - usPerByte * meanBytes),
    memoryGBps: 1e-3 / usPerByte,
    tflops: rates.toSorted((a, b) => a - b)[rates.length >> 1]!,
  };
}
