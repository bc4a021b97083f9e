// Where measurements lie: in this package's own data folder, or in a folder given with --data that has `validation`, `perf`
// and `traces` in it.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** Text of a file, gzipped or not; the name may lack its .gz. */
export function readText(url) {
  const file = existsSync(url) ? url : new URL(`${url.href}.gz`);
  const bytes = readFileSync(file);
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes).toString() : bytes.toString();
}

/** The first of these folders that exists, with a slash at its end; undefined when none does. */
export function folder(data, ...names) {
  for (const name of names) {
    const url = new URL(`${name}/`, data);
    if (existsSync(url)) return url;
  }
  return undefined;
}

/** Files of a folder by how their names end, .gz or not. */
export function filesIn(url, ending) {
  return readdirSync(url)
    .filter((name) => name.endsWith(ending) || name.endsWith(`${ending}.gz`))
    .sort()
    .map((name) => new URL(name, url));
}

const PROFILES = { RTX4090: "rtx-4090", RTXPRO6000: "rtx-pro-6000", H100: "h100-sxm" };
const MODELS = { "meta-llama/Llama-3.1-8B": "llama-3.1-8b", "Qwen/Qwen3-32B": "qwen3-32b" };

/** Engine settings of the package's two runs, from the engine's own logs; graphs reach to twice max_num_seqs, at most 512. */
const OWN_RUNS = [
  {
    name: "RTX 4090",
    folder: "RTX4090",
    profile: "rtx-4090",
    deployment: { kvBlocks: 2588, maxRunningRequests: 256, maxBatchedTokens: 2048, maxContextTokens: 32_768 },
  },
  {
    name: "RTX PRO 6000",
    folder: "RTXPRO6000",
    profile: "rtx-pro-6000",
    deployment: { maxRunningRequests: 128, maxBatchedTokens: 2048 },
  },
];

/** Runs of vLLM that have tables of their GPU's layers: { name, model, profile, tables, requests, timeseries, workload, deployment }. */
export function vllmRunsIn(data) {
  const own = folder(data, "llmservingsim/runs");
  if (own !== undefined) {
    return OWN_RUNS.map((run) => ({
      ...run,
      model: "llama-3.1-8b",
      tables: new URL(`llmservingsim/${run.folder}_meta-llama_Llama-3.1-8B_bf16_tp1`, data),
      requests: new URL(`${run.folder}/requests.jsonl`, own),
      timeseries: new URL(`${run.folder}/timeseries.csv`, own),
      workload: filesIn(own, ".mooncake16.jsonl")[0],
    }));
  }
  const runs = [];
  const root = folder(data, "validation/llmservingsim");
  if (root === undefined) return runs;
  for (const gpu of readdirSync(root).filter((name) => Object.hasOwn(PROFILES, name))) {
    for (const modelFolder of readdirSync(new URL(`${gpu}/`, root))) {
      const at = new URL(`${gpu}/${modelFolder}/`, root);
      const {
        engine_kwargs: engine,
        kv_cache: cache,
        dataset_path: dataset,
      } = JSON.parse(readText(new URL("meta.json", at)));
      const tables = folder(
        data,
        `perf/llmservingsim/${gpu}_${engine.model.replaceAll("/", "_")}_bf16_tp${engine.tensor_parallel_size}`,
      );
      const stem = dataset
        .split("/")
        .at(-1)
        .replace(/\.jsonl$/, "");
      const workload = filesIn(root, ".mooncake16.jsonl").find((url) => url.pathname.includes(stem));
      if (tables === undefined || workload === undefined || !Object.hasOwn(MODELS, engine.model)) {
        console.error(`${gpu} ${modelFolder}: left out, its layer tables, its workload or its model are not at hand`);
        continue;
      }
      runs.push({
        name: `${gpu} ${modelFolder}`,
        profile: PROFILES[gpu],
        model: MODELS[engine.model],
        tensorParallel: engine.tensor_parallel_size,
        tables,
        requests: new URL("requests.jsonl", at),
        timeseries: new URL("timeseries.csv", at),
        workload,
        deployment: {
          ...(cache?.num_gpu_blocks ? { kvBlocks: cache.num_gpu_blocks } : {}),
          maxRunningRequests: engine.max_num_seqs,
          maxBatchedTokens: engine.max_num_batched_tokens,
          ...(engine.max_model_len ? { maxContextTokens: engine.max_model_len } : {}),
        },
      });
    }
  }
  return runs;
}
