// The documents of the planner say what the code does: tables, drawings and examples are compared with it.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as planner from "@isochron/planner";
import * as core from "@isochron/planner/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attentionShapes, batches, devices, LLAMA_8B } from "./support.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const README = "packages/planner/README.md";
const DOCUMENTS = [README, "docs/planning.md", "docs/plan-format.md"];
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** Code of the fences with this info string. */
function blocks(path: string, info: string): string[] {
  return [...read(path).matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === info)
    .map(([, , code]) => code!);
}

/** Runs code as one program. `expression; // → value` becomes an assertion; types are the ones that examples use. */
async function runExample(code: string, modules: Record<string, object>): Promise<unknown> {
  const body = code
    .replace(/^import type .*$/gm, "")
    .replace(/^import (\{.*\}) from ("[^"]+");$/gm, (_, names: string, from: string) => {
      const values = names.replace(/\btype \w+,? ?/g, "");
      return `const ${values} = modules[${from}];`;
    })
    .replace(/^import \* as (\w+) from ("[^"]+");$/gm, "const $1 = modules[$2];")
    .replace(/^export /gm, "")
    .replace(/: (AttentionShape|Device|Policy) =/g, " =")
    .replace(/\((\w+): number\)/g, "($1)")
    .replace(/\]!/g, "]")
    .replace(/^(\s*)(\S.*); \/\/ → (.*)$/gm, (_, indent: string, expression: string, value: string) => {
      return `${indent}expect(${expression}, ${JSON.stringify(expression)}).toEqual(${value}); asserted.count++;`;
    });
  const asserted = { count: 0 };
  const AsyncFunction = Object.getPrototypeOf(runExample).constructor;
  const result = await new AsyncFunction("modules", "expect", "asserted", body)(modules, expect, asserted);
  expect(asserted.count).toBe(code.match(/; \/\/ → /g)?.length ?? 0);
  return result;
}

describe("tables", () => {
  test("are what node scripts/planner-docs.mjs writes", async () => {
    const script: string = "../../scripts/planner-docs.mjs";
    const { renderDocs, fieldTables } = await import(/* @vite-ignore */ script);
    for (const { path, found, expected } of renderDocs()) {
      expect(found === expected, `${path} is out of date: run node scripts/planner-docs.mjs`).toBe(true);
    }
    // The script reads the comments of layout.ts; that it reads the numbers right is checked against the numbers.
    const { Header, Request, Piece, Merge, MergeSource, GroupRange } = planner;
    for (const [name, table] of Object.entries({ Header, Request, Piece, Merge, MergeSource, GroupRange })) {
      const fields = (fieldTables()[name] as { name: string; index: number }[]).map((field) => [
        field.name,
        field.index,
      ]);
      const { stride, ...expected } = table as Record<string, number>;
      expect(Object.fromEntries(fields), name).toEqual(expected);
    }
  });

  test("of the API name everything that the package exports", () => {
    const text = read(README);
    const missing = Object.keys(planner).filter((name) => !new RegExp(`\\b${name}\\b`).test(text));
    expect(missing).toEqual([]);
  });

  test("of errors have a row for each error class", () => {
    const errors = Object.entries(planner).filter(
      ([, value]) => typeof value === "function" && value.prototype instanceof Error,
    );
    expect(errors.length).toBeGreaterThan(8);
    for (const [name] of errors)
      expect(read(README)).toMatch(new RegExp(`^\\| \`${name}\` \\| .+ \\| .+ \\| .+ \\|$`, "m"));
  });
});

describe("drawings", () => {
  test("are what node scripts/draw-planning.mjs draws from the built planner", () => {
    const script = join(ROOT, "scripts/draw-planning.mjs");
    const run = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
  });

  test("are all shown in a document, and every drawing that is shown exists", () => {
    for (const path of DOCUMENTS) {
      for (const [, image] of read(path).matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)) {
        expect(read(join(path, "..", image!)).startsWith("<svg"), image).toBe(true);
      }
    }
    expect(read("docs/planning.md").match(/!\[/g)?.length).toBe(6);
  });
});

describe("examples", () => {
  const modules = { "@isochron/planner": planner, "@isochron/planner/core": core, "node:fs": { writeFileSync } };

  test.each(DOCUMENTS)("of %s run from top to bottom and give what they say", async (path) => {
    const home = process.cwd();
    const folder = mkdtempSync(join(tmpdir(), "isochron-docs-"));
    process.chdir(folder);
    try {
      await runExample(blocks(path, "ts").join("\n"), modules);
    } finally {
      process.chdir(home);
      rmSync(folder, { recursive: true });
    }
  });

  test("have the types that they claim", () => {
    // Below node_modules, so that the package is found from there as a user's program finds it.
    const cache = join(ROOT, "node_modules/.cache");
    mkdirSync(cache, { recursive: true });
    const folder = mkdtempSync(join(cache, "planner-docs-"));
    try {
      const files = DOCUMENTS.map((path, i) => {
        const file = join(folder, `${i}.mts`);
        // An expression on a line of its own is a comment with a value, not a mistake.
        writeFileSync(file, `${blocks(path, "ts").join("\n")}\nexport {};\n`);
        return file;
      });
      const policy = join(folder, "policy.mts");
      const given = 'const attention: import("@isochron/planner").AttentionShape = JSON.parse("{}");';
      writeFileSync(policy, `${given}\n${blocks(README, "ts policy").join("\n")}\nexport {};\n`);
      files.push(policy);
      const require = createRequire(import.meta.url);
      const tsc = require.resolve("typescript/package.json").replace("package.json", "bin/tsc");
      const options = [
        "--noEmit",
        "--strict",
        "--noUncheckedIndexedAccess",
        "--module",
        "nodenext",
        "--target",
        "es2023",
        "--skipLibCheck",
      ];
      const source = ["--customConditions", "@isochron/source", "--allowImportingTsExtensions", "--types", "node"];
      const run = spawnSync(process.execPath, [tsc, "--ignoreConfig", ...options, ...source, ...files], {
        cwd: ROOT,
        encoding: "utf8",
      });
      expect(run.stdout).toBe("");
      expect(run.status).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("the custom policy of the README plans every batch rightly", async () => {
    const [code] = blocks(README, "ts policy");
    const dealt = (await runExample(`const { attention } = modules.example;\n${code}\nreturn dealt;`, {
      "@isochron/planner": planner,
      example: { attention: LLAMA_8B },
    })) as planner.Policy;
    let split = 0;
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(6, 150, 5000), (attention, device, batch) => {
        const plan = planner.createPlanner({ attention, device, policy: dealt }).plan(batch);
        planner.verifyPlan(plan, batch, device);
        expect(plan.policy).toBe("custom");
        split += plan.stats.splitJobs;
      }),
      { numRuns: 200 },
    );
    expect(split).toBeGreaterThan(0);
    const limits = { maxRequests: 1, maxQueryTokens: 1, attention: LLAMA_8B, device: planner.H100_SXM };
    expect(() => planner.budgetFor({ ...limits, policy: dealt })).toThrow(planner.UnboundedPolicyError);
  });

  test("the C reader compiles as the document says", async () => {
    const { findCCompiler } = await import("../support/tools.ts");
    const command = read("docs/plan-format.md").match(/^cc (.+) && .*$/m)![1]!;
    const folder = mkdtempSync(join(tmpdir(), "isochron-docs-"));
    try {
      const words = command.split(" ").map((word) => (word === "read_plan" ? join(folder, word) : word));
      execFileSync(findCCompiler(), words, { cwd: ROOT });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
