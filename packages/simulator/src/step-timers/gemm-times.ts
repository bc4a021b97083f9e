// How long y = x·Wᵀ takes on m tokens, with W of n × k: measured where the shape was, a roofline elsewhere.

import { extrapolate } from "../gpu/curve.ts";
import type { GpuProfile } from "../gpu/profile.ts";

export class GemmTimes {
  private readonly gemm: GpuProfile["gemm"];
  private readonly rowsByShape = new Map<string, GpuProfile["gemm"]["shapes"][number]["rows"]>();

  constructor(profile: GpuProfile) {
    this.gemm = profile.gemm;
    for (const { n, k, rows } of profile.gemm.shapes) this.rowsByShape.set(`${n}x${k}`, rows);
  }

  /** Whether this shape was measured on this GPU. */
  isMeasured(n: number, k: number): boolean {
    return this.rowsByShape.has(`${n}x${k}`);
  }

  /**
   * Microseconds. Measured shapes are linear between the measured m and go on in proportion above the largest; others
   * take a fixed time plus the longer of moving W, x and y and computing 2·m·n·k flops.
   */
  us(m: number, n: number, k: number, elementBytes = 2): number {
    if (m === 0) return 0;
    const rows = this.rowsByShape.get(`${n}x${k}`);
    if (rows !== undefined) return extrapolate(rows, m);
    return this.rooflineUs(2 * m * n * k, elementBytes * (n * k + m * (n + k)));
  }

  rooflineUs(flops: number, bytes: number): number {
    const { fixedUs, tflops, memoryGBps } = this.gemm;
    return fixedUs.value + Math.max(flops / (tflops.value * 1e6), bytes / (memoryGBps.value * 1e3));
  }
}
