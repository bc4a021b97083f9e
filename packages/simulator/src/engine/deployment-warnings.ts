// What a report should say of a deployment that can be replayed and is not what it seems.

import { BATCHING_POLICIES } from "../batching/policies.ts";
import { rankKvBytesPerToken, rankWeightBytes } from "../model/model-cost.ts";
import { modelStages } from "../model/model-stages.ts";
import type { DeploymentOptions, ResolvedDeployment } from "./deployment.ts";

const text = (value: number): string => value.toLocaleString("en-US");
const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

/** GPUs of one machine, which profiles' links are between (an HGX board; NVL72 has more). */
const NVLINK_GPUS = 8;

/** One sentence each. `usableBlocks`: KV blocks that requests can hold; `timer`: name of the step timer. */
export function deploymentWarnings(
  { model, gpu }: DeploymentOptions,
  { batching, description, limits }: ResolvedDeployment,
  { usableBlocks, timer }: { readonly usableBlocks: number; readonly timer: string },
): string[] {
  const { blockSizeTokens, expertParallel = 1, kvBlocks, pipelineParallel = 1, tensorParallel } = description;
  const warnings = (model.notes ?? []).map((note) => `${model.name}: ${note}`);
  if (gpu.calibrated === false && (timer === "analytic" || timer === "kernel")) {
    warnings.push(`${gpu.name}: step times from data sheets, not from measurements`);
  }
  const neededBytes = Math.max(
    ...modelStages(model, pipelineParallel).map(
      (stage) =>
        rankWeightBytes(model, tensorParallel, stage, description.expertParallel) +
        kvBlocks * blockSizeTokens * rankKvBytesPerToken(model, tensorParallel, stage),
    ),
  );
  if (neededBytes > gpu.memoryBytes) {
    warnings.push(
      `${gpu.name}: weights and ${text(kvBlocks)} KV blocks take ${gib(neededBytes)} GiB of its ${gib(gpu.memoryBytes)}`,
    );
  }
  if (limits.maxContextTokens > model.maxContextTokens) {
    warnings.push(
      `${model.name}: made for ${text(model.maxContextTokens)} tokens, not ${text(limits.maxContextTokens)}`,
    );
  }
  const contexts = Math.max(1, Math.floor(usableBlocks / Math.ceil(limits.maxContextTokens / blockSizeTokens)));
  if (BATCHING_POLICIES[batching].reservesContext === true && contexts < limits.maxRunningRequests) {
    const reserved = `the ${text(limits.maxContextTokens)} tokens of a context are reserved for each request`;
    warnings.push(`${batching}: ${reserved}, so ${contexts} run at a time; a shorter one lets more in`);
  }
  if (expertParallel > NVLINK_GPUS) {
    warnings.push(
      `all-to-alls of ${expertParallel} GPUs are timed as if one NVLink domain had them all: between machines they are slower`,
    );
  }
  return warnings;
}
