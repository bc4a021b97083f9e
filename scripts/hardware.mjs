// Writes the measured part of README.md and its picture from what `run.sh bench` wrote to packages/cuda-executor/results:
// h100-bench.json, and h100-bench-auto.json, where batches with tall query tiles are planned with `auto`. No GPU is needed.
//
//   node scripts/hardware.mjs [--check]

import { readFileSync, writeFileSync } from "node:fs";
import { hardware } from "./drawings/hardware.mjs";

const ROOT = new URL("../", import.meta.url);
const README = new URL("README.md", ROOT);
const PICTURE = new URL("docs/images/hardware-decode.svg", ROOT);
const RESULTS = new URL("packages/cuda-executor/results/", ROOT);

const SIZES = [
  { name: "KV of 200 MB and more", from: 200e6, to: Number.POSITIVE_INFINITY },
  { name: "40 to 200 MB", from: 40e6, to: 200e6 },
  { name: "less than 40 MB", from: 0, to: 40e6 },
];
const SECTIONS = [
  { section: "decode", name: "decode, all lengths, heads and page sizes" },
  { section: "trace_steps", name: "decode steps of production traces" },
  { section: "mixed", name: "mixed prefill and decode" },
  { section: "shared_prefix", name: "shared prefixes" },
  { section: "prefill", name: "prefill" },
];

const { machine, rows } = JSON.parse(readFileSync(new URL("h100-bench.json", RESULTS), "utf8"));
const withAuto = JSON.parse(readFileSync(new URL("h100-bench-auto.json", RESULTS), "utf8"));
const decode = rows.filter((row) => row.section === "decode");
const block = /<!-- hardware -->\n[\s\S]*?<!-- end -->/;
const before = readFileSync(README, "utf8");
publish(README, before.replace(block, `<!-- hardware -->\n${tables()}\n<!-- end -->`));
publish(PICTURE, hardware(machine, decode));

function tables() {
  const lines = [
    ...SIZES.map(({ name, from, to }) =>
      summary(
        `decode, ${name}`,
        decode.filter(({ kvBytes }) => kvBytes >= from && kvBytes < to),
      ),
    ),
    ...SECTIONS.flatMap(({ section, name }) => [
      summary(name, inSection(rows, section)),
      ...(hasSection(withAuto.rows, section)
        ? [summary(`${name}, planned with \`auto\``, inSection(withAuto.rows, section))]
        : []),
    ]),
  ];
  const skewed = decode.find(
    (row) => row.case === "dec_b64_128k_63x512" && row.heads === "32/8" && row.pageSize === 16,
  );
  const { device, driver, commit, date } = machine;
  return [
    "| cases | count | time / floor, geometric mean | worst | time / best of FlashInfer's kernels, geometric mean | worst |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...lines,
    "",
    `The batch above (1 × 131,072 and 63 × 512): **${skewed.us.toFixed(1)} µs**, floor ${skewed.floorUs.toFixed(1)} µs, FlashInfer's fastest kernel ${skewed.bestFlashInferUs.toFixed(1)} µs.`,
    `Measured on one ${device}, driver ${driver}, at commit ${commit} on ${date.slice(0, 10)}.`,
  ].join("\n");
}

function inSection(rows, section) {
  return rows.filter((row) => row.section === section);
}

function hasSection(rows, section) {
  return rows.some((row) => row.section === section);
}

function summary(name, cases) {
  const overFloor = cases.filter(hasField("floorUs")).map((row) => row.us / row.floorUs);
  const overBest = cases.filter(hasField("bestFlashInferUs")).map((row) => row.us / row.bestFlashInferUs);
  return `| ${[name, cases.length, ...meanAndWorst(overFloor), ...meanAndWorst(overBest)].join(" | ")} |`;
}

function hasField(field) {
  return (row) => row[field] !== undefined;
}

function meanAndWorst(ratios) {
  return ratios.length === 0 ? ["–", "–"] : [figure(mean(ratios)), figure(Math.max(...ratios))];
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
