// The serving level against measurements: one line per figure, with its target and where its parameters come from.

import { aicRows, ENGINES } from "./serving-aic.mjs";
import { apexRows } from "./serving-apex.mjs";
import { clearSteps, mean, quantile, vllmRuns } from "./serving-runs.mjs";
import { skewRows } from "./skew.mjs";

const QUANTILES = [
  ["median", 0.5],
  ["p90", 0.9],
];

const worst = (errors) => errors.reduce((most, error) => (Math.abs(error) > Math.abs(most) ? error : most), 0);

/** End-to-end targets of the two runs: how far each metric may be off. */
const RUN_TARGETS = {
  "RTX 4090": { ttft: 0.01, tpot: 0.01, e2e: 0.01 },
  "RTX PRO 6000": { ttft: 0.04, tpot: 0.02, e2e: 0.02 },
};

/** What LLMServingSim, which measured the tables, reports for the same runs: means. */
const LLMSERVINGSIM = {
  "RTX 4090": { ttft: 0.006, tpot: 0.002, e2e: 0.005 },
  "RTX PRO 6000": { ttft: -0.04, tpot: -0.01, e2e: -0.018 },
};

/**
 * `rows`: { against, what, error, target, field, cases }, where `error` is signed where it is a bias and `field` is what
 * others report for the same, in words. `runs`: the two runs in detail.
 */
export async function servingFigures(data, missing = []) {
  const rows = [];
  const add = (against, what, error, target, field, cases) => rows.push({ against, what, error, target, field, cases });
  const percent = (value) => `${value > 0 ? "+" : ""}${(value * 100).toFixed(1)} %`;
  const runs = await vllmRuns(data, missing);
  for (const run of runs) {
    const targets = RUN_TARGETS[run.gpu] ?? {};
    const reported = LLMSERVINGSIM[run.name];
    for (const [key, against] of [
      ["simulated", `${run.name}, vLLM 0.19`],
      ["scaled", `${run.name}, vLLM 0.19, times ${run.factor.toFixed(3)}`],
    ]) {
      const { metrics } = run[key];
      for (const metric of ["ttft", "tpot", "e2e"]) {
        for (const statistic of ["mean", "p99"]) {
          const others = statistic === "mean" && reported ? `LLMServingSim ${percent(reported[metric])}` : "";
          const even = `even batches ${percent(run.even.metrics[`${metric} ${statistic}`])}`;
          const field = [others, even].filter((part) => part !== "").join(", ");
          add(
            against,
            `${metric.toUpperCase()} ${statistic}`,
            metrics[`${metric} ${statistic}`],
            targets[metric],
            field,
            run.requests,
          );
        }
      }
      const perRequest = "e2e per request, median |error|";
      add(
        against,
        "E2E per request, median |error|",
        metrics[perRequest],
        run.gpu === "RTX 4090" ? 0.01 : undefined,
        `even batches ${percent(run.even.metrics[perRequest])}`,
        run.requests,
      );
    }
    const against = `${run.name}, vLLM 0.19`;
    const steps = clearSteps(run.simulated.tail).map(Math.abs);
    const evenSteps = clearSteps(run.even.tail).map(Math.abs);
    for (const [name, q] of steps.length === 0 ? [] : QUANTILES) {
      add(
        against,
        `decode steps of the tail, ${name} |error|`,
        quantile(steps, q),
        undefined,
        `even batches ${percent(quantile(evenSteps, q))}`,
        steps.length,
      );
    }
    const seconds = run.seconds.map(({ error }) => error);
    if (seconds.length === 0) continue;
    add(against, "worst second of the tail", worst(seconds), 0.05, "mean KV 15 %", seconds.length);
    add(against, "mean |error| of the tail's seconds", mean(seconds.map(Math.abs)), undefined, "", seconds.length);
  }
  for (const { gpu, regime, simulated, mean: even } of skewRows(data, missing)) {
    const what = regime === "pure" ? "decodes" : "decodes and a prompt";
    for (const [name, q] of QUANTILES) {
      add(
        `${gpu}, uneven launches`,
        `${what}, ${name} |error|`,
        quantile(simulated, q),
        name === "p90" ? 0.05 : undefined,
        `mean KV ${percent(quantile(even, q))}`,
        simulated.length,
      );
    }
  }
  const tpotError = (row) => Math.abs(row.simulated.tpotMs / row.measured.tpotMs - 1);
  const closedLoop = await aicRows(data, missing);
  for (const gpu of [...new Set(closedLoop.map((row) => row.gpu))].sort()) {
    const rowsOfGpu = closedLoop.filter((row) => row.gpu === gpu);
    const against = `closed loop, ${gpu.replace("_sxm", "").toUpperCase()}`;
    const engines = Object.keys(ENGINES).map((engine) => [engine, rowsOfGpu.filter((row) => row.engine === engine)]);
    for (const [engine, group] of [["all engines", rowsOfGpu], ...engines]) {
      if (group.length === 0) continue;
      const field = engine === "all engines" ? "AIConfigurator is fitted to such data" : "";
      add(against, `TPOT, mean |error|, ${engine}`, mean(group.map(tpotError)), 0.1, field, group.length);
    }
  }
  const apex = await apexRows(data, missing);
  if (apex.length === 0) return { rows, runs };
  add(
    "Llama-3.1-70B on 8 H100, vLLM 0.6",
    "TTFT, mean |error|",
    mean(apex.map((row) => Math.abs(row.simulated.ttftMs / row.measured.ttftMs - 1))),
    0.15,
    "APEX+ 10.7 %",
    apex.length,
  );
  add(
    "Llama-3.1-70B on 8 H100, vLLM 0.6",
    "TPOT, mean |error|",
    mean(apex.map(tpotError)),
    0.08,
    "APEX+ 10.7 %",
    apex.length,
  );
  return { rows, runs };
}
