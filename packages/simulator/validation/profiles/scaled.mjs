// A GPU that nobody measured, from its data sheet: the H100's shape, scaled.

import { pieceSection } from "./attention-section.mjs";
import { h100 } from "./h100.mjs";
import { l2GBps, peakGBps, perCtaGBps, readCurve, smallKernelUs } from "./h100-microbench.mjs";
import { round } from "./numbers.mjs";
import { from, pick, sources } from "./sources.mjs";

/**
 * A profile of a GPU from its data sheet. What one CTA pulls is latency, much the same everywhere; where the GPU
 * saturates scales with its bandwidth: B(n) = s · B_H100(n / s).
 */
export function scaled({
  name,
  title,
  by = "NVIDIA",
  when,
  sms,
  clockMHz,
  l2Bytes,
  memoryBytes,
  linkGBps,
  gbps,
  tflops,
  fp8,
  achieved,
}) {
  const s = (achieved?.gbps ?? (gbps * peakGBps) / 3350) / peakGBps;
  const sheet = from("datasheet");
  const estimate = from("scaled");
  const peakRatio = tflops / 989;
  return {
    isochron: "gpu-profile/1",
    name,
    title,
    calibrated: false,
    sources: {
      datasheet: { ...sources.datasheet(`${title} data sheet`, when), by },
      scaled: {
        basis: "estimated",
        what: "scaled from the measured h100-sxm profile: latencies kept, bandwidths by data-sheet bandwidth, tensor throughput by data-sheet throughput",
        by: "the project",
        when: "2026-11",
      },
      ...pick("port chosen host sampler"),
      ...(achieved === undefined ? {} : { achieved: achieved.source }),
    },
    device: {
      smCount: sheet(sms),
      ctasPerSm: from("chosen")(2),
      clockMHz: sheet(clockMHz),
      l2Bytes: sheet(l2Bytes),
      memoryBytes: sheet(memoryBytes),
    },
    memory: {
      dataSheetGBps: sheet(gbps),
      achievedGBps: {
        rows: readCurve.map(([n, value]) => [round(n * s), round(value * s)]),
        source: achieved === undefined ? "scaled" : "achieved",
      },
      perCtaGBps: estimate(round(perCtaGBps)),
      perSmGBps: from("port")(round((64 * clockMHz) / 1000)),
      l2GBps: estimate(round((l2GBps * sms * clockMHz) / (132 * 1830))),
    },
    tensor: { peakTflops: { bf16: sheet(tflops), ...(fp8 === undefined ? {} : { fp8: sheet(fp8) }) } },
    attention: {
      ...pieceSection("scaled"),
      kvTileTokens: from("chosen")(64),
      tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, round(306 * peakRatio)]), source: "scaled" },
    },
    merge: {
      fixedUs: estimate(h100.merge.fixedUs.value),
      roundUs: estimate(h100.merge.roundUs.value),
      partialUs: estimate(h100.merge.partialUs.value),
      rowsAtOnce: estimate(8),
    },
    launch: {
      streamUs: estimate(h100.launch.streamUs.value),
      graphNodeUs: estimate(h100.launch.graphNodeUs.value),
      graphUs: estimate(h100.launch.graphUs.value),
      gridBarrierUs: { rows: h100.launch.gridBarrierUs.rows, source: "scaled" },
    },
    gemm: {
      shapes: [],
      fixedUs: estimate(h100.gemm.fixedUs.value),
      tflops: estimate(round(h100.gemm.tflops.value * peakRatio)),
      memoryGBps: estimate(round((h100.gemm.memoryGBps.value * gbps) / 3350)),
    },
    interconnectGBps: sheet(linkGBps),
    allReduce: [],
    allToAll: undefined,
    elementwise: { fixedUs: estimate(smallKernelUs), memoryGBps: estimate(round((3070 * gbps) / 3350)) },
    sampler: { fixedUs: from("sampler")(25), bytesPerLogit: from("sampler")(8) },
    host: { stepUs: from("host")(150), requestUs: from("host")(1) },
  };
}
