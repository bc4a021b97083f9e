// The built command as a process of its own: pipes, signals, exit codes and files, as a shell sees them.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { reportSchema } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { skewedDecode, writeDocument } from "../support/batches.ts";
import { binary, repository } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[]): Finished {
  return spawnSync(process.execPath, [binary, ...args], {
    cwd: repository,
    encoding: "utf8",
    env: { ...process.env, FORCE_COLOR: "" },
    maxBuffer: 2 ** 28,
  });
}

describe("the isochron command", () => {
  it("does what npm start does: replays a production trace and writes report, records and page", () => {
    const manifest = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
    const words: string[] = manifest.scripts.start.split(" ");
    expect(words.slice(0, 2)).toEqual(["node", "packages/cli/bin/isochron.js"]);
    const out = join(temporaryFolder(), "isochron-out");
    const { status, stdout, stderr } = run(words.slice(2).map((word) => word.replace(/^isochron-out/, out)));
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^completed +2,000 requests$/m);
    expect(stdout).toMatch(/view .*isochron-out/);
    const report = reportSchema.parse(JSON.parse(readFileSync(join(out, "report.json"), "utf8")));
    expect(report.metrics.completed).toBe(2000);
    expect(readdirSync(out).sort()).toEqual(["replay.html", "report.json", "requests.jsonl"]);
    expect(readFileSync(join(out, "replay.html"), "utf8")).toMatch(/^<!doctype html>/i);
  });

  it("shows what balance is worth: the skewed batch is far from the bound unsplit, and near it balanced", () => {
    const batch = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const { status, stdout } = run(["plan", batch, "--compare", "--json"]);
    expect(status).toBe(0);
    const rows = JSON.parse(stdout).policies as { policy: string; stats: { imbalance: number }; simulatedUs: number }[];
    const of = (policy: string) => rows.find((row) => row.policy === policy)!;
    expect(of("none").stats.imbalance).toBeGreaterThan(5);
    expect(of("balanced").stats.imbalance).toBeLessThanOrEqual(1.05);
    expect(of("none").simulatedUs).toBeGreaterThan(3 * of("balanced").simulatedUs);
  });

  it("is quiet when the reader of a pipe has seen enough", () => {
    const script = `"${process.execPath}" "${binary}" replay mooncake-conversation --replicas 8 --json | head -c 400; statuses="\${PIPESTATUS[*]}"; echo; echo "$statuses"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: repository, encoding: "utf8" });
    const [json, statuses] = stdout.split("\n");
    expect(stderr).toBe("");
    expect(json).toHaveLength(400);
    expect(json).toMatch(/^\{"isochron":"report\/1","generator":\{/);
    expect(statuses).toBe("0 0");
  });

  it("writes the same bytes twice, wall clock apart", () => {
    const folder = temporaryFolder();
    const texts = ["first", "second"].map((name) => {
      const out = join(folder, name);
      expect(run(["replay", "azure-code-2023", "--limit", "300", "--seed", "3", "--out", out]).status).toBe(0);
      const { wallClock, generator, ...report } = JSON.parse(readFileSync(join(out, "report.json"), "utf8"));
      expect(wallClock.durationMs).toBeGreaterThan(0);
      expect(generator.seed).toBe(3);
      return JSON.stringify(report) + readFileSync(join(out, "requests.jsonl"), "utf8");
    });
    expect(texts[1]).toBe(texts[0]);
  });

  it("finishes what it can when Ctrl-C comes in the middle of a replay", async () => {
    const out = join(temporaryFolder(), "out");
    const args = ["replay", "mooncake-conversation", "--step-timer", "kernel", "--out", out, "--json"];
    const child = spawn(process.execPath, [binary, ...args], { cwd: repository, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (text) => (stdout += text));
    child.stderr.on("data", (text) => (stderr += text));
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    // The folder is made just before the replay starts, which takes many seconds.
    while (!existsSync(out) && child.exitCode === null) await setTimeout(20);
    await setTimeout(300);
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(stderr).toMatch(/the report is partial/);
    const report = reportSchema.parse(JSON.parse(stdout));
    expect(report.partial).toBe(true);
    const { requests: _, ...written } = report;
    expect(JSON.parse(readFileSync(join(out, "report.json"), "utf8"))).toEqual(written);
  });

  it("starts in a folder that is not the repository", () => {
    const { status, stdout } = spawnSync(process.execPath, [binary, "traces", "list"], {
      cwd: temporaryFolder(),
      encoding: "utf8",
    });
    expect(status).toBe(0);
    expect(stdout).not.toContain("missing");
  });
});
