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

/** Whether a folder has a file, gzipped or not. */
export function has(at, name) {
  const { href } = new URL(name, at);
  return existsSync(new URL(href)) || existsSync(new URL(`${href}.gz`));
}

/** Text of a file of the data folder; when it is not there, undefined, and `missing` says so. */
export function textOf(data, missing, name) {
  if (has(data, name)) return readText(new URL(name, data));
  missing.push(name);
  return undefined;
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

/** How a GPU is called in tables. */
const GPU_NAMES = { RTX4090: "RTX 4090", RTXPRO6000: "RTX PRO 6000" };

/** Folders of layer tables by GPU, model and tensor parallelism: { name, profile, model, tensorParallel, at }. */
export function layerTablesIn(data, missing) {
  const root = folder(data, "perf/llmservingsim", "llmservingsim");
  if (root === undefined) {
    missing.push("llmservingsim: tables of layer times");
    return [];
  }
  const tables = [];
  for (const entry of readdirSync(root).sort()) {
    const [, gpu, modelName, tensorParallel] = /^([A-Za-z0-9]+)_(.+)_bf16_tp(\d+)$/.exec(entry) ?? [];
    if (gpu === undefined) continue;
    const model = Object.entries(MODELS).find(([name]) => name.replaceAll("/", "_") === modelName)?.[1];
    if (model === undefined || !Object.hasOwn(PROFILES, gpu)) {
      missing.push(`a GPU profile or a model for the tables in ${entry}`);
      continue;
    }
    const title = GPU_NAMES[gpu] ?? gpu;
    const isUsual = model === "llama-3.1-8b" && tensorParallel === "1";
    tables.push({
      name: isUsual ? title : `${title}, ${model}${tensorParallel === "1" ? "" : `, ${tensorParallel} GPUs`}`,
      profile: PROFILES[gpu],
      model,
      tensorParallel: Number(tensorParallel),
      at: new URL(`${entry}/`, root),
    });
  }
  return tables;
}

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

const LAYER_FILES = ["attention.csv", "dense.csv", "per_sequence.csv"];

function foldersIn(url) {
  return readdirSync(url, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** Runs of vLLM that have tables of their GPU's layers: { name, model, profile, tables, requests, timeseries, workload, deployment }. */
export function vllmRunsIn(data, missing) {
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
  if (root === undefined) {
    missing.push("llmservingsim: runs of vLLM");
    return runs;
  }
  for (const gpu of foldersIn(root)) {
    for (const modelFolder of foldersIn(new URL(`${gpu}/`, root))) {
      const at = new URL(`${gpu}/${modelFolder}/`, root);
      const absent = ["meta.json", "requests.jsonl"].find((name) => !has(at, name));
      if (absent !== undefined || !Object.hasOwn(PROFILES, gpu)) {
        missing.push(`${gpu} ${modelFolder}: ${absent ?? "a profile of the GPU"}`);
        continue;
      }
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
      const lacks = [
        [tables, `layer tables for ${engine.tensor_parallel_size} GPUs`],
        [workload, `the workload ${stem}`],
        [MODELS[engine.model], `the model ${engine.model}`],
        ...LAYER_FILES.map((name) => [tables === undefined || has(tables, name), `the layer table ${name}`]),
      ].find(([found]) => found === undefined || found === false);
      if (lacks !== undefined) {
        missing.push(`${gpu} ${modelFolder}: ${lacks[1]}`);
        continue;
      }
      runs.push({
        name: modelFolder === "Llama-3.1-8B" ? (GPU_NAMES[gpu] ?? gpu) : `${GPU_NAMES[gpu] ?? gpu}, ${modelFolder}`,
        gpu: GPU_NAMES[gpu] ?? gpu,
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
