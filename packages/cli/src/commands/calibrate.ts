// `isochron calibrate`: measures this machine's GPU and writes a GPU profile.

import { findProfile, type GpuProfile, gpuProfileSchema } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { loadCuda } from "../cuda.ts";
import { writeJson } from "../documents/write.ts";
import { InputError } from "../errors.ts";
import { pathOption } from "../options.ts";
import { fixed } from "../terminal/numbers.ts";
import { table } from "../terminal/table.ts";

interface CalibrateOptions extends CommonOptions {
  readonly gpu: string;
  readonly out?: string;
}

export function addCalibrateCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "calibrate",
    summary: "measure this machine's GPU and write a GPU profile",
    examples: ["isochron calibrate --out my-gpu.json", "isochron simulate batch.json --gpu my-gpu.json"],
  })
    .option(
      "--gpu <name>",
      "profile that gives what is not measured: collectives, host, GEMM without cuBLAS",
      "h100-sxm",
    )
    .option("--out <file>", "write the profile", pathOption("--out"))
    .action(async (options: CalibrateOptions) => {
      const base = findProfile(options.gpu);
      const { CudaExecutor, calibrate } = await loadCuda();
      const executor = CudaExecutor.open();
      try {
        const { profile, measurements, notes, durationS } = await calibrate(executor, base);
        const parsed = gpuProfileSchema.safeParse(profile);
        if (!parsed.success) {
          const issue = parsed.error.issues[0]!;
          throw new InputError(`calibration of ${executor.device.name}: ${issue.path.join(".")}: ${issue.message}`);
        }
        const written: GpuProfile = parsed.data;
        if (options.out !== undefined) writeJson(options.out, written);
        print(context, options, written, (paint, width) => {
          const columns = [
            { title: "measured", value: (one: (typeof measurements)[number]) => one.name },
            { title: "median", align: "right", value: (one: (typeof measurements)[number]) => fixed(one.median, 3) },
            { title: "10 %", align: "right", value: (one: (typeof measurements)[number]) => fixed(one.p10, 3) },
            { title: "90 %", align: "right", value: (one: (typeof measurements)[number]) => fixed(one.p90, 3) },
          ] as const;
          const hint = options.out === undefined ? "" : `written to ${options.out}: use it with --gpu ${options.out}\n`;
          const lines = notes.map((note) => `${note}: it stays that of ${options.gpu}\n`).join("");
          return `${table(measurements, columns, paint, width)}${lines}${written.title} in ${fixed(durationS, 1)} s\n${hint}`;
        });
      } finally {
        await executor.close();
      }
    });
}
