// FlashInfer's own kernels, by name: the policies of its plans run on the general kernel, so that plans can be compared. Its
// decode on CUDA cores has rates of its own, from rows that `npm run validate` leaves out.

import { pieceSection } from "./attention-section.mjs";
import { merge, mergeFixedUs, mergeRoundUs, micro, microbench } from "./h100-microbench.mjs";
import { middle, round } from "./numbers.mjs";
import { from } from "./sources.mjs";
import { readTable } from "./tables.mjs";

// The decode does its arithmetic without tensor cores: 4 and 8 query heads per KV head are bound by it.
// Five cases give its rates, and are not judged: all SMs full with each, and three in which CTAs are left alone on their SMs.
const table = readTable("h100/flashinfer.csv.gz");
const cudaCoreUs = (name, heads) =>
  Number(
    table.find(
      (row) =>
        row.kernel === "fi_cuda" && row.sec === "decode" && row.case === name && row.heads === heads && row.ps === "16",
    ).us,
  );
const cudaCoreTflops = (rows, heads) =>
  round((256 * 8192 * 8 * 4 * rows * 128) / cudaCoreUs("dec_b256_c8192", heads) / 1e6);
/**
 * Of 0.4, 0.5 … 1 the one with the least squared error of dec_b1_c1024 (a CTA alone for 128 tokens), dec_b256_z1024 and
 * dec_b256_z8192 (for tens of thousands) with 64/8 heads: +15, −19 and +1 %. One number does not meet all three.
 */
const cudaCoreCtaShare = 0.6;

// Its two kernels may start before the one ahead has ended. The same calls were also measured without that: half of what
// is gained belongs to each. Small calls, in sections of the table that are not judged.
const independentCalls = table.filter((row) => row.kernel === "fi_cuda_nopdl" && Number(row.us) < 60);
const dependentGains = independentCalls.map((row) => {
  const isSame = (other) => ["sec", "case", "heads", "ps"].every((name) => other[name] === row[name]);
  const dependent = table.find((other) => other.kernel === "fi_cuda" && isSame(other));
  return Number(row.us) - Number(dependent.us);
});
const dependentLaunchUs = round(microbench.graph_null_node_us - middle(dependentGains) / 2, 2);

const tensorKernel = {
  ...pieceSection("thunderGqa"),
  kvTileTokens: from("flashInferSource")(128),
  tensorTflops: { rows: [16, 64, 128].map((rows) => [rows, 306]), source: "pagedPrefill" },
  fillTokens: from("flashInferSource")(64),
};
const tensorMerge = {
  launchUs: micro(microbench.graph_null_node_us),
  fixedUs: from("mergeFit")(round(mergeFixedUs, 3)),
  roundUs: from("mergeFit")(round(mergeRoundUs, 3)),
  partialUs: from("flashInferSource")(round(merge.slope / 8, 4)),
  rowsAtOnce: from("mergeFit")(8),
};

export const flashInferKernels = [
  {
    policies: ["flashinfer-decode", "flashinfer-decode-graph"],
    ...pieceSection("thunderGqa"),
    kvTileTokens: from("flashInferSource")(8),
    tensorTflops: {
      rows: [
        [4, cudaCoreTflops(4, "32/8")],
        [8, cudaCoreTflops(8, "64/8")],
      ],
      source: "cudaCores",
    },
    computesPadding: false,
    ctaShare: from("cudaCores")(cudaCoreCtaShare),
    dependentLaunchUs: from("dependentLaunch")(dependentLaunchUs),
    merge: { ...tensorMerge, launchUs: from("dependentLaunch")(dependentLaunchUs) },
  },
  { name: "flashinfer-fa2", policies: [], ...tensorKernel, merge: tensorMerge },
  { name: "flashinfer-holistic", policies: [], ...tensorKernel },
];
