// Closed-loop measurements of vLLM, SGLang and TensorRT-LLM on H100 and H200 (data/aic-silicon): fixed input and output
// lengths at fixed concurrency. 16-bit weights only.
//
// The time of each engine's host is fitted to a few rows, which are not judged: eight GPUs, where it shows most.

import { createStepTimer, findModel, findProfile, gpuFacts, replay, traceOf } from "@isochron/simulator";
import { filesIn, folder, readText } from "./layout.mjs";
import { tableAttention } from "./table-attention.mjs";

const MODELS = {
  "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
  "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
  "Qwen/Qwen3-32B": "qwen3-32b",
};
const GPUS = { h100_sxm: "h100-sxm", h200_sxm: "h200-sxm" };

/**
 * Policy and host of each engine. vLLM 0.12: 1.8 to 7.7 ms beyond the GPU's time at 8 to 128 requests; SGLang 0.5: 1.1 to
 * 3.4 ms at 16 to 128; TensorRT-LLM, whose host works beside the GPU: steps of 2.7 to 4.4 ms at 8 to 32.
 */
export const ENGINES = {
  vllm: {
    batching: "vllm-v1",
    host: { stepUs: 1407, requestUs: 48.3 },
    fittedOn: (row) => row.tp === 8 && row.isl === 1024 && row.osl === 512,
  },
  sglang: {
    batching: "prefill-first",
    host: { stepUs: 708, requestUs: 20.1 },
    fittedOn: (row) =>
      row.tp === 8 && row.osl === 512 && (row.isl === 1024 || (row.isl === 4096 && row.concurrency === 16)),
  },
  trtllm: {
    batching: "vllm-v1",
    host: { stepUs: 2230, requestUs: 62, overlaps: true },
    // Its own kernels are not modelled: measured tables, where there are any of the GPU.
    attentionTables: { h100_sxm: "h100_sxm_trtllm_1.3.0rc20" },
    fittedOn: (row) => row.tp === 8 && row.isl === 1024 && row.osl === 512,
  },
};

/** Chosen: how many waves of requests are run; the rows do not say. */
const WAVES = 4;

/** Rows of one shape and engine: { engine, model, gpu, tp, isl, osl, concurrency, measured, simulated: { ttftMs, tpotMs } }. */
export async function aicRows(data, missing = [], fitted = false) {
  const at = folder(data, "aic-silicon", "validation/aic-silicon");
  const rows = at === undefined ? [] : filesIn(at, ".json").flatMap((file) => JSON.parse(readText(file)).rows);
  if (rows.length === 0) missing.push("aic-silicon: measured rows");
  const results = [];
  for (const row of rows) {
    if (!row.weights.startsWith("unstated(bf16") || row.pp !== 1) continue;
    if (!Object.hasOwn(MODELS, row.model) || !Object.hasOwn(GPUS, row.gpu) || !Object.hasOwn(ENGINES, row.engine))
      continue;
    const engine = ENGINES[row.engine];
    if (engine.fittedOn(row) !== fitted) continue;
    const model = findModel(MODELS[row.model]);
    const profile = findProfile(GPUS[row.gpu]);
    const count = WAVES * row.concurrency;
    const table = engine.attentionTables?.[row.gpu];
    const runner = table && tableAttention(table, model.queryHeads / row.tp, Math.max(1, model.kvHeads / row.tp));
    const report = await replay({
      trace: traceOf(
        Array.from({ length: count }, () => ({ arrivalUs: 0, inputTokens: row.isl, outputTokens: row.osl })),
      ),
      deployment: {
        model,
        gpu: gpuFacts(profile),
        attention: "fa3-varlen",
        tensorParallel: row.tp,
        batching: engine.batching,
      },
      stepTimer: createStepTimer({
        kind: "kernel",
        model,
        profile,
        tensorParallel: row.tp,
        attentionPolicy: "fa3-varlen",
        host: engine.host,
        runner,
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
