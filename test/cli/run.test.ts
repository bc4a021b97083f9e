import { ReferenceExecutor, runPlan } from "@isochron/planner";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { skewedDecode, smallMixed, writeDocument } from "../support/batches.ts";
import { isochron, isochronJson } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("isochron run", () => {
  it.each(["balanced", "tight", "invariant", "auto", "none"])(
    "runs a %s plan that equals unsplit attention",
    async (policy) => {
      const path = writeDocument(temporaryFolder(), "batch.json", smallMixed);
      const run = await isochronJson(["run", path, "--executor", "reference", "--policy", policy, "--check"]);
      expect(run).toMatchObject({ isochron: "run/1", executor: "reference", policy, check: { pass: true } });
      expect(run["durationUs"]).toBeGreaterThan(0);
      const check = run["check"] as { relativeError: number; lseError: number };
      expect(check.relativeError).toBeLessThan(1e-12);
      expect(check.lseError).toBeLessThan(1e-12);
    },
  );

  it.each(["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"])("takes %s KV, sinks and a soft cap", async (kvDtype) => {
    const attention = { ...smallMixed.attention, kvDtype, sinks: true, softCap: 30 };
    const path = writeDocument(temporaryFolder(), "batch.json", { ...smallMixed, attention });
    expect(await isochronJson(["run", path, "--check", "--seed", "7"])).toMatchObject({ check: { pass: true } });
  });

  it("takes a soft cap that float32 rounds, and refuses one that it cannot hold", async () => {
    const withCap = (softCap: number): string => {
      const attention = { ...smallMixed.attention, softCap };
      return writeDocument(temporaryFolder(), "batch.json", { ...smallMixed, attention });
    };
    expect(await isochronJson(["run", withCap(33.3), "--check"])).toMatchObject({ check: { pass: true } });
    for (const softCap of [1e-50, 1e300]) {
      const { exitCode, stderr } = await isochron(["run", withCap(softCap), "--check"]);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(
        /batch\.json: attention\.softCap is \S+, expected a number above 0 that float32 can hold\n$/,
      );
    }
  });

  it("gives requests that share a prefix the same pages, nested prefixes too", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", {
      ...smallMixed,
      qoLens: [1, 1, 24, 8],
      kvLens: [300, 417, 400, 240],
      prefixes: [
        { requests: [0, 1, 2, 3], kvLen: 160 },
        { requests: [1, 2], kvLen: 320 },
      ],
    });
    for (const policy of ["balanced", "auto", "none"]) {
      expect(await isochronJson(["run", path, "--check", "--policy", policy])).toMatchObject({ check: { pass: true } });
    }
  });

  it("exits 1 when the result differs", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", smallMixed);
    const execute = vi.spyOn(ReferenceExecutor.prototype, "execute");
    onTestFinished(() => execute.mockRestore());
    execute.mockImplementation(async (plan, tensors) => {
      const { output, lse } = runPlan(plan, tensors);
      output[17] = Number.NaN;
      return { output, lse, durationUs: 1 };
    });
    const { exitCode, stdout } = await isochron(["run", path, "--check", "--json"]);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ check: { pass: false } });
  });

  it("leaves the check out unless it is asked for", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", smallMixed);
    expect(await isochronJson(["run", path])).not.toHaveProperty("check");
  });

  it("refuses a batch whose tensors would not fit, before it allocates them", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", {
      ...skewedDecode,
      kvLens: skewedDecode.kvLens.map(() => 131_072),
    });
    const { exitCode, stderr } = await isochron(["run", path]);
    expect(stderr).toMatch(/the tensors of this batch take [\d.]+ GiB .* expected at most 4 GiB/);
    expect(exitCode).toBe(2);
  });

  it("refuses an unknown executor and a bad seed", async () => {
    const unknown = await isochron(["run", "x", "--executor", "refrence"]);
    expect(unknown.stderr).toMatch(/--executor: unknown executor "refrence"; did you mean "reference"\?/);
    expect(unknown.exitCode).toBe(2);
    const seed = await isochron(["run", "x", "--seed", "1.5"]);
    expect(seed.stderr).toMatch(/--seed: found "1\.5", expected an integer of at least 0/);
    expect(seed.exitCode).toBe(2);
  });
});
