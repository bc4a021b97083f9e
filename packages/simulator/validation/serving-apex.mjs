// vLLM 0.6.0 with Llama-3.1-70B on 8 H100 (data/apex, APEX+): open loop, one trace on one engine, or split over two or
// four. Only runs that generated what the trace asked for, within 2 %.
//
// That version schedules prompts before decodes; custom all-reduce was off, so it is NCCL's (AIConfigurator's table). The
// time of its host, in decode steps and in the uncaptured ones of prompts, is fitted to the runs at 0.25 requests/s; those
// at 0.5 requests/s are judged.

import { createStepTimer, findModel, findProfile, gpuFacts, replay, traceOf } from "@isochron/simulator";
import { filesIn, folder, has, readText } from "./layout.mjs";

/** Fitted on llama_creation_025: mean TPOT 20.5 to 32.5 ms, mean TTFT 53 to 78 ms. */
const HOST = { stepUs: 3500, requestUs: 52, promptStepUs: 14_000 };
const FITTED_ON = "llama_creation_025";

/** Rows: { trace, config, tp, measured, simulated: { ttftMs, tpotMs } }. */
export async function apexRows(data, missing = [], fitted = false) {
  const at = folder(data, "apex", "validation/apex");
  const traces = folder(data, "traces/apex-plus", "apex");
  const rows = at === undefined ? [] : filesIn(at, ".json").flatMap((file) => JSON.parse(readText(file)).rows);
  if (rows.length === 0) missing.push("apex: measured rows");
  const model = findModel("llama-3.1-70b");
  const profile = { ...findProfile("h100-sxm"), allReduce: ncclAllReduce() };
  const results = [];
  for (const row of rows) {
    if (Math.abs(row.output_tokens / row.output_tokens_in_trace - 1) > 0.02) continue;
    if ((row.trace === FITTED_ON) !== fitted) continue;
    if (traces === undefined || !has(traces, `${row.trace}.csv`)) {
      missing.push(`apex: the trace ${row.trace}.csv of a measured row`);
      continue;
    }
    // "8TP" is one engine with the whole trace, "2DP4TP_1" the second of two with every other request.
    const [, engines = "1", tp, index = "0"] = /^(?:(\d)DP)?(\d)TP(?:_(\d))?$/.exec(row.config);
    const requests = readText(new URL(`${row.trace}.csv`, traces))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(",").map(Number))
      .filter((_, i) => i % Number(engines) === Number(index))
      .map(([arrivalNs, inputTokens, outputTokens]) => ({ arrivalUs: arrivalNs / 1000, inputTokens, outputTokens }));
    const report = await replay({
      trace: traceOf(requests),
      deployment: {
        model,
        gpu: gpuFacts(profile),
        attention: "fa3-varlen",
        tensorParallel: Number(tp),
        batching: "prefill-first",
        maxRunningRequests: 256,
        gpuMemoryUtilization: 0.97,
        prefixCaching: false,
      },
      stepTimer: createStepTimer({
        kind: "kernel",
        model,
        profile,
        tensorParallel: Number(tp),
        attentionPolicy: "fa3-varlen",
        host: HOST,
      }),
    });
    results.push({
      trace: row.trace,
      config: row.config,
      tp,
      measured: { ttftMs: row.mean_ttft_s * 1000, tpotMs: row.mean_tpot_s * 1000 },
      simulated: { ttftMs: report.metrics.ttftMs.mean, tpotMs: report.metrics.tpotMs.mean },
    });
  }
  return results;
}

/** NCCL's all-reduce by number of GPUs, in the form of a profile. */
function ncclAllReduce() {
  const [, ...lines] = readText(new URL("data/aiconfigurator/h100_sxm_nccl_2.29.2.csv.gz", import.meta.url))
    .trim()
    .split("\n");
  const tables = new Map();
  for (const line of lines) {
    const [, operation, , , gpus, elements, ms] = line.split(",");
    if (operation !== "all_reduce") continue;
    const rows = tables.get(gpus) ?? [];
    // Sizes are numbers of 16-bit elements.
    rows.push([2 * Number(elements), Number(ms) * 1000]);
    tables.set(gpus, rows);
  }
  return [...tables].map(([gpus, rows]) => ({ gpus: Number(gpus), rows, source: "allReduce" }));
}
