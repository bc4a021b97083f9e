import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodePlan, verifyPlan } from "@isochron/planner";
import { describe, expect, it } from "vitest";
import { attention, skewedDecode, writeDocument } from "../support/batches.ts";
import { binary, isochron, isochronJson } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

interface PolicyRow {
  readonly policy: string;
  readonly stats: Record<string, number>;
  readonly workspaceBytes: number;
  readonly planBytes: number;
  readonly planTimeUs: number;
  readonly simulatedUs: number;
}

describe("isochron plan", () => {
  it("takes a batch from standard input, as run and simulate do", () => {
    const input = JSON.stringify(skewedDecode);
    const run = (args: readonly string[], text = input) =>
      spawnSync(process.execPath, [binary, ...args], { input: text, encoding: "utf8" });
    const planned = run(["plan", "-", "--json"]);
    expect([planned.status, planned.stderr]).toEqual([0, ""]);
    expect(JSON.parse(planned.stdout)).toMatchObject({ batch: { requests: 64 } });
    const timeline = join(temporaryFolder(), "timeline.json");
    expect(run(["simulate", "-", "--out", timeline]).status).toBe(0);
    expect(JSON.parse(readFileSync(timeline, "utf8"))).toMatchObject({ title: "standard input" });
    expect(run(["plan", "-"], "{")).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^isochron: -:1: not JSON/),
    });
    expect(run(["plan", "-"], "").stderr).toBe("isochron: -: is empty, expected a batch/1 document\n");
  });

  it("reports the stats of one plan", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const summary = await isochronJson(["plan", path]);
    expect(summary).toMatchObject({
      isochron: "plan-summary/1",
      gpu: "h100-sxm",
      batch: { requests: 64, queryTokens: 64, kvTokens: 131_072 + 63 * 512, longestKvTokens: 131_072 },
    });
    const [row, ...others] = summary["policies"] as PolicyRow[];
    expect(others).toEqual([]);
    expect(row!.policy).toBe("balanced");
    const names = ["pieces", "splitJobs", "partialSlots", "mergeRows", "makespanUs", "lowerBoundUs", "imbalance"];
    expect(Object.keys(row!.stats).sort()).toEqual(names.sort());
    expect(row!.stats["makespanUs"]).toBeGreaterThanOrEqual(row!.stats["lowerBoundUs"]!);
    // Two partial slots for each of P − 1 worker boundaries, at most.
    expect(row!.stats["partialSlots"]).toBeLessThanOrEqual(2 * (132 * 2 - 1));
    for (const name of ["workspaceBytes", "planBytes", "planTimeUs", "simulatedUs"] as const) {
      expect(row![name]).toBeGreaterThan(0);
    }
  });

  it("compares every policy, and balanced is near the bound where none is far", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const summary = await isochronJson(["plan", path, "--compare"]);
    const rows = new Map((summary["policies"] as PolicyRow[]).map((row) => [row.policy, row]));
    expect(rows.size).toBeGreaterThan(3);
    expect(rows.get("balanced")!.stats["imbalance"]).toBeLessThanOrEqual(1.05);
    expect(rows.get("none")!.stats["imbalance"]).toBeGreaterThan(5);
    expect(rows.get("none")!.simulatedUs).toBeGreaterThan(3 * rows.get("balanced")!.simulatedUs);
  });

  it("prints a table with a line for each policy", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const { stdout, exitCode } = await isochron(["plan", path, "--compare"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^64 requests, 64 query tokens, 163,328 KV tokens, 32\/8 heads × 128, on h100-sxm/);
    expect(stdout).toMatch(/^balanced +[\d,]+ /m);
    expect(stdout).toMatch(/^none +512 +0 +0 /m);
  });

  it("says how much of an imbalance is there because KV tiles are not cut", async () => {
    // 64 jobs of 17 tiles on 264 workers: a little more than four tiles for each, so one of them has five.
    const batch = { ...skewedDecode, qoLens: new Array<number>(8).fill(1), kvLens: new Array<number>(8).fill(1050) };
    const path = writeDocument(temporaryFolder(), "batch.json", batch);
    const [row] = (await isochronJson(["plan", path]))["policies"] as (PolicyRow & { tileLowerBoundUs: number })[];
    const ratio = row!.tileLowerBoundUs / row!.stats["lowerBoundUs"]!;
    expect(ratio).toBeGreaterThan(1.001);
    expect(ratio).toBeLessThanOrEqual(row!.stats["imbalance"]!);
    const { stdout } = await isochron(["plan", path]);
    expect(stdout).toContain(`KV tiles are not cut: no schedule has an imbalance below ${ratio.toFixed(3)}`);
  });

  it("writes a binary plan that decodes and verifies", async () => {
    const folder = temporaryFolder();
    const path = writeDocument(folder, "batch.json", skewedDecode);
    const out = join(folder, "plans", "plan.bin");
    const { exitCode } = await isochron(["plan", path, "--policy", "fixed-split", "--out", out]);
    expect(exitCode).toBe(0);
    const plan = decodePlan(readFileSync(out));
    expect(plan.policy).toBe("fixed-split");
    verifyPlan(plan, skewedDecode);
  });

  it.each<[string, unknown, RegExp]>([
    ["an empty file", "", /batch\.json: is empty, expected a batch\/1 document$/],
    [
      "a file that is not JSON",
      '{\n "isochron": "batch/1",\n oops\n}',
      /batch\.json:3: not JSON \(.*\), expected a batch\/1/,
    ],
    ["a foreign document", { hello: 1 }, /batch\.json: field isochron: found nothing, expected "batch\/1"$/],
    [
      "another version",
      { ...skewedDecode, isochron: "batch/2" },
      /batch\.json: field isochron: found "batch\/2", expected "batch\/1"$/,
    ],
    ["an unknown key", { ...skewedDecode, kvlens: [] }, /the document: found the unknown key "kvlens"/],
    [
      "an unknown key deep inside",
      { ...skewedDecode, attention: { ...attention, heads: 3 } },
      /field attention: found the unknown key "heads"/,
    ],
    [
      "a negative token count",
      { ...skewedDecode, qoLens: [1, 1, 1, -1], kvLens: [1, 1, 1, 1] },
      /field qoLens\[3\]: found -1, expected at least 0$/,
    ],
    [
      "a fractional token count",
      { ...skewedDecode, kvLens: [1.5] },
      /field kvLens\[0\]: found 1\.5, expected an integer$/,
    ],
    [
      "a missing field",
      { isochron: "batch/1", attention, qoLens: [1] },
      /field kvLens: found nothing, expected an array$/,
    ],
    [
      "lengths that do not match",
      { ...skewedDecode, qoLens: [1, 1], kvLens: [5] },
      /batch\.json: kvLens\.length is 1, expected 2, the length of qoLens$/,
    ],
    [
      "an unknown dtype",
      { ...skewedDecode, attention: { ...attention, dtype: "bf17" } },
      /field attention\.dtype: found "bf17", expected one of "bf16", "fp16", "fp32"$/,
    ],
    [
      "heads that do not divide",
      { ...skewedDecode, attention: { ...attention, queryHeads: 33 } },
      /attention\.queryHeads is 33, expected a multiple of attention\.kvHeads \(8\)$/,
    ],
  ])("refuses %s in one line that names file and field", async (_, document, line) => {
    const path = writeDocument(temporaryFolder(), "batch.json", document);
    const { exitCode, stdout, stderr } = await isochron(["plan", path]);
    expect(stderr.trimEnd()).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it.each<[string, string[], RegExp]>([
    ["a missing file", ["plan", "nowhere/batch.json"], /nowhere\/batch\.json: no such file or directory$/],
    ["a folder", ["plan", "packages"], /packages: is a directory, expected a file$/],
    ["no file", ["plan"], /missing required argument 'batch'$/],
    [
      "an unknown policy",
      ["plan", "x", "--policy", "balancd"],
      /--policy: unknown policy "balancd"; did you mean "balanced"\?/,
    ],
    ["an unknown flag", ["plan", "x", "--polici", "none"], /unknown option '--polici' \(Did you mean --policy\?\)$/],
    ["an unknown command", ["plna", "x"], /unknown command 'plna' \(Did you mean plan\?\)$/],
  ])("refuses %s", async (_, args, line) => {
    const { exitCode, stdout, stderr } = await isochron(args);
    expect(stderr.trimEnd()).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it("refuses an unknown GPU with the nearest name", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const { exitCode, stderr } = await isochron(["plan", path, "--gpu", "h100-smx"]);
    expect(stderr).toMatch(/unknown GPU "h100-smx"; did you mean "h100-sxm"\?/);
    expect(exitCode).toBe(2);
  });

  it("writes nothing when the target cannot be written", async () => {
    const folder = temporaryFolder();
    const path = writeDocument(folder, "batch.json", skewedDecode);
    const out = join(path, "plan.bin");
    const { exitCode, stderr, stdout } = await isochron(["plan", path, "--out", out]);
    expect(stderr).toMatch(/plan\.bin: cannot be written \(.*\)$/m);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(existsSync(out)).toBe(false);
  });
});
