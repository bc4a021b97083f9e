// `npm run parity`: what it prints and how it exits. It runs built code, which `npm test` builds first.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";

const SCRIPT = fileURLToPath(new URL("../../packages/planner/scripts/parity.mjs", import.meta.url));
const RECORDINGS = fileURLToPath(new URL("./fixtures/flashinfer/recordings", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "isochron-parity-"));
afterAll(() => rmSync(folder, { recursive: true }));

function parity(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [SCRIPT, ...args], { encoding: "utf8" });
}

interface Case {
  readonly input: object;
  readonly output: { readonly o_indptr: number[] };
}

/** A directory with one decode case, changed. */
function directoryWith(name: string, change: (recorded: Case) => unknown): string {
  const text = gunzipSync(readFileSync(join(RECORDINGS, "decode.json.gz"))).toString("utf8");
  const recorded = (JSON.parse(text) as { cases: Case[] }).cases[0]!;
  change(recorded);
  const directory = mkdtempSync(join(folder, `${name}-`));
  writeFileSync(join(directory, "decode.json"), JSON.stringify({ cases: [recorded] }));
  return directory;
}

describe("npm run parity", () => {
  it("matches all recorded cases and says how many", () => {
    const { status, stdout } = parity(RECORDINGS, "--json");
    expect(status).toBe(0);
    const { planners, usable, matched } = JSON.parse(stdout) as {
      planners: { planner: string; usable: number; matched: number }[];
      usable: number;
      matched: number;
    };
    expect(planners.map(({ planner }) => planner)).toEqual(["decode", "prefill", "holistic", "sm90", "mla"]);
    for (const report of planners) expect(report.matched).toBe(report.usable);
    expect(matched).toBe(usable);
    expect(usable).toBeGreaterThan(200);
  });

  it("names case, field, index and both values of a difference, and exits with 1", () => {
    const directory = directoryWith("difference", ({ output }) => {
      output.o_indptr[1] = 999;
    });
    const { status, stdout } = parity(directory);
    expect(status).toBe(1);
    expect(stdout).toMatch(/decode\/\S+: o_indptr\[1\]: expected 999, got \d+/);
    expect(stdout).toMatch(/decode +flashinfer-decode +0\/1 usable cases match/);
  });

  it("sees an array that is too short, a field that is missing and one too many", () => {
    const short = directoryWith("short", ({ output }) => output.o_indptr.pop());
    expect(parity(short).stdout).toMatch(/o_indptr\[\d+\]: expected nothing, got \d+/);
    const extra = directoryWith("extra", ({ output }) => {
      Object.assign(output, { surprise: 1 });
    });
    expect(parity(extra).stdout).toMatch(/surprise: expected 1, got \(no such field\)/);
    const missing = directoryWith("missing", ({ output }) => {
      Reflect.deleteProperty(output, "kv_chunk_size");
    });
    expect(parity(missing).stdout).toMatch(/kv_chunk_size: expected \(not recorded\), got \d+/);
    for (const directory of [short, extra, missing]) expect(parity(directory).status).toBe(1);
  });

  it("leaves out what is marked as error or corrupt, counts it, and fails when nothing is left", () => {
    const directory = directoryWith("error", ({ output }) => {
      Object.assign(output, { error: "overrun" });
    });
    cpSync(join(RECORDINGS, "mla.json.gz"), join(directory, "mla.json.gz"));
    const mixed = parity(directory);
    expect(mixed.status).toBe(0);
    expect(mixed.stdout).toMatch(/decode .*0\/0 usable cases match {3}skipped: 1 error/);
    rmSync(join(directory, "mla.json.gz"));
    const empty = parity(directory);
    expect(empty.status).toBe(1);
    expect(empty.stderr).toMatch(/No case could be compared/);
  });

  it("refuses inputs that are incomplete or unknown with one line, and exits with 2", () => {
    const refusal = (change: (input: object) => unknown): string => {
      const { status, stdout, stderr } = parity(directoryWith("input", ({ input }) => change(input)));
      expect(status).toBe(2);
      expect(stdout).toBe("");
      expect(stderr.trim().split("\n")).toHaveLength(1);
      return stderr;
    };
    expect(refusal((input) => Reflect.deleteProperty(input, "num_sm"))).toMatch(
      /decode.json: decode\/\S+: input.num_sm is missing, expected an integer ≥ 1/,
    );
    expect(refusal((input) => Reflect.deleteProperty(input, "occ"))).toMatch(/input.occ is missing/);
    expect(
      refusal((input) => {
        Object.assign(input, { mystery: 1 });
      }),
    ).toMatch(/input.mystery is not a field that a planner takes/);
    expect(
      refusal((input) => {
        Object.assign(input, { kv_len: [] });
      }),
    ).toMatch(/input.kv_len has 0 entries, expected \d+/);
    expect(parity(join(folder, "nowhere")).stderr).toMatch(/cannot be listed \(ENOENT\)/);
    expect(parity().stderr).toMatch(/one directory is needed, 0 were given\nUsage: npm run parity/);
  });
});
