// The examples of the simulator's README are programs: they run from top to bottom, and have types.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as planner from "@isochron/planner";
import * as simulator from "@isochron/simulator";
import { expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(join(ROOT, "packages/simulator/README.md"), "utf8");
const code = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block]) => block!).join("\n");
const modules: Readonly<Record<string, object>> = { "@isochron/planner": planner, "@isochron/simulator": simulator };

it("examples simulate a launch and replay a log", async () => {
  const cache = join(ROOT, "node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "simulator-docs-"));
  const home = process.cwd();
  try {
    const file = join(folder, "example.mts");
    writeFileSync(file, `${code}\nexport {};\n`);
    const tsc = createRequire(import.meta.url)
      .resolve("typescript/package.json")
      .replace("package.json", "bin/tsc");
    const options = "--noEmit --strict --noUncheckedIndexedAccess --module nodenext --target es2023 --skipLibCheck";
    const source = "--customConditions @isochron/source --allowImportingTsExtensions --types node --ignoreConfig";
    const run = spawnSync(process.execPath, [tsc, ...`${options} ${source}`.split(" "), file], {
      cwd: ROOT,
      encoding: "utf8",
    });
    expect(run.stdout).toBe("");

    writeFileSync(join(folder, "log.csv"), "at,prompt,answer\n0,900,3\n0.25,100,4\n");
    process.chdir(folder);
    const body = code
      .replace(/^import (\{.*\}) from ("[^"]+");$/gm, "const $1 = modules[$2];")
      .replace(/ as const;$/gm, ";");
    const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
    const { makespanUs, report } = await new AsyncFunction("modules", `${body}\nreturn { makespanUs, report };`)(
      modules,
    );
    expect(makespanUs).toBeGreaterThan(50);
    expect(report.metrics).toMatchObject({ completed: 2, inputTokens: 1000, outputTokens: 7 });
    expect(report.metrics.ttftMs.p99).toBeGreaterThan(1);
  } finally {
    process.chdir(home);
    rmSync(folder, { recursive: true });
  }
});
