import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repository } from "../support/command.ts";

describe("package-lock.json", () => {
  it("names no registry, so that it works behind any", () => {
    const { packages } = JSON.parse(readFileSync(join(repository, "package-lock.json"), "utf8"));
    const resolved = Object.values(packages as Record<string, { resolved?: string }>).flatMap(
      (one) => one.resolved ?? [],
    );
    expect(resolved.filter((one) => !one.startsWith("packages/"))).toEqual([]);
  });

  it("agrees with the manifests, as npm ci sees it", () => {
    const { status, stderr } = spawnSync("npm", ["ci", "--dry-run", "--offline"], {
      cwd: repository,
      encoding: "utf8",
    });
    expect(stderr).not.toContain("npm error");
    expect(status).toBe(0);
  });
});
