// Tables of measured GEMMs as the section of a profile, [m, µs] for each shape, and the fit for shapes that nobody measured.

import { line, median, round } from "./numbers.mjs";
import { readTable } from "./tables.mjs";

/** Shapes of a GEMM table, [m, µs] ascending, and the model for shapes outside it. */
export function gemmSection(rows, shapesSource, fitSource) {
  const shapes = new Map();
  for (const { m, n, k, us } of rows) {
    const key = `${n}x${k}`;
    if (!shapes.has(key)) shapes.set(key, { n, k, rows: [], source: shapesSource });
    shapes.get(key).rows.push([m, round(us)]);
  }
  for (const shape of shapes.values()) shape.rows.sort((a, b) => a[0] - b[0]);
  const bytes = ({ m, n, k }) => 2 * (n * k + m * k + m * n);
  const small = line(rows.filter((row) => row.m <= 64).map((row) => [bytes(row), row.us]));
  const tflops = median(rows.filter((row) => row.m >= 1024).map((row) => (2 * row.m * row.n * row.k) / row.us / 1e6));
  return {
    shapes: [...shapes.values()].sort((a, b) => a.n - b.n || a.k - b.k),
    fixedUs: { value: round(Math.max(0, small.intercept)), source: fitSource },
    tflops: { value: round(tflops), source: fitSource },
    memoryGBps: { value: round(1 / small.slope / 1000), source: fitSource },
  };
}

export function vllmGemm(gpu) {
  return readTable(`aiconfigurator/${gpu}_vllm_0.24.0_gemm_bf16_llama_shapes.csv.gz`).map((row) => ({
    m: Number(row.m),
    n: Number(row.n),
    k: Number(row.k),
    us: Number(row.latency) * 1000,
  }));
}

/** Adds the shapes of another table that are not there yet. */
export function withShapes(section, rows, source) {
  const has = new Set(section.shapes.map(({ n, k }) => `${n}x${k}`));
  const others = gemmSection(rows, source, source).shapes.filter(({ n, k }) => !has.has(`${n}x${k}`));
  return { ...section, shapes: [...section.shapes, ...others].sort((a, b) => a.n - b.n || a.k - b.k) };
}

/** GEMMs of one model from LLMServingSim's layer tables: [layer, n, k]. */
export function servingGemm(folder, layers) {
  const times = (file, m) =>
    readTable(`llmservingsim/${folder}/${file}.csv.gz`).map((row) => ({ ...row, m: Number(row[m]) }));
  return [...times("dense", "tokens"), ...times("per_sequence", "sequences")].flatMap((row) =>
    layers.filter(([layer]) => layer === row.layer).map(([, n, k]) => ({ m: row.m, n, k, us: Number(row.time_us) })),
  );
}

// Of the H100: GEMMs of 8,192³ for 900 launches, before and after everything else was measured.
const sustained = readTable("h100/flashinfer.csv.gz").filter((row) => row.case.startsWith("gemm_8192_sustained"));
export const sustainedTflops = sustained.reduce((sum, row) => sum + Number(row.tflops), 0) / sustained.length;
