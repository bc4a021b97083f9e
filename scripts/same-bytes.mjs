// Whether the same trace, deployment and seed give the same bytes on this Node and on another one:
//
//   node scripts/same-bytes.mjs                 # against the newest Node, which npx fetches
//   node scripts/same-bytes.mjs --node 22       # against another release
//   node scripts/same-bytes.mjs --node ./node   # against a binary
//
// Needs `npm run build`. Reports are compared as `replay --json` prints them, all but `wallClock`, which says how long it took.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** Together: every router that draws or asks, both step timers, experts, latents, prefixes, drafts, hand-over, a closed loop. */
const REPLAYS = [
  "azure-conv-2023 --limit 3000 --replicas 3 --router random --seed 3 --slo ttft=500,tpot=50",
  "mooncake-conversation --limit 300 --replicas 4 --router prefix-aware --router-staleness-ms 200 --spread-ticks --step-timer kernel",
  "azure-code-2023 --limit 500 --model mixtral-8x7b --tp 2 --replicas 3 --prefill-replicas 1 --step-timer kernel",
  "azure-conv-2023 --limit 500 --concurrency 32 --speculative-tokens 3 --acceptance-rate 0.7 --weights fp8 --attention tight --step-timer kernel",
  "azure-conv-2023 --limit 400 --model deepseek-v3 --gpu h200-sxm --tp 8 --kv-dtype fp8 --batching mlfq",
];

const command = fileURLToPath(new URL("../packages/cli/bin/isochron.js", import.meta.url));
const { values } = parseArgs({ options: { node: { type: "string", default: "latest" } } });
const other = existsSync(values.node) ? values.node : binaryOf(values.node);
const versions = [process.execPath, other].map((node) =>
  execFileSync(node, ["--version"], { encoding: "utf8" }).trim(),
);
if (versions[0] === versions[1]) {
  console.error(`both are ${versions[0]}: name another release with --node`);
  process.exit(2);
}

let different = 0;
for (const replay of REPLAYS) {
  const [here, there] = [process.execPath, other].map((node) => reportBytes(node, replay.split(" ")));
  const at = firstDifference(here, there);
  if (at < 0) console.log(`✓ ${createHash("sha256").update(here).digest("hex").slice(0, 16)}  ${replay}`);
  else {
    different++;
    console.log(
      `✗ byte ${at}  ${replay}\n  ${versions[0]}: ${around(here, at)}\n  ${versions[1]}: ${around(there, at)}`,
    );
  }
}
console.log(
  `${REPLAYS.length - different} of ${REPLAYS.length} replays give the same bytes on ${versions.join(" and ")}`,
);
process.exitCode = different === 0 ? 0 : 1;

/** The Node of a release, as npm's package `node` has it. */
function binaryOf(release) {
  const args = ["--yes", `node@${release}`, "--print", "process.execPath"];
  return execFileSync("npx", args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
}

function reportBytes(node, args) {
  const text = execFileSync(node, [command, "replay", ...args, "--json"], { encoding: "utf8", maxBuffer: 2 ** 28 });
  const { wallClock: _, ...rest } = JSON.parse(text);
  const report = JSON.stringify(rest);
  // The keys as they were printed, not as they were parsed.
  if (!text.startsWith(report.slice(0, -1))) throw new Error("wallClock is not the last key of the report");
  return report;
}

function firstDifference(one, other) {
  if (one === other) return -1;
  for (let i = 0; ; i++) if (one[i] !== other[i]) return i;
}

function around(text, at) {
  return text.slice(Math.max(0, at - 40), at + 40);
}
