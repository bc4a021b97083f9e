// `isochron plan`: plans one batch, with one policy or with all of them side by side.

import { type PolicyName, PolicyNotApplicableError } from "@isochron/planner";
import { type BatchDocument, type GpuProfile, plannerDevice, simulateKernel } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, isGiven, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { writePlan } from "../documents/write.ts";
import { InputError } from "../errors.ts";
import { generatorOf } from "../generator.ts";
import { ABOUT_BATCH, aboutBatch, allPolicies, findGpu, policyHelp, policyOption, readBatch } from "../inputs.ts";
import { pathOption } from "../options.ts";
import { type PlannedBatch, planBatch } from "../plan-batch.ts";
import { bytes, count, fixed, integer } from "../terminal/numbers.ts";
import { startProgress } from "../terminal/progress.ts";
import type { Painter } from "../terminal/style.ts";
import { table } from "../terminal/table.ts";

interface PlanOptions extends CommonOptions {
  readonly gpu: string;
  readonly policy: PolicyName;
  readonly compare?: true;
  readonly out?: string;
}

interface PolicyRow extends PlannedBatch {
  readonly simulatedUs: number;
}

/** A policy whose system cannot run the batch. */
interface LeftOut {
  readonly policy: PolicyName;
  readonly reason: string;
}

export function addPlanCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "plan <batch>",
    about: { batch: ABOUT_BATCH },
    summary: "plan one batch and say how far the plan is from the lower bound",
    examples: ["isochron plan batch.json --compare", "isochron plan batch.json --policy tight --out plan.bin"],
  })
    .option("--gpu <name>", "bundled GPU profile, or a profile file", "h100-sxm")
    .option("--policy <name>", "attention policy", policyOption("--policy"), "balanced")
    .option("--compare", "plan with every policy, fastest in simulation first")
    .option(
      "--out <file>",
      "write the plan of --policy: binary, or JSON when the name ends in .json",
      pathOption("--out"),
    )
    .addHelpText("after", policyHelp(context))
    .action((path: string, options: PlanOptions, command: Command) => {
      if (options.compare === true && options.out === undefined && isGiven(command, "policy")) {
        throw new InputError(
          "--compare plans with every policy: expected no --policy, or --out for the plan of that one",
        );
      }
      const batch = readBatch(path);
      const profile = findGpu(options.gpu);
      const rows: PolicyRow[] = [];
      const leftOut: LeftOut[] = [];
      const policies = options.compare === true ? allPolicies() : [options.policy];
      const progress = startProgress(context.stderr);
      for (const [i, policy] of policies.entries()) {
        progress.update(i / policies.length, () => policy);
        try {
          rows.push(aboutBatch(path, () => planAndSimulate(batch, profile, policy)));
        } catch (error) {
          progress.end();
          if (options.compare !== true || !(error instanceof PolicyNotApplicableError)) throw error;
          leftOut.push({ policy, reason: error.reason });
        }
      }
      progress.end();
      // Fastest first; equally fast ones in the order of the registry.
      rows.sort((a, b) => a.simulatedUs - b.simulatedUs);
      if (options.out !== undefined) {
        writePlan(options.out, planBatch(batch, plannerDevice(profile, batch.attention), options.policy).plan);
      }
      const document = {
        isochron: "plan-summary/1",
        generator: generatorOf(context),
        gpu: profile.name,
        batch: summarise(batch),
        policies: rows,
        ...(options.compare === true ? { leftOut } : {}),
      };
      print(context, options, document, (paint, width) => {
        const reasons = leftOut.map((one) => `${paint("dim", `${one.policy} does not apply: ${one.reason}`)}\n`);
        const written = options.out === undefined ? [] : [`wrote ${options.out} (${options.policy})\n`];
        return [planText(batch, profile, rows, paint, width), reasons.join(""), written.join("")]
          .filter((part) => part !== "")
          .join("\n");
      });
    });
}

function planAndSimulate(batch: BatchDocument, profile: GpuProfile, policy: PolicyName): PolicyRow {
  const { plan, planned } = planBatch(batch, plannerDevice(profile, batch.attention), policy);
  return { ...planned, simulatedUs: simulateKernel(plan, profile).durationUs };
}

function summarise(batch: BatchDocument): Record<string, unknown> {
  const sum = (lengths: readonly number[]): number => lengths.reduce((total, length) => total + length, 0);
  return {
    requests: batch.qoLens.length,
    queryTokens: sum(batch.qoLens),
    kvTokens: sum(batch.kvLens),
    longestKvTokens: batch.kvLens.reduce((longest, length) => Math.max(longest, length), 0),
    attention: batch.attention,
  };
}

function planText(
  batch: BatchDocument,
  profile: GpuProfile,
  rows: readonly PolicyRow[],
  paint: Painter,
  width: number | undefined,
): string {
  const { requests, queryTokens, kvTokens } = summarise(batch);
  const shape = `${batch.attention.queryHeads}/${batch.attention.kvHeads} heads × ${batch.attention.headDim}`;
  const title = `${count(Number(requests), "request")}, ${count(Number(queryTokens), "query token")}, ${count(Number(kvTokens), "KV token")}, ${shape}, on ${profile.name}\n\n`;
  return (
    title +
    table(
      rows,
      [
        { title: "policy", value: (row) => row.policy },
        { title: "pieces", align: "right", value: (row) => integer(row.stats.pieces) },
        { title: "split jobs", isExtra: true, align: "right", value: (row) => integer(row.stats.splitJobs) },
        { title: "partial slots", align: "right", value: (row) => integer(row.stats.partialSlots) },
        { title: "makespan µs", align: "right", value: (row) => fixed(row.stats.makespanUs, 1) },
        { title: "bound µs", isExtra: true, align: "right", value: (row) => fixed(row.stats.lowerBoundUs, 1) },
        { title: "imbalance", align: "right", value: (row) => fixed(row.stats.imbalance, 3) },
        { title: "simulated µs", align: "right", value: (row) => fixed(row.simulatedUs, 1) },
        { title: "workspace", isExtra: true, align: "right", value: (row) => bytes(row.workspaceBytes) },
        { title: "plan", isExtra: true, align: "right", value: (row) => bytes(row.planBytes) },
        { title: "plan time µs", isExtra: true, align: "right", value: (row) => fixed(row.planTimeUs, 1) },
      ],
      paint,
      width,
    ) +
    `\n${paint("dim", BOUND_NOTE)}\n${sharperBoundText(rows, paint)}`
  );
}

/** Two bounds go by one name: this one, and that of `simulate` and the viewer. */
const BOUND_NOTE =
  "makespan, bound and imbalance are in the planner's cost model, without merges and launches; simulated µs are of every SM, with them";

/** Where workers have few tiles, part of an imbalance is nobody's fault: tiles are not cut. */
function sharperBoundText(rows: readonly PolicyRow[], paint: Painter): string {
  const ratio = Math.min(...rows.map((row) => row.tileLowerBoundUs / row.stats.lowerBoundUs));
  if (!(ratio > 1.001)) return "";
  return `${paint("dim", `KV tiles are not cut: no schedule has an imbalance below ${fixed(ratio, 3)}`)}\n`;
}
