// `isochron gpus`: which GPUs can be simulated, and how far each profile rests on measurements.

import { findProfile, listProfiles } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { bytes, integer } from "../terminal/numbers.ts";
import { table } from "../terminal/table.ts";

export function addGpusCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "gpus",
    summary: "list the bundled GPU profiles",
    examples: ["isochron gpus"],
  }).action((options: CommonOptions) => {
    const profiles = listProfiles().map(findProfile);
    print(context, options, { isochron: "gpus/1", gpus: profiles }, (paint, width) =>
      table(
        profiles,
        [
          { title: "gpu", value: (profile) => profile.name },
          { title: "name", isExtra: true, value: (profile) => profile.title },
          { title: "SMs", align: "right", value: (profile) => integer(profile.device.smCount.value) },
          { title: "memory", align: "right", value: (profile) => bytes(profile.device.memoryBytes.value) },
          { title: "GB/s", align: "right", value: (profile) => integer(profile.memory.dataSheetGBps.value) },
          { title: "bf16 TFLOP/s", align: "right", value: (profile) => integer(profile.tensor.peakTflops.bf16.value) },
          {
            title: "times from",
            value: (profile) => (profile.calibrated ? "measurements" : paint("yellow", "data sheets")),
          },
        ],
        paint,
        width,
      ),
    );
  });
}
