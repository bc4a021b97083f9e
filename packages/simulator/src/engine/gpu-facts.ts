// What a replay needs to know of a GPU, whoever times its steps: how much KV cache fits, and what full use would be.

import { requireProfile } from "../gpu/find-profile.ts";

export interface GpuFacts {
  readonly name: string;
  readonly memoryBytes: number;
  readonly memoryBandwidthGBps: number;
  /** Dense, by data type. */
  readonly peakTensorTflops: Readonly<Partial<Record<string, number>>>;
  /** Whether the profile rests on measurements; a report says where it does not. Absent: nobody says. */
  readonly calibrated?: boolean | undefined;
}

interface Quantity {
  readonly value: number;
}

/** The part of a GPU profile that holds these facts. */
export interface ProfiledGpu {
  readonly name: string;
  readonly calibrated?: boolean | undefined;
  readonly device: { readonly memoryBytes: Quantity };
  readonly memory: { readonly dataSheetGBps: Quantity };
  readonly tensor: { readonly peakTflops: { readonly bf16: Quantity } };
}

/** @throws InvalidProfileError where `profile` is none */
export function gpuFacts(profile: ProfiledGpu): GpuFacts {
  requireProfile(profile);
  const tflops = profile.tensor.peakTflops.bf16.value;
  return {
    name: profile.name,
    calibrated: profile.calibrated,
    memoryBytes: profile.device.memoryBytes.value,
    memoryBandwidthGBps: profile.memory.dataSheetGBps.value,
    // Both 16-bit types run at the same rate on every GPU with tensor cores for them.
    peakTensorTflops: { bf16: tflops, fp16: tflops },
  };
}
