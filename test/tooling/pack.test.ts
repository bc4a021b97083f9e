import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { repository } from "../support/command.ts";

interface Pack {
  readonly name: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

// Lists what npm would publish. Needs the build, which the test command makes first.
const { stdout, stderr } = spawnSync("npm", ["pack", "--dry-run", "--json", "--workspaces"], {
  cwd: repository,
  encoding: "utf8",
});
const packs = packsOf(stdout);

/** npm prints an array of packs or, from version 11.6 on, one object keyed by name; prepack scripts may print before it. */
function packsOf(output: string): Pack[] {
  const start = output.search(/^[[{]/m);
  const parsed = JSON.parse(output.slice(start)) as Pack[] | Record<string, Pack>;
  return Object.values(parsed);
}

describe("the published packages", () => {
  it("are five", () => {
    expect(packs.map((pack) => pack.name).sort(), stderr).toEqual([
      "@isochron/cuda-executor",
      "@isochron/planner",
      "@isochron/simulator",
      "@isochron/viz",
      "isochron",
    ]);
  });

  it.each(packs.map((pack) => [pack.name, pack] as const))(
    "%s holds what a user needs, and nothing else",
    (_, pack) => {
      const paths = pack.files.map((file) => file.path);
      for (const needed of ["LICENSE", "README.md", "package.json"]) expect(paths).toContain(needed);
      expect(paths.some((path) => /^dist\/(index|main)\.js$/.test(path))).toBe(true);
      const foreign = paths.filter((path) =>
        /(^|\/)(src|test|node_modules)\/|\.map$|tsbuildinfo|\.test\.|\.ts$/.test(path),
      );
      expect(foreign.filter((path) => !path.endsWith(".d.ts"))).toEqual([]);
    },
  );

  it("gives the command its bundled traces with their licences", () => {
    const paths = packs.find((pack) => pack.name === "isochron")!.files.map((file) => file.path);
    expect(paths.filter((path) => path.startsWith("traces/")).length).toBeGreaterThanOrEqual(7);
    for (const folder of ["azure-2023", "mooncake-fast25"]) {
      expect(paths).toContain(`traces/${folder}/NOTICE.md`);
      expect(paths.some((path) => path.startsWith(`traces/${folder}/LICENSE`))).toBe(true);
    }
  });
});
