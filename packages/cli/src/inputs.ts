// Names and paths that users type → the things they mean, with a suggestion where a name is nearly right.

import { existsSync } from "node:fs";
import { POLICIES, POLICY_NAMES, type PolicyName, validateAttentionShape, validateBatch } from "@isochron/planner";
import {
  type BatchDocument,
  batchSchema,
  findModel,
  findProfile,
  type GpuProfile,
  gpuProfileSchema,
  listProfiles,
  MODEL_NAMES,
  type ModelConfig,
} from "@isochron/simulator";
import { type Context, terminalWidth } from "./context.ts";
import { readDocument } from "./documents/read.ts";
import { InputError, unknownName } from "./errors.ts";
import { nameOption } from "./options.ts";
import { wrap } from "./terminal/wrap.ts";

/** A bundled profile, or a profile file. */
export function findGpu(nameOrPath: string): GpuProfile {
  const known = listProfiles();
  if (known.includes(nameOrPath)) return findProfile(nameOrPath);
  if (!existsSync(nameOrPath)) throw notThere("GPU", nameOrPath, known);
  return readDocument(nameOrPath, "gpu-profile/1", gpuProfileSchema);
}

/** A bundled model, a config.json, or a folder that holds one. */
export function findServedModel(nameOrPath: string): ModelConfig {
  try {
    return findModel(nameOrPath);
  } catch (error) {
    if (existsSync(nameOrPath)) throw error;
    throw notThere("model", nameOrPath, MODEL_NAMES);
  }
}

/** Of what is neither a name nor there: a path is missing, a word is misspelt. */
function notThere(what: string, nameOrPath: string, known: readonly string[]): InputError {
  const isPath = /^[./~]|\.json$/.test(nameOrPath);
  if (!isPath) return unknownName(`unknown ${what}`, nameOrPath, known);
  return new InputError(`${nameOrPath}: no such file, expected one or a bundled ${what} (${known.join(", ")})`);
}

/** Every policy that can plan, in the order of their numbers. */
export function allPolicies(): PolicyName[] {
  return POLICY_NAMES.filter((name) => POLICIES[name] !== undefined);
}

/** Chosen: because help without a terminal is read in pages of this width. */
const HELP_WIDTH = 80;

/** What each policy does, for the end of a help text. */
export function policyHelp(context: Context): string {
  const names = allPolicies();
  const indent = Math.max(...names.map((name) => name.length)) + 4;
  const room = Math.max(30, (terminalWidth(context.stdout) ?? HELP_WIDTH) - indent);
  const lines = names.map((name) => {
    const summary = wrap(POLICIES[name]!.summary, room).join(`\n${" ".repeat(indent)}`);
    return `  ${name.padEnd(indent - 2)}${summary}\n`;
  });
  return `\nAttention policies:\n${lines.join("")}`;
}

/** Parses the value of a flag that names an attention policy. */
export function policyOption(flag: string): (text: string) => PolicyName {
  return nameOption(flag, "policy", allPolicies());
}

/** What help says of an argument that names a batch. */
export const ABOUT_BATCH =
  "batch/1 document: attention shape, query and KV tokens of each request (as docs/examples/small.json); - is standard input";

/** A `batch/1` file that the planner can plan; `-` is standard input. */
export function readBatch(path: string): BatchDocument {
  const batch = readDocument(path, "batch/1", batchSchema);
  return aboutBatch(path, () => {
    validateAttentionShape(batch.attention);
    validateBatch(batch, batch.attention.pageSize);
    return batch;
  });
}

/** Runs `work`; what the planner finds wrong with the batch gets the name of its file. */
export function aboutBatch<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && error.name === "InvalidBatchError") throw new InputError(`${path}: ${error.message}`);
    throw error;
  }
}
