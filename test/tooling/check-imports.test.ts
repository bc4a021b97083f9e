import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";

const repository = resolve(import.meta.dirname, "../..");
const script = join(repository, "scripts/check-imports.mjs");
const trees: string[] = [];

afterEach(() => {
  for (const tree of trees.splice(0)) rmSync(tree, { recursive: true, force: true });
});

/** Writes a workspace of packages with the given sources, and checks it. */
function check(sources: Record<string, string>): { status: number | null; stderr: string } {
  const root = mkdtempSync(join(tmpdir(), "isochron-imports-"));
  trees.push(root);
  const names = {
    planner: "@isochron/planner",
    simulator: "@isochron/simulator",
    viz: "@isochron/viz",
    cli: "isochron",
  };
  for (const [folder, name] of Object.entries(names)) {
    mkdirSync(join(root, "packages", folder, "src"), { recursive: true });
    writeFileSync(join(root, "packages", folder, "package.json"), JSON.stringify({ name }));
  }
  for (const [path, text] of Object.entries(sources)) {
    mkdirSync(dirname(join(root, "packages", path)), { recursive: true });
    writeFileSync(join(root, "packages", path), text);
  }
  symlinkSync(join(repository, "node_modules"), join(root, "node_modules"));
  const { status, stderr } = spawnSync(process.execPath, [script, root], { encoding: "utf8" });
  return { status, stderr };
}

describe("the check of imports", () => {
  it("passes this repository", () => {
    const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  it("passes a tree that keeps the rules", () => {
    const { status, stderr } = check({
      "planner/src/a.ts": `import { b } from "./b.ts"; export const a = b;`,
      "planner/src/b.ts": `export const b: import("./c.ts").C = 1;`,
      "planner/src/c.ts": `export type C = number;`,
      "simulator/src/index.ts": `import { readFileSync } from "node:fs"; import { a } from "@isochron/planner"; export { a, readFileSync };`,
      "viz/src/index.ts": `import type { A } from "@isochron/planner"; import { type B } from "@isochron/simulator"; export type { A, B };`,
      "viz/bench/data.ts": `import { a } from "@isochron/planner"; export { a };`,
      "cli/src/main.ts": `const viz = await import("@isochron/viz"); export { viz };`,
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  it.each<[string, Record<string, string>, string]>([
    [
      "a circle of two files",
      { "planner/src/a.ts": `import "./b.ts";`, "planner/src/b.ts": `import "./a.ts";` },
      "a.ts → packages/planner/src/b.ts → packages/planner/src/a.ts",
    ],
    [
      "a circle through a type import",
      {
        "planner/src/a.ts": `import type { B } from "./b.ts"; export type A = B;`,
        "planner/src/b.ts": `export * from "./c.ts"; export type B = 1;`,
        "planner/src/c.ts": `export type C = import("./a.ts").A;`,
      },
      "imports in a circle",
    ],
    ["a file that imports itself", { "planner/src/a.ts": `import "./a.ts";` }, "imports in a circle"],
    [
      "a circle between packages",
      {
        "planner/src/a.ts": `import type { S } from "@isochron/simulator"; export type A = S;`,
        "simulator/src/s.ts": `import type { A } from "@isochron/planner"; export type S = A;`,
      },
      "packages import in a circle: planner → simulator → planner",
    ],
    [
      "an import against the table",
      { "simulator/src/s.ts": `\n\nimport type { V } from "@isochron/viz"; export type S = V;` },
      "packages/simulator/src/s.ts:3: simulator may not import viz",
    ],
    [
      "a package that imports the command",
      { "viz/src/index.ts": `export * from "isochron";` },
      "viz/src/index.ts:1: viz may not import cli",
    ],
    [
      "a value where only types are allowed",
      { "viz/src/index.ts": `import { type A, b } from "@isochron/planner"; export type C = A; export { b };` },
      "viz may import only types of planner",
    ],
    [
      "a dynamic import where only types are allowed",
      { "viz/src/index.ts": `export const p = import("@isochron/simulator");` },
      "viz may import only types of simulator",
    ],
    [
      "a path into another package's sources",
      { "cli/src/main.ts": `import "@isochron/planner/src/batch.ts";` },
      `reaches into another package; import "@isochron/planner"`,
    ],
    [
      "a relative path out of the package",
      { "cli/src/main.ts": `import "../../planner/src/batch.ts";`, "planner/src/batch.ts": "export {};" },
      "leaves the package",
    ],
    [
      "a builtin of Node in the planner",
      { "planner/src/a.ts": `import { performance } from "node:perf_hooks"; export { performance };` },
      "is a builtin of Node; planner must also run in browsers",
    ],
    [
      "a builtin without its prefix in the planner",
      { "planner/src/a.ts": `import { join } from "path"; export { join };` },
      "is a builtin of Node",
    ],
    ["a dependency of the planner", { "planner/src/a.ts": `import "zod";` }, "is a dependency; planner has none"],
    ["a file that does not parse", { "planner/src/a.ts": `import { from "./b.ts";` }, "does not parse"],
  ])("refuses %s", (_, sources, sentence) => {
    const { status, stderr } = check(sources);
    expect(stderr).toContain(sentence);
    expect(status).toBe(1);
  });
});
