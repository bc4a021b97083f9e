// `isochron simulate`: one plan on every SM of one GPU.

import { basename } from "node:path";
import type { PolicyName } from "@isochron/planner";
import { createPlanner } from "@isochron/planner";
import { type KernelSimulation, plannerDevice, simulateKernel } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { writePage } from "../documents/page.ts";
import { STDIN } from "../documents/read.ts";
import { writeTimeline } from "../documents/write.ts";
import { generatorOf } from "../generator.ts";
import { ABOUT_BATCH, aboutBatch, findGpu, policyHelp, policyOption, readBatch } from "../inputs.ts";
import { pathOption } from "../options.ts";
import { fixed, integer, percent } from "../terminal/numbers.ts";
import type { Painter } from "../terminal/style.ts";

interface SimulateOptions extends CommonOptions {
  readonly gpu: string;
  readonly policy: PolicyName;
  readonly out?: string;
  readonly html?: string;
}

export function addSimulateCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "simulate <batch>",
    about: { batch: ABOUT_BATCH },
    summary: "simulate the plan of one batch on every SM",
    examples: ["isochron simulate batch.json --html timeline.html"],
  })
    .option("--gpu <name>", "bundled GPU profile, or a profile file", "h100-sxm")
    .option("--policy <name>", "attention policy", policyOption("--policy"), "balanced")
    .option("--out <file>", "write the timeline (timeline/1); *.isoc is its binary form", pathOption("--out"))
    .option("--html <file>", "write a page that shows the timeline", pathOption("--html"))
    .addHelpText("after", policyHelp(context))
    .action((path: string, options: SimulateOptions) => {
      const batch = readBatch(path);
      const profile = findGpu(options.gpu);
      const device = plannerDevice(profile, batch.attention);
      const planner = createPlanner({ attention: batch.attention, device, policy: options.policy });
      const plan = aboutBatch(path, () => planner.plan(batch));
      const generator = generatorOf(context);
      const title = path === STDIN ? "standard input" : basename(path);
      const { timeline, ...simulation } = simulateKernel(plan, profile, { title, generator });
      if (options.out !== undefined) writeTimeline(options.out, timeline);
      if (options.html !== undefined) writePage(options.html, { reports: [], timelines: [timeline] });
      const document = {
        isochron: "simulation/1",
        generator,
        policy: options.policy,
        gpu: profile.name,
        stats: plan.stats,
        ...simulation,
      };
      print(context, options, document, (paint) => simulationText(options, simulation, paint));
    });
}

function simulationText(options: SimulateOptions, one: Omit<KernelSimulation, "timeline">, paint: Painter): string {
  const lines = [
    ["makespan", `${fixed(one.makespanUs, 1)} µs`],
    [
      "lower bound",
      `${fixed(one.lowerBoundUs, 1)} µs with all bandwidth and tensor cores (makespan is ${fixed(one.makespanUs / one.lowerBoundUs, 3)} ×)`,
    ],
    ["workers busy", percent(one.busyFraction)],
    ["memory bandwidth", `${integer(one.bandwidthGBps)} GB/s`],
    ["tensor throughput", `${fixed(one.tensorTflops, 1)} TFLOP/s`],
    ["least busy SM", percent(Math.min(...one.perSm.map((sm) => 1 - sm.idleUs / one.durationUs)))],
    ["most busy SM", percent(Math.max(...one.perSm.map((sm) => 1 - sm.idleUs / one.durationUs)))],
  ] as const;
  const text = lines.map(([name, value]) => `${name.padEnd(18)} ${value}\n`).join("");
  const written = [options.out, options.html].filter((file) => file !== undefined);
  return `${paint("bold", `${options.policy} on ${options.gpu}`)}\n${text}${written.map((file) => `wrote ${file}\n`).join("")}`;
}
