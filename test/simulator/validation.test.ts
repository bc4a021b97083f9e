import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const validation = new URL("../../packages/simulator/validation/", import.meta.url);
const own = new URL("data/", validation);
const command = fileURLToPath(new URL("run.mjs", validation));

interface Figures {
  readonly table: readonly { what: string; cases: number }[];
  readonly serving: readonly { against: string; what: string; cases: number }[];
  readonly missing: readonly string[];
}

const { allFigures, regressions, TOLERANCE } = (await import(new URL("figures.mjs", validation).href)) as {
  allFigures(data: URL, levels?: { kernel?: boolean; serving?: boolean }): Promise<Figures>;
  regressions(sizes: Record<string, number>, expected: Record<string, number>): string[];
  TOLERANCE: number;
};

describe("the validation", () => {
  // The command itself, on what `npm test` has built: as fast again as in here.
  test("no error is worse than the recorded one: `npm run validate -- --record` accepts new ones", {
    timeout: 300_000,
  }, async () => {
    const { stderr } = await promisify(execFile)(process.execPath, [command, "--json"], { maxBuffer: 2 ** 26 }).catch(
      (failure: { stderr: string }) => failure,
    );
    expect(stderr).toBe("");
  });

  test("names what got worse by more than the tolerance, what is new and what is gone", () => {
    const known = { "a: p90": 0.05, "b: p90": 0.05, "c: p90": 0.05 };
    expect(regressions(known, known)).toEqual([]);
    const worse = regressions(
      { "a: p90": 0.05 + TOLERANCE * 0.9, "b: p90": 0.05 + TOLERANCE * 1.1, "d: p90": 0 },
      known,
    );
    expect(worse.map((line) => line.slice(0, 2))).toEqual(["b:", "d:", "c:"]);
  });
});

describe("the validation of another folder", () => {
  let data = "";
  beforeAll(() => {
    data = mkdtempSync(join(tmpdir(), "isochron-validation-"));
  });
  afterAll(() => rmSync(data, { recursive: true }));
  const url = () => new URL(`file://${data}/`);
  const put = (from: string, to: string) => {
    mkdirSync(join(data, to, ".."), { recursive: true });
    cpSync(fileURLToPath(new URL(from, own)), join(data, to), { recursive: true });
  };

  test("says of an empty one what it lacks, and judges nothing", async () => {
    const { table, serving, missing } = await allFigures(url());
    expect([table, serving]).toEqual([[], []]);
    expect(missing).toContain("h100/cases.json");
    expect(missing).toContain("llmservingsim: runs of vLLM");
  });

  test("simulates the tables that are there, and knows a table of another version as another one", async () => {
    const table = "h200_sxm_vllm_0.24.0_generation_attention_bf16_hd128.csv.gz";
    put(`aiconfigurator/${table}`, `perf/aiconfigurator/${table}`);
    put(`aiconfigurator/${table}`, `perf/aiconfigurator/${table.replace("0.24.0", "0.99.0")}`);
    const figures = await allFigures(url(), { serving: false });
    expect(figures.table.map(({ what }) => what)).toEqual([
      "H200 vLLM FA3 generation",
      "H200 vLLM 0.99.0 FA3 generation",
    ]);
  });

  test("names the measured rows whose trace is not there", async () => {
    put("apex/vllm060_llama31_70b_8xh100.json", "validation/apex/vllm060_llama31_70b_8xh100.json");
    const { serving, missing } = await allFigures(url(), { kernel: false });
    expect(serving).toEqual([]);
    expect(missing.filter((line) => line.includes("llama_creation_05.csv"))).toHaveLength(1);
  });

  test("is bad usage on the command line where the folder does not exist", () => {
    const run = () =>
      execFileSync(process.execPath, [command, "--data", join(data, "nowhere")], {
        stdio: "pipe",
      });
    expect(run).toThrow(expect.objectContaining({ status: 2 }));
  });
});
