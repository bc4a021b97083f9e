// What several tests of the serving level need: a small model, a GPU, step timers with simple laws.

import type { GpuFacts, ModelConfig, Step, StepTimer, StepTiming } from "@isochron/simulator";

export const tinyModel: ModelConfig = {
  name: "tiny",
  huggingFaceId: "tiny",
  layers: 2,
  hiddenSize: 64,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 16,
  intermediateSize: 128,
  vocabSize: 100,
  dtype: "bf16",
  maxContextTokens: 1_000_000,
  tiedEmbeddings: false,
};

export const gpu: GpuFacts = {
  name: "test-gpu",
  memoryBytes: 80e9,
  memoryBandwidthGBps: 3350,
  peakTensorTflops: { bf16: 989 },
};

/** A timer that asks a function for each step's duration. */
export function timerOf(durationUs: (step: Step) => number, more: Partial<StepTiming> = {}): StepTimer {
  const timing: StepTiming = {
    durationUs: 0,
    attentionUs: 0,
    gemmUs: 0,
    collectiveUs: 0,
    otherUs: 0,
    hostUs: 0,
    attentionImbalance: Number.NaN,
    smBusyFraction: Number.NaN,
    ...more,
  };
  return {
    name: "test",
    time(step) {
      timing.durationUs = durationUs(step);
      timing.gemmUs = timing.durationUs - timing.attentionUs;
      return timing;
    },
  };
}

export interface LoggedStep {
  readonly qoLens: number[];
  readonly kvLens: number[];
}

/** A timer that also writes down every step it is asked about. */
export function loggingTimer(durationUs: (step: Step) => number): { timer: StepTimer; steps: LoggedStep[] } {
  const steps: LoggedStep[] = [];
  const timer = timerOf((step) => {
    steps.push({
      qoLens: Array.from(step.qoLens.subarray(0, step.count)),
      kvLens: Array.from(step.kvLens.subarray(0, step.count)),
    });
    return durationUs(step);
  });
  return { timer, steps };
}
