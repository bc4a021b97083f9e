// Writes the measured part of README.md and its picture from packages/cuda-executor/results. No GPU is needed.
//
//   node scripts/hardware.mjs [--check]

import { readFileSync, writeFileSync } from "node:fs";
import { hardware } from "./drawings/hardware.mjs";

const ROOT = new URL("../", import.meta.url);
const README = new URL("README.md", ROOT);
const PICTURE = new URL("docs/images/hardware-decode.svg", ROOT);
const resultsOf = (name) =>
  JSON.parse(readFileSync(new URL(`packages/cuda-executor/results/${name}.json`, ROOT), "utf8"));

const SIZES = [
  { name: "KV of 200 MB and more", from: 200e6, to: Number.POSITIVE_INFINITY },
  { name: "40 to 200 MB", from: 40e6, to: 200e6 },
  { name: "less than 40 MB", from: 0, to: 40e6 },
];

const decode = resultsOf("h100-decode");
const steps = resultsOf("h100-trace-steps");
const block = /<!-- hardware -->\n[\s\S]*?<!-- end -->/;
const before = readFileSync(README, "utf8");
publish(README, before.replace(block, `<!-- hardware -->\n${tables()}\n<!-- end -->`));
publish(PICTURE, hardware(decode));

function tables() {
  const rows = [
    ...SIZES.map(({ name, from, to }) =>
      summary(
        `decode, ${name}`,
        decode.results.filter(({ kvBytes }) => kvBytes >= from && kvBytes < to),
      ),
    ),
    summary("decode, all lengths, heads and page sizes", decode.results),
    summary("decode steps of production traces", steps.results),
  ];
  const skewed = decode.results.find(
    (row) => row.case === "dec_b64_128k_63x512" && row.heads === "32/8" && row.pageSize === 16,
  );
  const { device, driver, commit, date } = decode.machine;
  return [
    "| cases | count | time / floor, geometric mean | worst | time / best of FlashInfer's kernels, geometric mean | worst |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
    `The batch above (1 × 131,072 and 63 × 512): **${skewed.us.toFixed(1)} µs**, floor ${skewed.floorUs.toFixed(1)} µs, FlashInfer's fastest kernel ${skewed.bestFlashInferUs.toFixed(1)} µs.`,
    `Measured on one ${device}, driver ${driver}, at commit ${commit} on ${date.slice(0, 10)}.`,
  ].join("\n");
}

function summary(name, results) {
  const ours = results.map((row) => row.us / row.floorUs);
  const compared = results.filter((row) => row.bestFlashInferUs !== undefined);
  const theirs = compared.map((row) => row.us / row.bestFlashInferUs);
  const cells = [name, results.length, figure(mean(ours)), figure(Math.max(...ours))];
  const last = theirs.length === 0 ? ["–", "–"] : [figure(mean(theirs)), figure(Math.max(...theirs))];
  return `| ${[...cells, ...last].join(" | ")} |`;
}

function mean(ratios) {
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

function figure(ratio) {
  return ratio.toFixed(3);
}

function publish(file, content) {
  if (!process.argv.includes("--check")) writeFileSync(file, content);
  else if (readFileSync(file, "utf8") !== content) {
    console.error(`${file.pathname} is out of date: run node scripts/hardware.mjs`);
    process.exitCode = 1;
  }
}
