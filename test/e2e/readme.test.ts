import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { isochron, repository } from "../support/command.ts";

/** Fenced blocks of one language. */
function blocks(file: string, language: string): string[] {
  const text = readFileSync(join(repository, file), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map((match) => match[1]!);
}

describe("README.md", () => {
  it("has an example of ten lines that plans a batch and prints what the README says", () => {
    const [example] = blocks("README.md", "js");
    expect(example!.trimEnd().split("\n").length).toBeLessThanOrEqual(10);
    // Beside the packages, so that their names resolve as they do for a user.
    const script = join(repository, "packages/cli", `.readme-${process.pid}.mjs`);
    onTestFinished(() => rmSync(script, { force: true }));
    writeFileSync(script, example!);
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toBe(blocks("README.md", "text")[0]);
  });

  it("names the two commands of a fresh machine", () => {
    const shell = blocks("README.md", "sh").join("");
    expect(shell).toContain("npm ci && npm start");
    expect(shell).toContain("npm ci && npm test");
  });

  it.each([
    ["what the commands print", "scripts/update-readme.mjs"],
    ["what was measured", "scripts/hardware.mjs"],
  ])("says %s", (_, path) => {
    const script = join(repository, path);
    const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  it("shows commands that exist, with flags that exist", async () => {
    const commands = blocks("README.md", "sh")
      .flatMap((block) => block.split("\n"))
      .filter((line) => line.startsWith("npx isochron "))
      .map((line) =>
        line
          .replace(/ +#.*$/, "")
          .split(" ")
          .slice(2),
      );
    expect(commands.length).toBeGreaterThan(4);
    for (const [name, ...words] of commands) {
      const help = (await isochron([name!, "--help"])).stdout;
      for (const flag of words.filter((word) => word.startsWith("--"))) expect(help).toContain(`  ${flag} `);
    }
  });

  it.each([
    "README.md",
    "docs/README.md",
    "docs/architecture.md",
    "CONTRIBUTING.md",
    "packages/cli/README.md",
    "docs/sweeps.md",
  ])("%s links to files that exist", (file) => {
    const text = readFileSync(join(repository, file), "utf8");
    const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1]!);
    for (const target of targets) {
      expect(existsSync(join(repository, file, "..", target)), `${file}: ${target}`).toBe(true);
    }
  });
});
