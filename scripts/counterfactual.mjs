// What the attention plan alone does to a deployment: replays that differ in nothing but the attention policy.
//
//   node scripts/counterfactual.mjs           runs the replays, keeps their figures, writes tables and picture (minutes)
//   node scripts/counterfactual.mjs --render  writes tables and picture from the kept figures
//   node scripts/counterfactual.mjs --check   fails where tables or picture are not what the kept figures say

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { counterfactual } from "./drawings/counterfactual.mjs";

const ROOT = new URL("../", import.meta.url);
const FIGURES = new URL("docs/counterfactual/figures.json", ROOT);
const PAGE = new URL("docs/counterfactual.md", ROOT);
const PICTURE = new URL("docs/images/counterfactual.svg", ROOT);

const POLICIES = ["balanced", "flashinfer-fa2"];

/** From short contexts, where attention hardly matters, to long ones, where it is most of a step. */
const SCENARIOS = [
  { name: "short chats", gpus: "1 × H100", options: "azure-conv-2023 --gpu h100-sxm" },
  {
    name: "Mooncake, open loop",
    gpus: "8 × H100",
    options: "mooncake-conversation --spread-ticks --gpu h100-sxm --replicas 8",
  },
  ...[12, 32, 56].map((requests) => ({
    name: `Mooncake, ${requests} in flight`,
    gpus: "1 × H200",
    options: `mooncake-conversation --concurrency ${requests} --limit 2000 --gpu h200-sxm`,
  })),
];

const commandOf = ({ options }, policy) =>
  `isochron replay ${options} --step-timer kernel --attention ${policy} --json`;

const mode = process.argv[2];
if (mode === undefined) writeFileSync(FIGURES, `${JSON.stringify(await measure(), null, 2)}\n`);
const figures = JSON.parse(readFileSync(FIGURES, "utf8"));
publish(PAGE, page(readFileSync(PAGE, "utf8"), figures));
publish(PICTURE, counterfactual(figures));

async function measure() {
  const scenarios = [];
  for (const scenario of SCENARIOS) {
    const runs = POLICIES.map((policy) => run(commandOf(scenario, policy)));
    scenarios.push({ name: scenario.name, gpus: scenario.gpus, runs });
  }
  return { isochron: "counterfactual/1", scenarios };
}

function run(command) {
  console.error(command);
  const [, ...words] = command.split(" ");
  const binary = fileURLToPath(new URL("packages/cli/bin/isochron.js", ROOT));
  const { status, stdout } = spawnSync(process.execPath, [binary, ...words], {
    encoding: "utf8",
    maxBuffer: 2 ** 30,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`${command}: exit code ${status}`);
  const { generator, trace, deployment, metrics, steps, stepStride, warnings } = JSON.parse(stdout);
  return {
    command,
    version: generator.version,
    trace,
    deployment,
    metrics,
    decodeSteps: attentionOf(steps, stepStride, (prefillTokens) => prefillTokens === 0),
    mixedSteps: attentionOf(steps, stepStride, (prefillTokens) => prefillTokens > 0),
    warnings,
  };
}

/** Attention of one kind of step, over the steps that the report's series keeps. */
function attentionOf(steps, stride, belongs) {
  const chosen = steps.step.map((_, i) => i).filter((i) => belongs(steps.prefillTokens[i]));
  const sum = (value) => chosen.reduce((total, i) => total + value(i), 0);
  const attentionUs = sum((i) => steps.attentionUs[i]);
  return {
    stride,
    steps: chosen.length,
    attentionShare: attentionUs / sum((i) => steps.durationUs[i]),
    imbalance: sum((i) => steps.attentionUs[i] * steps.attentionImbalance[i]) / attentionUs,
  };
}

/** The page with everything between its markers made anew. */
function page(text, { scenarios }) {
  const commands = scenarios.flatMap(({ runs }) => runs.map(({ command }) => command));
  return [
    ["commands", `\`\`\`sh\n${commands.join("\n")}\n\`\`\``],
    ["results", results(scenarios)],
    ["launches", launches(scenarios)],
  ].reduce((result, [name, content]) => between(result, name, content), text);
}

function results(scenarios) {
  const rows = scenarios.flatMap(({ name, gpus, runs }) =>
    runs.map(({ deployment, metrics }) => [
      `${name}, ${gpus}`,
      `\`${deployment.attention}\``,
      ms(metrics.ttftMs.mean),
      ms(metrics.ttftMs.p99),
      ms(metrics.tpotMs.mean),
      ms(metrics.tpotMs.p99),
      percent(metrics.stepTimeShare.attention),
      percent(1 - metrics.smBusyFraction),
      percent(metrics.stepTimeShare.attention * (1 - metrics.smBusyFraction)),
    ]),
  );
  const titles = ["scenario", "plan", "TTFT mean ms", "TTFT p99 ms", "TPOT mean ms", "TPOT p99 ms"];
  return table(
    [...titles, "attention's share of step time", "SMs idle in attention", "that is, of step time"],
    rows,
    2,
  );
}

function launches(scenarios) {
  const rows = scenarios.flatMap(({ name, gpus, runs }) =>
    runs.map(({ deployment, metrics, decodeSteps, mixedSteps }) => [
      `${name}, ${gpus}`,
      `\`${deployment.attention}\``,
      decodeSteps.imbalance.toFixed(2),
      mixedSteps.imbalance.toFixed(2),
      metrics.attentionImbalance.max.toFixed(2),
      percent(decodeSteps.attentionShare),
      percent(mixedSteps.attentionShare),
    ]),
  );
  const titles = ["scenario", "plan", "decode-only steps", "mixed steps", "worst step"];
  return table([...titles, "attention's share, decode-only", "mixed"], rows, 2);
}

function table(titles, rows, words) {
  const rule = titles.map((_, i) => (i < words ? "---" : "---:"));
  return [titles, rule, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

function ms(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(value >= 10 ? 1 : 2);
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function between(text, name, content) {
  const marked = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- end -->)`);
  if (!marked.test(text)) throw new Error(`docs/counterfactual.md has no place for ${name}`);
  return text.replace(marked, (_, start, end) => `${start}\n${content}\n\n${end}`);
}

function publish(file, content) {
  if (mode !== "--check") return writeFileSync(file, content);
  if (readFileSync(file, "utf8") === content) return;
  console.error(`${fileURLToPath(file)} is out of date: run node scripts/counterfactual.mjs --render`);
  process.exitCode = 1;
}
