// Serving level: requests per second of real time, reading the trace included, one core.

import {
  createStepTimer,
  findModel,
  findProfile,
  findTrace,
  gpuFacts,
  openTrace,
  replay,
  syntheticTrace,
} from "../dist/index.js";

const model = findModel("llama-3.1-8b");
const profile = findProfile("h100-sxm");

/** Nothing but the engine: 6 ms a step and 40 µs for each 1,000 KV tokens, about an H100 with an 8 B model. */
export function cheapTimer() {
  const timing = {
    durationUs: 0,
    attentionUs: 0,
    gemmUs: 0,
    collectiveUs: 0,
    otherUs: 0,
    hostUs: 0,
    attentionImbalance: Number.NaN,
    smBusyFraction: Number.NaN,
  };
  return {
    name: "cheap",
    time(step) {
      let kvTokens = 0;
      for (let i = 0; i < step.count; i++) kvTokens += step.kvLens[i];
      timing.attentionUs = kvTokens * 0.04;
      timing.gemmUs = 6000 + step.tokens * 20;
      timing.durationUs = timing.attentionUs + timing.gemmUs;
      return timing;
    },
  };
}

async function run(trace, deployment, stepTimer = cheapTimer()) {
  const start = performance.now();
  const report = await replay({
    trace: await trace(),
    deployment: { model, gpu: gpuFacts(profile), attention: "balanced", ...deployment },
    stepTimer,
  });
  const seconds = (performance.now() - start) / 1000;
  const { completed, rejected, outputTokens, steps, durationS } = report.metrics;
  return {
    value: (completed + rejected) / seconds,
    seconds,
    steps,
    outputTokens,
    simulatedS: durationS,
    peakRssMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

const bundled = (name, options) => () => openTrace(findTrace(name).file, options);

const mooncake = (stepTimer) =>
  run(bundled("mooncake-conversation", { spreadTicks: true }), { replicas: 8 }, stepTimer);

export const cases = [
  {
    name: "Mooncake conversation, 8 replicas, analytic timer",
    target: { unit: "requests/s", least: 30_000 },
    run: () => mooncake(createStepTimer({ kind: "analytic", model, profile })),
  },
  {
    name: "Mooncake conversation, 8 replicas, cheap timer",
    target: { unit: "requests/s", least: 30_000 },
    run: () => mooncake(cheapTimer()),
  },
  {
    name: "Azure conversation, 1 replica, cheap timer",
    target: { unit: "requests/s", least: 30_000 },
    run: () => run(bundled("azure-conv-2023"), { replicas: 1 }),
  },
  {
    name: "1 million synthetic requests, 8 replicas, cheap timer",
    target: { unit: "requests/s", least: 30_000 },
    run: () =>
      run(
        () =>
          syntheticTrace({
            requests: 1_000_000,
            arrivals: { kind: "poisson", perSecond: 200 },
            input: { kind: "lognormal", median: 300, sigma: 0.8, max: 8000 },
            output: { kind: "constant", tokens: 20 },
            seed: 1,
          }),
        { replicas: 8 },
      ),
  },
  {
    name: "Mooncake conversation, 8 replicas, kernel timer",
    target: { unit: "requests/s", least: 1000 },
    runs: 1,
    run: () => mooncake(createStepTimer({ kind: "kernel", model, profile })),
  },
];
