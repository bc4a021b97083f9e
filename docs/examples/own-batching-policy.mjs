// A batching policy of one's own: shortest prompt first. Short questions overtake long documents, and nobody who runs is sent
// back unless blocks run out, in which case the longest prompt goes.
//
//   node docs/examples/own-batching-policy.mjs      (after npm run build)
//
// A policy is told of requests that arrive and end, by slot, and fills each step. It sees prompt lengths, tokens so far and
// the KV cache; how long answers will be it does not see.

import { pathToFileURL } from "node:url";
import {
  createStepTimer,
  findModel,
  findProfile,
  findTrace,
  gpuFacts,
  openTrace,
  preempt,
  replay,
  scheduleTokens,
} from "@isochron/simulator";

/** @type {import("@isochron/simulator").CreateBatchingPolicy} */
export function createShortestPromptFirst(context) {
  const { requests, kvCache, limits } = context;
  const waiting = [];
  const running = [];
  const byPrompt = (a, b) => requests.inputTokens[a] - requests.inputTokens[b];

  /** Puts the next tokens of a running request into the step, unless it is the one that loses its blocks for want of any. */
  const goOn = (step, slot) => {
    const left = requests.knownTokens[slot] - requests.computedTokens[slot];
    const tokens = Math.min(left, limits.maxBatchedTokens - step.tokens);
    if (tokens === 0) return;
    while (!kvCache.grow(slot, requests.computedTokens[slot] + tokens)) {
      // The longest prompt among those that have no tokens in this step yet, perhaps this one.
      const victim = running.filter((other) => !step.slots.subarray(0, step.count).includes(other)).sort(byPrompt).at(-1);
      running.splice(running.indexOf(victim), 1);
      preempt(step, context, victim);
      waiting.push(victim);
      if (victim === slot) return;
    }
    scheduleTokens(step, requests, slot, tokens);
  };

  return {
    get waitingCount() {
      return waiting.length;
    },
    get runningCount() {
      return running.length;
    },
    enqueue(slot) {
      waiting.push(slot);
    },
    finish(slot) {
      running.splice(running.indexOf(slot), 1);
    },
    schedule(step) {
      // A copy: requests may be sent back meanwhile.
      for (const slot of running.toSorted(byPrompt)) if (running.includes(slot)) goOn(step, slot);
      if (step.preemptedCount > 0) return;
      waiting.sort(byPrompt);
      while (waiting.length > 0 && running.length < limits.maxRunningRequests && step.tokens < limits.maxBatchedTokens) {
        const slot = waiting[0];
        const cached = kvCache.lookup(slot, requests.knownTokens[slot]);
        if (!kvCache.fits(requests.knownTokens[slot], 0)) return;
        const tokens = Math.min(requests.knownTokens[slot] - cached, limits.maxBatchedTokens - step.tokens);
        kvCache.admit(slot, cached + tokens);
        waiting.shift();
        running.push(slot);
        scheduleTokens(step, requests, slot, tokens, cached);
      }
    },
  };
}

/** One GPU, at times more prompts than it can take at once: reports with the built-in policy and with this one. */
export async function compare(requests) {
  const model = findModel("llama-3.1-8b");
  const profile = findProfile("h100-sxm");
  const policies = [undefined, { name: "shortest-prompt-first", create: createShortestPromptFirst }];
  return Promise.all(
    policies.map(async (batchingPolicy) =>
      replay({
        trace: await openTrace(findTrace("azure-code-2023").file, { limit: requests, rate: 4 }),
        deployment: { model, gpu: gpuFacts(profile), attention: "balanced", maxBatchedTokens: 2048 },
        stepTimer: createStepTimer({ kind: "analytic", model, profile }),
        ...(batchingPolicy === undefined ? {} : { batchingPolicy }),
      }),
    ),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const { deployment, metrics } of await compare(2000)) {
    const { mean, median, p99 } = metrics.ttftMs;
    const [a, b, c] = [mean, median, p99].map((ms) => ms.toFixed(0).padStart(7));
    console.log(`${deployment.batching.padEnd(24)} TTFT mean ${a} ms, median ${b} ms, p99 ${c} ms`);
  }
}
