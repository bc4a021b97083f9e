// The steps that a report keeps, planned and simulated again: the same plan and the same time on every SM.

import { createPlanner, type PolicyName, type Timeline } from "@isochron/planner";
import {
  type GpuProfile,
  type ModelConfig,
  plannerDevice,
  type Report,
  rankAttention,
  simulateKernel,
  stepTitle,
} from "@isochron/simulator";

/** One timeline for each of the report's `stepBatches`, under the titles by which the viewer finds them. */
export function stepTimelines(report: Report, model: ModelConfig, profile: GpuProfile): Timeline[] {
  const { tensorParallel, blockSizeTokens, attention: policy } = report.deployment;
  const attention = rankAttention(model, tensorParallel, blockSizeTokens);
  const planner = createPlanner({
    attention,
    device: plannerDevice(profile, attention),
    policy: policy as PolicyName,
  });
  return report.stepBatches.map((batch) => {
    const title = stepTitle(batch.replica, batch.step);
    return simulateKernel(planner.plan(batch), profile, { title, generator: report.generator }).timeline;
  });
}
