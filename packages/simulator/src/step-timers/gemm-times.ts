// How long y = x·Wᵀ takes on m tokens, with W of n × k: measured where the shape was, a roofline elsewhere.
//
// Measurements are of 16-bit types. Narrower weights take the measured time in the proportion of the two rooflines, so
// that what a shape falls short of its roofline by is kept: an estimate. Int4 weights are widened on their way to 16-bit
// tensor cores; fp8 weights meet fp8 activations where the GPU's data sheet has a rate for them, and are widened elsewhere.
// Measurements are short; a GPU that is kept busy is held to what its power allows.

import { extrapolate } from "../gpu/curve.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import type { WeightDtype } from "../model/model-config.ts";
import { WEIGHT_BYTES } from "../model/model-cost.ts";

/** Bytes of an element of x and y. */
const ACTIVATION_BYTES = 2;

export class GemmTimes {
  private readonly gemm: GpuProfile["gemm"];
  private readonly fp8Speedup: number;
  private readonly sustainedTflops: number;
  private readonly rowsByShape = new Map<string, GpuProfile["gemm"]["shapes"][number]["rows"]>();

  constructor(profile: GpuProfile) {
    this.gemm = profile.gemm;
    this.sustainedTflops = profile.gemm.sustainedTflops?.value ?? Number.POSITIVE_INFINITY;
    const { bf16, fp8 } = profile.tensor.peakTflops;
    this.fp8Speedup = fp8 === undefined ? 1 : fp8.value / bf16.value;
    for (const { n, k, rows } of profile.gemm.shapes) this.rowsByShape.set(`${n}x${k}`, rows);
  }

  /** Whether this shape was measured on this GPU, with 16-bit weights. */
  isMeasured(n: number, k: number): boolean {
    return this.rowsByShape.has(`${n}x${k}`);
  }

  /**
   * Microseconds. Measured shapes are linear between the measured m and go on in proportion above the largest; others
   * take a fixed time plus the longer of moving W, x and y and computing 2·m·n·k flops.
   */
  us(m: number, n: number, k: number, weights: WeightDtype = "bf16"): number {
    if (m === 0) return 0;
    const roofUs = this.rooflineUs(n * k, m * (n + k), 2 * m * n * k, weights);
    const rows = this.rowsByShape.get(`${n}x${k}`);
    if (rows === undefined) return roofUs;
    const measuredUs = Math.max(extrapolate(rows, m), (2 * m * n * k) / (this.sustainedTflops * 1e6));
    if (weights === "bf16" || weights === "fp16") return measuredUs;
    return (measuredUs * roofUs) / this.rooflineUs(n * k, m * (n + k), 2 * m * n * k, "bf16");
  }

  /** A launch that reads so many weights, moves so many elements of activations and does so many flops. */
  rooflineUs(weightCount: number, activations: number, flops: number, weights: WeightDtype): number {
    const { fixedUs, tflops, memoryGBps } = this.gemm;
    const activationBytes = weights === "fp32" ? 4 : ACTIVATION_BYTES;
    const bytes = WEIGHT_BYTES[weights] * weightCount + activationBytes * activations;
    const rate = Math.min(tflops.value, this.sustainedTflops) * (weights === "fp8" ? this.fp8Speedup : 1);
    return fixedUs.value + Math.max(flops / (rate * 1e6), bytes / (memoryGBps.value * 1e3));
  }
}
