// The H100: everything from measurements.

import { pieceSection } from "./attention-section.mjs";
import { allReduceTables, allToAllTables } from "./collectives.mjs";
import { fa3Kernel } from "./fa3.mjs";
import { flashInferKernels } from "./flashinfer.mjs";
import { gemmSection, sustainedTflops, vllmGemm, withShapes } from "./gemm.mjs";
import {
  l2GBps,
  merge,
  mergeFixedUs,
  mergeRoundUs,
  micro,
  microbench,
  perCtaGBps,
  readCurve,
  smallKernelUs,
} from "./h100-microbench.mjs";
import { round } from "./numbers.mjs";
import { from, pick, sources } from "./sources.mjs";
import { readJson } from "./tables.mjs";

const gemm = readJson("h100/gemm-bf16.json");

export const h100 = {
  isochron: "gpu-profile/1",
  name: "h100-sxm",
  title: "NVIDIA H100 SXM5 80 GB",
  calibrated: true,
  sources: {
    datasheet: sources.datasheet("NVIDIA H100 Tensor Core GPU data sheet, SXM5", "2022"),
    ...pick(
      "microbench gemm gemmFit sustained thunderGqa pagedPrefill mergeFit allReduce allToAll port chosen host sampler vllmGemm cudaCores dependentLaunch flashInferSource fa3 fa3Source fa3Write fa3Stages smallKernel",
    ),
  },
  device: {
    smCount: micro(microbench.sms),
    ctasPerSm: from("chosen")(2),
    clockMHz: from("datasheet")(1830),
    l2Bytes: micro(microbench.l2),
    memoryBytes: from("datasheet")(85_899_345_920),
  },
  memory: {
    dataSheetGBps: from("datasheet")(3350),
    achievedGBps: { rows: readCurve, source: "microbench" },
    perCtaGBps: micro(round(perCtaGBps)),
    perSmGBps: from("port")(round((64 * 1830) / 1000)),
    l2GBps: micro(l2GBps),
  },
  tensor: { peakTflops: { bf16: from("datasheet")(989), fp8: from("datasheet")(1979) } },
  attention: {
    ...pieceSection("thunderGqa"),
    kvTileTokens: from("chosen")(64),
    tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, 306]), source: "pagedPrefill" },
  },
  attentionKernels: [...flashInferKernels, fa3Kernel],
  merge: {
    fixedUs: from("mergeFit")(round(mergeFixedUs, 3)),
    roundUs: from("mergeFit")(round(mergeRoundUs, 3)),
    partialUs: from("mergeFit")(round(merge.slope, 3)),
    rowsAtOnce: from("mergeFit")(8),
  },
  launch: {
    streamUs: micro(microbench.stream_null_launch_us),
    graphNodeUs: micro(microbench.graph_null_node_us),
    graphUs: micro(microbench.graph_one_null_event_us),
    gridBarrierUs: { rows: microbench.grid_barrier.map((row) => [row.ctas, row.us]), source: "microbench" },
  },
  gemm: {
    ...withShapes(gemmSection(gemm.rows, "gemm", "gemmFit"), vllmGemm("h100_sxm"), "vllmGemm"),
    sustainedTflops: from("sustained")(round(sustainedTflops, 3)),
  },
  interconnectGBps: from("datasheet")(450),
  allReduce: allReduceTables("h100_sxm"),
  allToAll: allToAllTables("h100_sxm"),
  elementwise: { fixedUs: from("smallKernel")(smallKernelUs), memoryGBps: from("smallKernel")(3070) },
  sampler: { fixedUs: from("sampler")(25), bytesPerLogit: from("sampler")(8) },
  host: { stepUs: from("host")(150), requestUs: from("host")(1) },
};
