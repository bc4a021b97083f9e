// `isochron run`: executes the plan of a batch on random tensors, and checks the result against unsplit attention.

import {
  type AttentionTensors,
  createPlanner,
  type Execution,
  type Executor,
  type PolicyName,
  ReferenceExecutor,
  unsplitAttention,
} from "@isochron/planner";
import { type BatchDocument, plannerDevice } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { type CudaExecutor, loadCuda } from "../cuda.ts";
import { writeTimeline } from "../documents/write.ts";
import { InputError } from "../errors.ts";
import { generatorOf } from "../generator.ts";
import { ABOUT_BATCH, aboutBatch, findGpu, policyHelp, policyOption, readBatch } from "../inputs.ts";
import { integerOption, nameOption, pathOption } from "../options.ts";
import { randomTensors } from "../random-tensors.ts";
import { referenceNotice } from "../reference-time.ts";
import { fixed } from "../terminal/numbers.ts";

const EXECUTORS = ["reference", "cuda"] as const;
type ExecutorName = (typeof EXECUTORS)[number];

interface RunOptions extends CommonOptions {
  readonly executor: ExecutorName;
  readonly policy: PolicyName;
  readonly gpu: string;
  readonly seed: number;
  readonly check?: true;
  readonly out?: string;
}

interface Check {
  /** ‖output − expected‖ / ‖expected‖ over all elements. */
  readonly relativeError: number;
  /** Largest difference of two log-sum-exps. */
  readonly lseError: number;
  readonly tolerance: { readonly relativeError: number; readonly lseError: number };
  readonly pass: boolean;
}

/** Chosen: float64 differs by rounding alone; hardware is held to the limits of its element type. */
const TOLERANCES = {
  reference: { relativeError: 1e-12, lseError: 1e-12 },
  bf16: { relativeError: 5e-3, lseError: 1e-3 },
  fp16: { relativeError: 1e-3, lseError: 1e-3 },
  fp32: { relativeError: 1e-5, lseError: 1e-5 },
} as const;

export function addRunCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "run <batch>",
    about: { batch: ABOUT_BATCH },
    summary: "execute the plan of a batch on random tensors",
    examples: ["isochron run batch.json --executor reference --check"],
  })
    .option(
      "--executor <name>",
      `what runs the plan: ${EXECUTORS.join(", ")}`,
      nameOption("--executor", "executor", EXECUTORS),
      "reference",
    )
    .option("--policy <name>", "attention policy", policyOption("--policy"), "balanced")
    .option("--gpu <name>", "GPU profile that the batch is planned for", "h100-sxm")
    .option("--seed <number>", "seed of the tensors", integerOption("--seed", 0), 0)
    .option("--check", "compare with unsplit attention in float64; exit code 1 when it differs")
    .option(
      "--out <file>",
      "write the measured timeline (executor cuda); *.isoc is its binary form",
      pathOption("--out"),
    )
    .addHelpText("after", policyHelp(context))
    .action(async (path: string, options: RunOptions) => {
      if (options.out !== undefined && options.executor === "reference") {
        throw new InputError(
          "--out: the reference measures no timeline, expected --executor cuda, or `isochron simulate`",
        );
      }
      const batch = readBatch(path);
      const profile = findGpu(options.gpu);
      const executor = await openExecutor(options.executor);
      try {
        const { attention } = batch;
        // Real hardware knows its own workers; the reference takes any plan.
        const device =
          "plannerDevice" in executor ? executor.plannerDevice(attention) : plannerDevice(profile, attention);
        const planner = createPlanner({ attention, device, policy: options.policy });
        const plan = aboutBatch(path, () => planner.plan(batch));
        const tensors = randomTensors(batch, options.seed);
        if (options.executor === "reference") {
          context.stderr.write(referenceNotice(batch, options.check === true) ?? "");
        }
        const execution = await executor.execute(plan, tensors, { timeline: options.out !== undefined });
        const check = options.check === true ? checkExecution(batch, tensors, execution, options.executor) : undefined;
        if (options.out !== undefined && execution.timeline !== undefined)
          writeTimeline(options.out, execution.timeline);
        const document = {
          isochron: "run/1",
          generator: generatorOf(context, options.seed),
          executor: options.executor,
          device: executor.device,
          policy: options.policy,
          stats: plan.stats,
          durationUs: execution.durationUs,
          ...(check === undefined ? {} : { check }),
        };
        if (check?.pass === false) context.exitCode = ExitCode.failedCheck;
        print(context, options, document, (paint) => {
          const ran = `${options.policy} on ${executor.device.name}: ${fixed(execution.durationUs, 1)} µs\n`;
          if (check === undefined) return ran;
          const verdict = check.pass ? paint("green", "equals") : paint("red", "differs from");
          return `${ran}${verdict} unsplit attention in float64: relative error ${check.relativeError.toExponential(2)} (at most ${check.tolerance.relativeError}), log-sum-exp ${check.lseError.toExponential(2)} (at most ${check.tolerance.lseError})\n`;
        });
      } finally {
        await executor.close();
      }
    });
}

async function openExecutor(name: ExecutorName): Promise<CudaExecutor | Executor> {
  if (name === "reference") return new ReferenceExecutor();
  const { CudaExecutor } = await loadCuda();
  return CudaExecutor.open();
}

function checkExecution(
  batch: BatchDocument,
  tensors: AttentionTensors,
  execution: Execution,
  executor: ExecutorName,
): Check {
  const expected = unsplitAttention(batch.attention, batch, tensors);
  const tolerance = TOLERANCES[executor === "reference" ? "reference" : batch.attention.dtype];
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.output.length; i++) {
    difference += (execution.output[i]! - expected.output[i]!) ** 2;
    norm += expected.output[i]! ** 2;
  }
  let lseError = 0;
  for (let i = 0; i < expected.lse.length; i++) {
    // Rows that see nothing have −∞ on both sides.
    if (execution.lse[i] === expected.lse[i]) continue;
    lseError = Math.max(lseError, Math.abs(execution.lse[i]! - expected.lse[i]!));
  }
  const relativeError = norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
  // A NaN anywhere makes both comparisons false.
  const pass = relativeError <= tolerance.relativeError && lseError <= tolerance.lseError;
  return { relativeError, lseError, tolerance, pass };
}
