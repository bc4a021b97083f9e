// Closed-loop measurements of vLLM, SGLang and TensorRT-LLM on H100 and H200 (data/aic-silicon): fixed input and output
// lengths at fixed concurrency. 16-bit weights only. Nothing is fitted to any row.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { createStepTimer, findModel, findProfile, gpuFacts, replay, traceOf } from "@isochron/simulator";

const MODELS = {
  "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
  "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
  "Qwen/Qwen3-32B": "qwen3-32b",
};
const GPUS = { h100_sxm: "h100-sxm", h200_sxm: "h200-sxm" };
const ENGINES = { vllm: "vllm-v1", sglang: "prefill-first", trtllm: "vllm-v1" };

/** Chosen: how many waves of requests are run; the rows do not say. */
const WAVES = 4;

/** Rows of one shape and engine: { engine, model, gpu, tp, isl, osl, concurrency, measured, simulated: { ttftMs, tpotMs } }. */
export async function aicRows(data) {
  const { rows } = JSON.parse(gunzipSync(readFileSync(new URL("aic-silicon/dense_h100_h200.json.gz", data))));
  const results = [];
  for (const row of rows) {
    if (!row.weights.startsWith("unstated(bf16") || row.pp !== 1) continue;
    const model = findModel(MODELS[row.model]);
    const profile = findProfile(GPUS[row.gpu]);
    const count = WAVES * row.concurrency;
    const report = await replay({
      trace: traceOf(Array.from({ length: count }, () => ({ arrivalUs: 0, inputTokens: row.isl, outputTokens: row.osl }))),
      deployment: {
        model,
        gpu: gpuFacts(profile),
        attention: "fa3-varlen",
        tensorParallel: row.tp,
        batching: ENGINES[row.engine],
      },
      stepTimer: createStepTimer({
        kind: "kernel",
        model,
        profile,
        tensorParallel: row.tp,
        attentionPolicy: "fa3-varlen",
      }),
      concurrency: row.concurrency,
    });
    results.push({
      engine: row.engine,
      model: row.model.split("/")[1],
      gpu: row.gpu,
      tp: row.tp,
      isl: row.isl,
      osl: row.osl,
      concurrency: row.concurrency,
      measured: { ttftMs: row.ttft_ms, tpotMs: row.tpot_ms },
      simulated: { ttftMs: report.metrics.ttftMs.mean, tpotMs: report.metrics.tpotMs.mean },
    });
  }
  return results;
}
