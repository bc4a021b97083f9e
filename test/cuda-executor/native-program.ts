// Small C++ programs on the executor's own headers: they read plans from standard input and print lines.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plan } from "@isochron/planner";
import { beforeAll, expect } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export const hasCompiler: boolean = spawnSync("c++", ["--version"]).status === 0;

/** Compiles `source`, a file of this folder, before the tests; then runs it on a plan. */
export function nativeProgram(source: string): (plan: Plan, ...options: readonly string[]) => readonly string[] {
  const program = join(temporaryFolder(), "program");
  beforeAll(() => {
    const native = path("../../packages/cuda-executor/native");
    const built = spawnSync("c++", ["-std=c++17", "-O1", `-I${native}`, "-o", program, path(source)]);
    expect(built.stderr.toString()).toBe("");
  }, 60_000);
  return (plan, ...options) => {
    const bytes = Buffer.from(plan.buffer);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    const run = spawnSync(program, options, { input: Buffer.concat([length, bytes]), maxBuffer: 1 << 28 });
    expect(run.status).toBe(0);
    return run.stdout.toString().split("\n").slice(0, -1);
  };
}
