// The replicas of a deployment: each with its requests, KV cache and batching policy, who of them step together, and who hands
// requests to whom.

import { BATCHING_POLICIES } from "../batching/policies.ts";
import type { ResolvedDeployment } from "../engine/deployment.ts";
import { ExpertGroup } from "../engine/expert-group.ts";
import { KvTransfers } from "../engine/kv-transfers.ts";
import { Replica } from "../engine/replica.ts";
import { RequestTable } from "../engine/request-table.ts";
import { Acceptance, draftingTimer } from "../engine/speculation.ts";
import { KvCache } from "../kv-cache/kv-cache.ts";
import type { StepObserver } from "../metrics/step-observer.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { rankKvBytesPerToken } from "../model/model-cost.ts";
import { modelStages } from "../model/model-stages.ts";
import type { StepTimer } from "../step.ts";
import type { ReplayOptions } from "./replay-options.ts";

export interface Fleet {
  readonly replicas: readonly Replica[];
  /** What takes steps by itself: each replica, or groups that share experts. */
  readonly units: readonly (Replica | ExpertGroup)[];
  /** Replicas in each. */
  readonly unitSize: number;
  /** So many of the replicas, the first ones, get what arrives: all, or those that compute prompts. */
  readonly entryReplicas: number;
  /** KV caches on their way from those to the others; undefined where every replica does everything. */
  readonly transfers: KvTransfers | undefined;
  /** KV blocks of a replica that requests can hold. */
  readonly usableBlocks: number;
  readonly timerName: string;
}

/** @throws RangeError where step timers are neither one nor one for each replica */
export function createFleet(options: ReplayOptions, deployment: ResolvedDeployment, observer: StepObserver): Fleet {
  const { description } = deployment;
  const { replicas: count, tensorParallel, expertParallel = tensorParallel, disaggregation } = description;
  const timers = timersOf(options, deployment);
  const usableBlocks = usableBlocksOf(deployment);
  const replicas = Array.from({ length: count }, (_, index) =>
    createReplica(index, options, deployment, timers[index % timers.length]!, observer),
  );
  const unitSize = expertParallel / tensorParallel;
  return {
    replicas,
    units: unitSize === 1 ? replicas : groupsOf(replicas, unitSize),
    unitSize,
    entryReplicas: disaggregation?.prefillReplicas ?? count,
    transfers: disaggregation === undefined ? undefined : transfersOf(options.deployment.model, description),
    usableBlocks,
    timerName: timers[0]!.name,
  };
}

function timersOf({ stepTimer }: ReplayOptions, { description }: ResolvedDeployment): readonly StepTimer[] {
  const { replicas, speculation } = description;
  const timers: readonly StepTimer[] = Array.isArray(stepTimer) ? stepTimer : [stepTimer];
  if (timers.length !== 1 && timers.length !== replicas) {
    throw new RangeError(`${timers.length} step timers for ${replicas} replicas, expected one or one each`);
  }
  return speculation === undefined ? timers : timers.map((timer) => draftingTimer(timer, speculation));
}

/** vLLM keeps one as a placeholder. */
function usableBlocksOf({ description }: ResolvedDeployment): number {
  return description.kvBlocks - 1;
}

function createReplica(
  index: number,
  { trace, seed = 0, batchingPolicy }: ReplayOptions,
  deployment: ResolvedDeployment,
  stepTimer: StepTimer,
  observer: StepObserver,
): Replica {
  const { description, limits, batching } = deployment;
  const { blockSizeTokens, prefixCaching, asyncScheduling = false, pipelineParallel = 1, speculation } = description;
  const create = batchingPolicy?.create ?? BATCHING_POLICIES[batching].create;
  const requests = new RequestTable();
  const kvCache = new KvCache({
    blocks: usableBlocksOf(deployment),
    blockSizeTokens,
    blocksPerContent: Math.max(1, Math.floor(trace.blockTokens / blockSizeTokens)),
    prefixCaching,
  });
  return new Replica({
    index,
    requests,
    kvCache,
    policy: create({ requests: requests.visible, kvCache, limits }),
    maxRunningRequests: limits.maxRunningRequests,
    maxContextTokens: limits.maxContextTokens,
    asyncScheduling,
    stages: pipelineParallel,
    stepTimer,
    observer,
    speculation:
      speculation === undefined
        ? undefined
        : { tokens: speculation.tokens, acceptance: new Acceptance(seed, speculation.acceptanceRate) },
  });
}

function groupsOf(replicas: readonly Replica[], size: number): ExpertGroup[] {
  return Array.from(
    { length: replicas.length / size },
    (_, i) => new ExpertGroup(replicas.slice(i * size, (i + 1) * size)),
  );
}

function transfersOf(model: ModelConfig, description: ResolvedDeployment["description"]): KvTransfers {
  const { replicas, tensorParallel, pipelineParallel = 1, disaggregation } = description;
  const { kvTransferGBps: bandwidthGBps, kvTransferLatencyUs: latencyUs } = disaggregation!;
  // All stages send at the same time.
  const stageBytes = modelStages(model, pipelineParallel).map((stage) =>
    rankKvBytesPerToken(model, tensorParallel, stage),
  );
  return new KvTransfers({ bandwidthGBps, latencyUs }, Math.max(...stageBytes), replicas);
}
