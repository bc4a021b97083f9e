// The all-to-alls of one layer whose experts are spread over more GPUs than share its attention: every token goes to each GPU
// on which it visits an expert (dispatch), once, and what the experts make of it comes back (combine). In a group of GPUs
// that share attention each sends its part of the tokens, and gathers the others' afterwards.
//
// All wait for the GPU that sends or receives most, the rest going on beside it: the time is that of an even all-to-all in
// which each sends as much.

import type { ModelConfig } from "../model/model-config.ts";
import { DTYPE_BYTES } from "../model/model-cost.ts";
import type { ExpertRouting } from "./expert-routing.ts";
import type { LinkTimes } from "./link-times.ts";

/** Elements that share a 32-bit scale in activations of 8 bits, as DeepSeek-V3 quantises them for its experts. */
const SCALED_ELEMENTS = 128;

export class ExpertExchange {
  private readonly links: LinkTimes;
  private readonly routing: ExpertRouting;
  private readonly tensorParallel: number;
  /** Of one token. */
  private readonly dispatchBytes: number;
  private readonly combineBytes: number;

  constructor(model: ModelConfig, links: LinkTimes, routing: ExpertRouting, tensorParallel: number) {
    this.links = links;
    this.routing = routing;
    this.tensorParallel = tensorParallel;
    this.combineBytes = model.hiddenSize * DTYPE_BYTES[model.dtype];
    // Experts in 8 bits take 8-bit activations, which are quantised before they are sent.
    this.dispatchBytes = model.weightDtype === "fp8" ? model.hiddenSize * (1 + 4 / SCALED_ELEMENTS) : this.combineBytes;
  }

  /** Microseconds of dispatch and combine for so many tokens of all, of which one group of GPUs has at most so many. */
  us(groupTokens: number, mostTokens: number): number {
    const { links, routing, tensorParallel } = this;
    const gpus = routing.ranks;
    // One visit in `gpus` stays where it is.
    const away = (gpus - 1) / gpus;
    const sent = (mostTokens / tensorParallel) * routing.ranksPerToken * away;
    const received = groupTokens * routing.busiestRankChance * away;
    const tokens = Math.max(sent, received);
    return links.allToAllUs(gpus, tokens * this.dispatchBytes) + links.allToAllUs(gpus, tokens * this.combineBytes);
  }

  /** Microseconds in which GPUs that share attention get all of their group's tokens again; 0 for one. */
  gatherUs(tokens: number): number {
    const { tensorParallel } = this;
    if (tensorParallel === 1) return 0;
    return this.links.gatherUs(tensorParallel, (tokens * this.combineBytes * (tensorParallel - 1)) / tensorParallel);
  }
}
