// `isochron doctor`: what works on this machine, what does not, and what to do about it.

import { existsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { BUNDLED_TRACES, listProfiles, MODEL_NAMES } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import { type Context, ExitCode } from "../context.ts";
import { loadCuda } from "../cuda.ts";
import { explain } from "../errors.ts";
import { bytes } from "../terminal/numbers.ts";
import type { Style } from "../terminal/style.ts";
import { wrap } from "../terminal/wrap.ts";
import { traceFile } from "../trace-files.ts";

interface Finding {
  readonly name: string;
  /** "off": not there and not needed for anything but itself. */
  readonly status: "ok" | "off" | "broken";
  readonly detail: string;
}

/** Where details begin: after a mark and the longest name. */
const INDENT = 16;

const MARKS: Readonly<Record<Finding["status"], readonly [Style, string]>> = {
  ok: ["green", "✓"],
  off: ["yellow", "–"],
  broken: ["red", "✗"],
};

export function addDoctorCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "doctor",
    summary: "say what works on this machine and what is missing",
    examples: ["isochron doctor"],
  }).action(async (options: CommonOptions) => {
    const findings = [nodeFinding(), machineFinding(), tracesFinding(), dataFinding(), ...(await cudaFindings())];
    if (findings.some((one) => one.status === "broken")) context.exitCode = ExitCode.failedCheck;
    print(context, options, { isochron: "doctor/1", findings }, (paint, width = Number.POSITIVE_INFINITY) =>
      findings
        .map(({ name, status, detail }) => {
          const [style, mark] = MARKS[status];
          const lines = wrap(detail, Math.max(30, width - INDENT));
          return `${paint(style, mark)} ${name.padEnd(INDENT - 2)}${lines.join(`\n${" ".repeat(INDENT)}`)}\n`;
        })
        .join(""),
    );
  });
}

function nodeFinding(): Finding {
  const isOldEnough = Number(process.versions.node.split(".")[0]) >= 20;
  const detail = `${process.version} on ${process.platform} ${process.arch}`;
  return isOldEnough
    ? { name: "Node", status: "ok", detail }
    : { name: "Node", status: "broken", detail: `${detail}: install Node 20 or newer` };
}

function machineFinding(): Finding {
  const all = cpus();
  const model = all[0]?.model.trim() ?? "unknown processor";
  return { name: "machine", status: "ok", detail: `${all.length} × ${model}, ${bytes(totalmem())} of memory` };
}

function tracesFinding(): Finding {
  const names = Object.keys(BUNDLED_TRACES);
  const missing = names.filter((name) => !existsSync(traceFile(name).file));
  return missing.length === 0
    ? { name: "traces", status: "ok", detail: names.join(", ") }
    : { name: "traces", status: "broken", detail: `missing: ${missing.join(", ")}; install isochron again` };
}

function dataFinding(): Finding {
  const detail = `${listProfiles().length} GPU profiles, ${MODEL_NAMES.length} models`;
  return { name: "data", status: "ok", detail };
}

/** Toolkit, addon, driver and device. None of them is needed but for running plans on a GPU. */
async function cudaFindings(): Promise<Finding[]> {
  try {
    const { cudaStatus } = await loadCuda();
    return cudaStatus().map(({ name, ok, found, advice }) => ({
      name: `CUDA ${name}`,
      status: ok ? "ok" : "off",
      detail: advice === undefined ? found : `${found}: ${advice}`,
    }));
  } catch (error) {
    return [{ name: "CUDA", status: "off", detail: explain(error).line }];
  }
}
