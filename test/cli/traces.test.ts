import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { badTraces, unsortedTrace, unsortedTraceGzip, writeBadTrace } from "../support/bad-traces.ts";
import { isochron, isochronJson } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("isochron traces", () => {
  it("lists the bundled traces with their licences", async () => {
    const { traces } = await isochronJson(["traces", "list"]);
    const names = (traces as { name: string; isPresent: boolean }[]).map((trace) => trace.name);
    expect(names).toEqual(["azure-conv-2023", "azure-code-2023", "mooncake-conversation"]);
    expect((traces as { isPresent: boolean }[]).every((trace) => trace.isPresent)).toBe(true);
    expect((await isochron(["traces", "list"])).stdout).toContain("CC-BY-4.0");
  });

  it("inspects a bundled trace", async () => {
    const inspection = await isochronJson(["traces", "inspect", "azure-code-2023"]);
    // wc -l of the file, without its header.
    expect(inspection).toMatchObject({ requests: 8819, identity: { name: "azure-code-2023", linesSkipped: 0 } });
    const { stdout } = await isochron(["traces", "inspect", "azure-code-2023"]);
    expect(stdout).toMatch(/^requests +8,819$/m);
    expect(stdout).toMatch(/^output +[\d,]+ /m);
  });

  it("recognises gzip by content, sorts requests that came late, and says so", async () => {
    const path = join(temporaryFolder(), "trace.csv");
    writeFileSync(path, unsortedTraceGzip);
    const inspection = await isochronJson(["traces", "inspect", path]);
    expect(inspection).toMatchObject({ requests: 3, warnings: ["1 request was out of order and was sorted"] });
  });

  it("makes a trace of the rate and lengths that were asked for, the same for the same seed", async () => {
    const folder = temporaryFolder();
    const make = async (name: string, ...more: string[]): Promise<string> => {
      const path = join(folder, name);
      const lengths = ["--input", "lognormal:900,0.5", "--output", "10..30"];
      const { exitCode, stdout } = await isochron(["traces", "make", path, "--per-second", "8", ...lengths, ...more]);
      expect(exitCode).toBe(0);
      expect(stdout).toBe(`wrote ${name === "few.jsonl" ? "7" : "10,000"} requests to ${path}\n`);
      return path;
    };
    const path = await make("a.jsonl");
    const { requestsPerS, gapCv, input, output } = await isochronJson(["traces", "inspect", path]);
    // Within five standard errors of 10,000 samples: 1 % of the mean, the deviation and, of the logarithm, the median.
    expect(requestsPerS).toBeGreaterThan(8 * 0.95);
    expect(requestsPerS).toBeLessThan(8 * 1.05);
    expect(gapCv).toBeCloseTo(1, 1);
    expect((input as { p50: number }).p50 / 900).toBeCloseTo(1, 1);
    expect(output).toMatchObject({ min: 10, max: 30 });
    expect(readFileSync(await make("b.jsonl"))).toEqual(readFileSync(path));
    expect(readFileSync(await make("c.jsonl", "--seed", "1"))).not.toEqual(readFileSync(path));
    const bursty = await isochronJson(["traces", "inspect", await make("d.jsonl", "--gap-cv", "2")]);
    expect(bursty["gapCv"]).toBeGreaterThan(1.8);
    const even = await isochronJson(["traces", "inspect", await make("few.jsonl", "--gap-cv", "0", "--requests", "7")]);
    expect(even).toMatchObject({ requests: 7, spanS: 0.75, gapCv: 0 });
  });

  it.each([
    "0",
    "1.5",
    "9..8",
    "0..8",
    "exponential:",
    "exponential:0",
    "lognormal:300",
    "lognormal:300,1,0",
    "zipf:2",
  ])("refuses to make lengths of %s", async (lengths) => {
    const path = join(temporaryFolder(), "a.jsonl");
    const args = ["traces", "make", path, "--per-second", "8", "--output", "1", "--input", lengths];
    const { exitCode, stderr } = await isochron(args);
    expect(stderr).toMatch(/^isochron: --input: found "[^"]+", expected a number of tokens, a range [^\n]+\n$/);
    expect(exitCode).toBe(2);
    expect(existsSync(path)).toBe(false);
  });

  it("says on a terminal how far it has read, and nothing of it elsewhere", async () => {
    const onTerminal = await isochron(["traces", "inspect", "azure-conv-2023"], { isTerminal: true });
    expect(onTerminal.stderr).toMatch(/\r.*[\d,]+ requests/);
    expect(onTerminal.stderr.endsWith("\r\u001b[K")).toBe(true);
    expect((await isochron(["traces", "inspect", "azure-conv-2023"])).stderr).toBe("");
  });

  it("converts a trace into one that reads the same", async () => {
    const folder = temporaryFolder();
    const target = join(folder, "out", "mooncake.jsonl.gz");
    const from = await isochronJson(["traces", "inspect", "mooncake-conversation", "--limit", "500"]);
    const { exitCode } = await isochron(["traces", "convert", "mooncake-conversation", target, "--limit", "500"]);
    expect(exitCode).toBe(0);
    const lines = gunzipSync(readFileSync(target)).toString("utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(501);
    expect(JSON.parse(lines[0]!)).toEqual({ isochron: "trace/1", blockTokens: 512 });
    const to = await isochronJson(["traces", "inspect", target]);
    for (const key of ["requests", "spanS", "input", "output", "prefixHitBound"]) expect(to[key]).toEqual(from[key]);
  });

  it("leaves bad lines out where asked, and counts them", async () => {
    const path = join(temporaryFolder(), "trace.csv");
    writeFileSync(path, `${unsortedTrace}2023-11-16 18:15:51.0000000,-1,5\n`);
    expect((await isochron(["traces", "inspect", path])).exitCode).toBe(2);
    const inspection = await isochronJson(["traces", "inspect", path, "--skip-invalid"]);
    expect(inspection).toMatchObject({ requests: 3, identity: { linesSkipped: 1 } });
  });

  it.each(badTraces.map((bad) => [bad.title, bad] as const))("refuses %s in one line", async (_, bad) => {
    const folder = temporaryFolder();
    const path = writeBadTrace(folder, bad);
    const { exitCode, stdout, stderr } = await isochron(["traces", "inspect", path]);
    expect(stderr).toMatch(bad.line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr.length).toBeLessThan(1000);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it("reads a log of one's own by the names of its columns, and says that it could", async () => {
    const path = join(temporaryFolder(), "gateway.jsonl");
    const line = (ms: number, out: number) => JSON.stringify({ ts: ms, usage: { in: 40, out } });
    writeFileSync(path, [line(1000, 5), line(1500, 0), line(3000, 7)].join("\n"));
    const unknown = await isochron(["traces", "inspect", path]);
    expect(unknown.exitCode).toBe(2);
    expect(unknown.stderr).toMatch(
      /:1: keys are "ts, usage", expected .*; --columns names those of a log of your own\n$/,
    );
    const columns = "arrivalMs=ts,inputTokens=usage.in,outputTokens=usage.out";
    const inspection = await isochronJson(["traces", "inspect", path, "--columns", columns]);
    expect(inspection).toMatchObject({ requests: 2, spanS: 2, identity: { format: "columns" } });
    const target = join(temporaryFolder(), "trace.jsonl");
    expect((await isochron(["traces", "convert", path, target, "--columns", columns])).exitCode).toBe(0);
    const { identity: _, warnings: __, ...same } = inspection;
    expect(await isochronJson(["traces", "inspect", target])).toMatchObject(same);
    const report = await isochronJson(["replay", path, "--columns", columns]);
    expect(report["metrics"]).toMatchObject({ completed: 2, inputTokens: 80, outputTokens: 12 });
  });

  it.each([
    ["ts", '--columns: found "ts", expected names as in arrivalMs=at,'],
    ["arivalMs=ts", '--columns: unknown "arivalMs"; did you mean "arrivalMs"?'],
    ["arrivalMs=ts,arrivalMs=at", "--columns: found arrivalMs twice, expected each once"],
    ["inputTokens=in,outputTokens=out", "--columns: found no arrival, expected one of arrival, arrivalS,"],
    ["arrivalS=a,arrivalMs=b,inputTokens=in,outputTokens=out", "--columns: found arrivalS and arrivalMs, expected one"],
    ["arrivalMs=ts,inputTokens=in", "--columns: found no outputTokens, expected arrivalMs=at,"],
  ])("refuses columns such as %s before it reads a file", async (columns, line) => {
    for (const command of [["traces", "inspect"], ["replay"]]) {
      const { exitCode, stdout, stderr } = await isochron([...command, "azure-conv-2023", "--columns", columns]);
      expect(stderr.startsWith(`isochron: ${line}`)).toBe(true);
      expect([exitCode, stdout]).toEqual([2, ""]);
    }
  });

  it("refuses a missing file, an unknown name and an unknown format", async () => {
    const missing = await isochron(["traces", "inspect", "./nowhere.csv"]);
    expect(missing.stderr).toMatch(/nowhere\.csv: .*no such file/);
    expect(missing.exitCode).toBe(2);
    const unknown = await isochron(["traces", "inspect", "azure-conv-2032"]);
    expect(unknown.stderr).toMatch(/unknown trace "azure-conv-2032"; did you mean "azure-conv-2023"\?/);
    expect(unknown.exitCode).toBe(2);
    const format = await isochron(["traces", "inspect", "azure-conv-2023", "--format", "azur-csv"]);
    expect(format.stderr).toMatch(/--format: unknown format "azur-csv"; did you mean "azure-csv"\?/);
    expect(format.exitCode).toBe(2);
  });

  it("leaves nothing behind when a conversion fails", async () => {
    const folder = temporaryFolder();
    const bad = badTraces.find((one) => one.file === "negative.csv")!;
    const { exitCode } = await isochron([
      "traces",
      "convert",
      writeBadTrace(folder, bad),
      join(folder, "out", "x.jsonl"),
    ]);
    expect(exitCode).toBe(2);
    expect(readdirSync(join(folder, "out"))).toEqual([]);
  });
});
