// The stages of a pipeline: consecutive layers, each stage on GPUs of its own, the embedding before the first and the
// output head behind the last. One stage is the whole model.

import type { ModelConfig } from "./model-config.ts";

export interface ModelStage {
  readonly layers: number;
  /** Those of them with a dense MLP; all of them in a dense model. */
  readonly denseLayers: number;
  readonly hasEmbedding: boolean;
  /** Last norm, output head and sampling. */
  readonly hasHead: boolean;
}

/**
 * As vLLM splits (get_pp_indices): all stages get as many layers, what is left over goes one by one to the stage before
 * the last and those before it, since the last has the head too. `stages` must be from 1 to the number of layers.
 */
export function modelStages(model: ModelConfig, stages: number): ModelStage[] {
  const each = Math.floor(model.layers / stages);
  const leftOver = model.layers % stages;
  const denseBottom = model.moe === undefined ? model.layers : model.moe.denseLayers;
  let below = 0;
  return Array.from({ length: stages }, (_, stage) => {
    const fromLast = stages - 1 - stage;
    const layers = each + (fromLast >= 1 && fromLast <= leftOver ? 1 : 0);
    const denseLayers = Math.min(layers, Math.max(0, denseBottom - below));
    below += layers;
    return { layers, denseLayers, hasEmbedding: stage === 0, hasHead: stage === stages - 1 };
  });
}

export function wholeModel(model: ModelConfig): ModelStage {
  return modelStages(model, 1)[0]!;
}
