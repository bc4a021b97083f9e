// The command line as a table of commands.

import { Command } from "commander";
import type { AddCommand } from "./command.ts";
import { addCalibrateCommand } from "./commands/calibrate.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addGpusCommand } from "./commands/gpus.ts";
import { addModelsCommand } from "./commands/models.ts";
import { addPlanCommand } from "./commands/plan.ts";
import { addReplayCommand } from "./commands/replay.ts";
import { addRunCommand } from "./commands/run.ts";
import { addSimulateCommand } from "./commands/simulate.ts";
import { addSweepCommand } from "./commands/sweep.ts";
import { addTracesCommand } from "./commands/traces.ts";
import { addViewCommand } from "./commands/view.ts";
import type { Context } from "./context.ts";
import { VERSION } from "./version.ts";

/** In the order of the help. */
const COMMANDS: readonly AddCommand[] = [
  addReplayCommand,
  addSweepCommand,
  addPlanCommand,
  addSimulateCommand,
  addRunCommand,
  addViewCommand,
  addTracesCommand,
  addGpusCommand,
  addModelsCommand,
  addCalibrateCommand,
  addDoctorCommand,
];

export function createProgram(context: Context): Command {
  const program = new Command("isochron")
    .description("Plans attention work for GPUs, replays production traces, and shows what every SM did.")
    .version(VERSION, "-V, --version", "print the version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      // Errors are printed in one place, as one line.
      outputError: () => {},
    })
    .addHelpText("before", "  $ isochron replay azure-conv-2023 --limit 2000 --html replay.html\n");
  for (const add of COMMANDS) add(program, context);
  return program;
}
