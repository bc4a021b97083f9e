// Name or path → ModelConfig. Bundled models are Hugging Face config files next to the package's sources.

import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ModelError, parseModelConfig } from "./hugging-face.ts";
import type { ModelConfig } from "./model-config.ts";

/** Bundled models, smallest first. */
export const MODEL_NAMES = [
  "llama-3.1-8b",
  "qwen3-30b-a3b",
  "qwen3-32b",
  "mixtral-8x7b",
  "llama-3.1-70b",
  "deepseek-v3",
] as const;

// Holds for src/model/ and for dist/model/ alike.
const bundled = new URL("../../models/", import.meta.url);
/** Those that were asked for, by name: a sweep asks for the same ones hundreds of times. */
const bundledModels = new Map<string, ModelConfig>();

/**
 * Finds a model by bundled name (`llama-3.1-8b`; case and organisation are ignored: `meta-llama/Llama-3.1-8B` works) or
 * reads a `config.json`, or a folder that holds one. Bundled ones are read once: everybody gets the same object.
 * @throws ModelError when there is no such model or the file cannot be used
 */
export function findModel(nameOrPath: string): ModelConfig {
  if (typeof nameOrPath !== "string") {
    throw new ModelError(String(nameOrPath), "", `is no name of a model (${MODEL_NAMES.join(", ")}) and no path`);
  }
  // A folder of the same name as a bundled model is meant where it is there.
  const isFolder = nameOrPath.includes("/") && existsSync(join(nameOrPath, "config.json"));
  const short = isFolder ? "" : nameOrPath.split("/").at(-1)!.toLowerCase();
  // Version suffixes of publishers (Mixtral-8x7B-v0.1) name the same shapes.
  const name = MODEL_NAMES.find((candidate) => candidate === short || short.startsWith(`${candidate}-v`));
  if (name !== undefined) return bundledModel(name);
  const file = nameOrPath.endsWith(".json") ? nameOrPath : `${nameOrPath}/config.json`;
  const isConfig = basename(file) === "config.json";
  return readModel(file, isConfig ? basename(dirname(resolve(file))) : basename(file, ".json"), nameOrPath);
}

function bundledModel(name: string): ModelConfig {
  let model = bundledModels.get(name);
  if (model === undefined) {
    model = readModel(fileURLToPath(new URL(`${name}.json`, bundled)), name);
    bundledModels.set(name, model);
  }
  return model;
}

function readModel(file: string, name: string, asked: string = name): ModelConfig {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    const names = MODEL_NAMES.join(", ");
    throw new ModelError(asked, "", `is no bundled model (${names}) and no readable config.json`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ModelError(file, "", `is not JSON: ${(error as Error).message}`);
  }
  try {
    return parseModelConfig(json, name);
  } catch (error) {
    throw error instanceof ModelError ? new ModelError(file, error.field, error.found) : error;
  }
}
