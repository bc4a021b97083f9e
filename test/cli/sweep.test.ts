import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import {
  LATENCY_METRICS,
  reportSchema,
  STATISTICS,
  type SweepResults,
  type SweepRow,
  sweepResultsSchema,
} from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { createProgram } from "../../packages/cli/src/program.ts";
import { checkFields, commandOf, quietContext, replayOf } from "../../packages/cli/src/sweep/replay-fields.ts";
import type { Finished } from "../../packages/cli/src/sweep/task.ts";
import { startThreads } from "../../packages/cli/src/sweep/threads.ts";
import { isochron, isochronJson, type Result, type RunOptions, repository } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Twelve configurations: eight that run, two that do not fit, two that cannot be. */
const SWEEP = {
  isochron: "sweep/1",
  name: "twelve",
  base: { trace: "azure-conv-2023", limit: 60, slo: { ttft: 500 }, prefixCaching: false },
  axes: {
    gpu: ["h100-sxm", "rtx-4090"],
    hardware: [
      { model: "llama-3.1-8b", tp: 1 },
      { model: "qwen3-32b", tp: 1 },
      { model: "llama-3.1-8b", tp: 3 },
    ],
    maxBatchedTokens: [2048, null],
  },
  cost: { perGpuHour: { "h100-sxm": 3, "rtx-4090": 0.5 } },
  slo: { ttftMs: { p99: 400 } },
};
const FILES = ["summary.json", "results.jsonl", "results.csv"];

function writeSweep(folder: string, sweep: object = SWEEP): string {
  const path = join(folder, "sweep.json");
  writeFileSync(path, JSON.stringify(sweep));
  return path;
}

function sweep(folder: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
  return isochron(
    ["sweep", join(folder, "sweep.json"), "--out", join(folder, "out"), "--workers", "2", ...args],
    options,
  );
}

const contents = (folder: string): string[] => FILES.map((name) => readFileSync(join(folder, "out", name), "utf8"));
const rowsIn = (folder: string): SweepRow[] =>
  contents(folder)[1]!
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const journalOf = (folder: string): string => join(folder, "out", "journal.jsonl");
const journalLines = (folder: string): string[] => readFileSync(journalOf(folder), "utf8").split("\n").slice(0, -1);

describe("isochron sweep", () => {
  it("writes the same bytes with one worker and with three, and times apart", async () => {
    const folders = [temporaryFolder(), temporaryFolder()];
    for (const [i, workers] of ["1", "3"].entries()) {
      writeSweep(folders[i]!);
      const { exitCode, stderr } = await isochron([
        "sweep",
        join(folders[i]!, "sweep.json"),
        ...["--out", join(folders[i]!, "out"), "--workers", workers],
      ]);
      expect([exitCode, stderr]).toEqual([0, ""]);
    }
    const [one, three] = folders.map((folder) => contents(folder).map((text) => text.replaceAll(folder, "")));
    expect(three).toEqual(one);
    expect(one!.join("")).not.toMatch(/durationMs|startedAt|wallClock/);
    expect(JSON.parse(journalLines(folders[0]!)[0]!).wallClock).toMatchObject({ durationMs: expect.any(Number) });
  });

  it("says what ran, what does not fit and what cannot be, and gives each its row", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    const results = (await isochronJson(["sweep", writeSweep(folder), "--out", join(folder, "out")])) as never;
    const { counts, rows, groups, varying } = sweepResultsSchema.parse(results) as SweepResults;
    expect(counts).toEqual({ total: 12, completed: 6, "does-not-fit": 2, impossible: 4, failed: 0, missing: 0 });
    expect(varying).toEqual(["gpu", "model", "tp", "maxBatchedTokens"]);
    expect(rows!.map(({ status }) => status)).toEqual([
      ...["completed", "completed", "completed", "completed", "impossible", "impossible"],
      ...["completed", "completed", "does-not-fit", "does-not-fit", "impossible", "impossible"],
    ]);
    expect(rows![8]!.error).toMatchObject({ field: "gpu", message: expect.stringMatching(/rtx-4090.*GiB of weights/) });
    expect(rows![4]!.error).toMatchObject({
      message: expect.stringMatching(/^tp: found 3, expected a divisor of the 32 query heads/),
      field: "tp",
      value: 3,
    });
    expect(rows![0]).toMatchObject({
      fields: { gpu: "h100-sxm", tp: 1, maxBatchedTokens: 2048, "slo.ttft": 500, prefixCaching: false },
      deployment: { maxBatchedTokens: 2048, slo: { ttftMs: 500 }, prefixCaching: false },
      gpus: 1,
      costPerHour: 3,
    });
    expect(rows![1]!.fields).not.toHaveProperty("maxBatchedTokens");
    expect(groups.map(({ workload, smallest }) => [workload["model"], smallest?.fields["gpu"]])).toEqual([
      ["llama-3.1-8b", "h100-sxm"],
      ["qwen3-32b", undefined],
    ]);
    expect(rowsIn(folder)).toEqual(rows);
  });

  it("gives every row the command that makes it alone", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    await sweep(folder);
    const row = rowsIn(folder)[1]!;
    expect(row.command).toMatch(/^isochron replay azure-conv-2023 --limit=60 --slo=ttft=500 --no-prefix-caching/);
    const report = await isochronJson(row.command.split(" ").slice(1));
    expect(report["metrics"]).toEqual(row.metrics);
    expect(report["deployment"]).toEqual(row.deployment);
  });

  it("goes on where it was stopped, after a line that was cut off too, and replays nothing twice", async () => {
    const [whole, folder] = [temporaryFolder(), temporaryFolder()];
    writeSweep(whole);
    writeSweep(folder);
    await sweep(whole);
    await sweep(folder);
    const lines = journalLines(folder);
    writeFileSync(journalOf(folder), `${lines.slice(0, 5).join("\n")}\n${lines[5]!.slice(0, 40)}`);
    const { exitCode, stdout } = await sweep(folder);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/7 replayed in .*, 5 already there/);
    expect(journalLines(folder).slice(0, 5)).toEqual(lines.slice(0, 5));
    expect(contents(folder).map((text) => text.replaceAll(folder, ""))).toEqual(
      contents(whole).map((text) => text.replaceAll(whole, "")),
    );
    expect((await sweep(folder)).stdout).toMatch(/0 replayed in .*, 12 already there/);
    expect(journalLines(folder)).toHaveLength(12);
  });

  it("runs only what is new when an axis grows, and nothing when a price changes", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    await sweep(folder);
    writeSweep(folder, { ...SWEEP, axes: { ...SWEEP.axes, maxBatchedTokens: [1024, 2048, null] } });
    expect((await sweep(folder)).stdout).toMatch(/6 replayed in .*, 12 already there/);
    writeSweep(folder, { ...SWEEP, cost: { perGpuHour: { "h100-sxm": 30, "rtx-4090": 5 } } });
    expect((await sweep(folder)).stdout).toMatch(/0 replayed in .*, 12 already there/);
    expect(rowsIn(folder)[0]!.costPerHour).toBe(30);
  });

  it("runs again what depends on a file that has changed", async () => {
    const folder = temporaryFolder();
    const trace = join(folder, "trace.csv");
    const line = (second: number): string => `2023-11-16 18:00:0${second}.0000000,100,10\n`;
    writeFileSync(trace, `TIMESTAMP,ContextTokens,GeneratedTokens\n${line(1)}${line(2)}`);
    writeSweep(folder, { isochron: "sweep/1", base: { trace }, axes: { tp: [1, 2] } });
    await sweep(folder);
    expect(rowsIn(folder).map(({ metrics }) => metrics!.completed)).toEqual([2, 2]);
    appendFileSync(trace, line(3));
    expect((await sweep(folder)).stdout).toMatch(/2 replayed/);
    expect(rowsIn(folder).map(({ metrics }) => metrics!.completed)).toEqual([3, 3]);
  });

  it("records a configuration that fails, goes on with the others, and tries it again the next time", async () => {
    const folder = temporaryFolder();
    const trace = join(folder, "trace.csv");
    const good = "2023-11-16 18:00:01.0000000,100,10\n";
    writeFileSync(trace, `TIMESTAMP,ContextTokens,GeneratedTokens\n${good}2023-11-16 18:00:02.0000000,x,10\n${good}`);
    writeSweep(folder, { isochron: "sweep/1", base: { trace }, axes: { skipInvalid: [false, true], tp: [1, 2] } });
    for (let i = 0; i < 2; i++) {
      const { exitCode, stdout } = await sweep(folder);
      expect(exitCode).toBe(1);
      expect(stdout).toMatch(/2 completed, 2 failed/);
      expect(stdout).toMatch(i === 0 ? /4 replayed in/ : /2 replayed in .*, 2 already there/);
      expect(rowsIn(folder).map(({ status }) => status)).toEqual(["failed", "failed", "completed", "completed"]);
      expect(rowsIn(folder)[0]!.error!.message).toMatch(/trace\.csv:3: ContextTokens is "?x/);
    }
  });

  it("writes what is finished when it is stopped, says so, and goes on from there", async () => {
    const folder = temporaryFolder();
    const many = { ...SWEEP, axes: { ...SWEEP.axes, seed: Array.from({ length: 40 }, (_, seed) => seed) } };
    writeSweep(folder, many);
    const interrupt = new AbortController();
    // Stopped as soon as the journal has some lines.
    const watch = setInterval(() => {
      if (existsSync(journalOf(folder)) && journalLines(folder).length >= 10) interrupt.abort();
    }, 1);
    const { exitCode, stdout } = await sweep(folder, [], { interrupt: interrupt.signal });
    clearInterval(watch);
    expect(exitCode).toBe(130);
    const done = rowsIn(folder).length;
    expect(done).toBeGreaterThanOrEqual(10);
    expect(done).toBeLessThan(480);
    expect(stdout).toContain(`stopped: ${done} of 480 configurations are finished`);
    expect(stdout).toContain("run the same command again to go on");
    const again = await sweep(folder);
    expect(again.exitCode).toBe(0);
    expect(again.stdout).toContain(`${480 - done} replayed in`);
    expect(rowsIn(folder)).toHaveLength(480);
    expect(new Set(journalLines(folder).map((line) => JSON.parse(line).key)).size).toBe(480);
  });

  it("shows its progress on a terminal", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    expect((await sweep(folder, [], { isTerminal: true })).stderr).toMatch(/\d+ of 12 configurations/);
  });

  it("keeps whole reports where it is asked to, and makes those that are not there", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    await sweep(folder);
    expect(rowsIn(folder)[0]).not.toHaveProperty("report");
    const reports = join(folder, "reports");
    expect((await sweep(folder, ["--reports", reports])).stdout).toMatch(/6 replayed in .*, 6 already there/);
    expect(readdirSync(reports)).toHaveLength(6);
    const row = rowsIn(folder)[0]!;
    expect(row.report).toMatch(/^\.\.\/reports\/[0-9a-f]{16}\.json\.gz$/);
    const report = reportSchema.parse(
      JSON.parse(gunzipSync(readFileSync(join(folder, "out", row.report!))).toString()),
    );
    expect(report.metrics).toEqual(row.metrics);
    expect(report.generator.command).toBe(row.command);
    expect(report.requests!.id).toHaveLength(60);
    expect((await sweep(folder, ["--reports", reports])).stdout).toMatch(/0 replayed/);
  });
});

describe("the page of a sweep", () => {
  it("is written by sweep --html, and the same by view from the folder, its summary, or what --json printed", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    const [page, other, printed] = ["a.html", "b.html", "all.json"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const { stdout } = await sweep(folder, ["--html", page, "--json"]);
    writeFileSync(printed, stdout);
    const documentsIn = (html: string): unknown =>
      JSON.parse(/ id="isochron-documents">(.*?)<\/script>/s.exec(readFileSync(html, "utf8"))![1]!);
    expect(documentsIn(page)).toMatchObject({ sweeps: [{ isochron: "sweep-results/1", counts: { total: 12 } }] });
    for (const path of [join(folder, "out"), join(folder, "out", "summary.json"), printed]) {
      const document = await isochronJson(["view", path, "--html", other]);
      expect(document).toMatchObject({ reports: 0, timelines: 0, sweeps: 1 });
      expect(documentsIn(other)).toEqual(documentsIn(page));
    }
  });

  it("needs the rows of its results, whole", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    await sweep(folder);
    const [page, rows] = [join(folder, "a.html"), join(folder, "out", "results.jsonl")];
    appendFileSync(rows, '{"configuration":0}\n');
    const broken = await isochron(["view", join(folder, "out"), "--html", page]);
    expect(broken.stderr).toMatch(/results\.jsonl: field rows\[12\]\.fields/);
    rmSync(rows);
    const missing = await isochron(["view", join(folder, "out"), "--html", page]);
    expect(missing.stderr).toMatch(/summary\.json: no results\.jsonl beside it/);
    expect([broken.exitCode, missing.exitCode, existsSync(page)]).toEqual([2, 2, false]);
  });
});

describe("what a sweep says", () => {
  it("gives the reasons why configurations are impossible, each once", async () => {
    const folder = temporaryFolder();
    writeSweep(folder, {
      isochron: "sweep/1",
      base: { trace: "azure-conv-2023", limit: 5 },
      axes: { speculativeTokens: [null, 2], acceptanceRate: [null, 0.5], replicas: [1, 2], prefillReplicas: [null, 1] },
    });
    const { stdout } = await sweep(folder);
    expect(stdout).toContain("6 completed, 10 impossible\n");
    expect(stdout).toMatch(
      /^impossible: speculativeTokens: expected acceptanceRate with it \(in \d configurations\)$/m,
    );
    expect(stdout.match(/^impossible: /gm)!.length).toBe(3);
  });

  it("names the fields of the document where options contradict, not flags or names of a report", async () => {
    const folder = temporaryFolder();
    writeSweep(folder, {
      isochron: "sweep/1",
      base: { trace: "azure-conv-2023", limit: 5, router: "prefix-aware" },
      axes: {
        with: [
          { prefixCaching: false },
          { maxBatchedTokens: 2, speculativeTokens: 3, acceptanceRate: 0.5 },
          { pp: 2, asyncScheduling: true },
          { kvBlocks: 1000, ep: 2 },
          { blockSize: 24, trace: "mooncake-conversation" },
        ],
      },
    });
    const { rows } = sweepResultsSchema.parse(
      await isochronJson(["sweep", join(folder, "sweep.json"), "--out", join(folder, "out")]),
    );
    expect(rows!.map(({ status, error }) => [status, error?.message])).toEqual([
      ["impossible", "router prefix-aware: found prefixCaching false, expected prefix caching"],
      ["impossible", "speculativeTokens: found 3, expected less than maxBatchedTokens (2)"],
      [
        "impossible",
        "asyncScheduling: found true, expected false in a pipeline, which has several steps in flight already",
      ],
      ["impossible", expect.stringMatching(/^ep: found 2, expected a mixture of experts/)],
      ["impossible", expect.stringMatching(/^blockSize: found 24, expected a divisor or a multiple of/)],
    ]);
  });

  it("names the limit that nobody thought of, a request that no deployment takes, and warnings of replays once", async () => {
    const folder = temporaryFolder();
    const trace = join(folder, "log.csv");
    writeFileSync(
      trace,
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,900000,2\n2023-11-16 18:15:47,60,0\n2023-11-16 18:15:48,60,3\n",
    );
    const base = { trace, skipInvalid: true };
    writeSweep(folder, { isochron: "sweep/1", base, axes: { replicas: [1, 2] }, slo: { ttftMs: { p99: 1000 } } });
    const { stdout } = await sweep(folder);
    expect(stdout).toMatch(/^0 +1 +1 .* missed: rejected$/m);
    expect(stdout).toContain("smallest within limits: none (TTFT p99 ≤ 1000 ms, rejected ≤ 0 %)\n");
    expect(stdout).toContain('every deployment rejects requests, 50.00 % of them or more: "rejectedShare" in "slo"');
    expect(stdout).toMatch(/^warning: 1 invalid line skipped, the first: .*log\.csv:3: .* \(in 2 replays\)$/m);
    writeSweep(folder, {
      isochron: "sweep/1",
      base,
      axes: { replicas: [1, 2] },
      slo: { ttftMs: { p99: 1000 }, rejectedShare: 0.5 },
    });
    const again = await sweep(folder);
    expect(again.stdout).toContain("smallest within limits: replicas 1 (1 GPU; TTFT p99 ≤ 1000 ms, rejected ≤ 50 %)\n");
    expect(again.stdout).not.toContain("every deployment rejects");
  });
});

describe("fields of a sweep", () => {
  it("name the columns of a log of one's own one by one", async () => {
    const folder = temporaryFolder();
    const trace = join(folder, "log.csv");
    writeFileSync(trace, "at,in,out\n0,50,2\n1,60,3\n");
    const columns = { arrivalS: "at", inputTokens: "in", outputTokens: "out" };
    const sweep = { isochron: "sweep/1", base: { trace, columns }, axes: { replicas: [1, 2] } };
    const file = join(folder, "sweep.json");
    writeFileSync(file, JSON.stringify(sweep));
    const { rows } = await isochronJson(["sweep", file, "--out", join(folder, "out"), "--workers", "1"]);
    const [first] = rows as { metrics: object; command: string }[];
    expect(first).toMatchObject({ status: "completed", metrics: { completed: 2, inputTokens: 110, outputTokens: 5 } });
    expect(first!.command).toContain("--columns=arrivalS=at,inputTokens=in,outputTokens=out");
  });

  it("are all options of a replay but those that say where it goes", () => {
    const replay = createProgram(quietContext("isochron")).commands.find((command) => command.name() === "replay")!;
    const names = replay.options.map((option) => option.attributeName());
    const isField = (name: string): boolean => {
      try {
        checkFields({ isochron: "sweep/1", base: { trace: "azure-conv-2023" }, axes: { [name]: [null] } }, "s.json");
        return true;
      } catch {
        return false;
      }
    };
    expect(names.filter((name) => !isField(name))).toEqual(["json", "debug", "out", "html", "traceEvents"]);
    expect(names.length).toBeGreaterThan(30);
  });

  it("become the command line that has them", () => {
    const fields = {
      trace: "my trace.csv",
      tp: 2,
      slo: "e2e=9",
      prefixCaching: false,
      asyncScheduling: true,
      spreadTicks: false,
      maxBatchedTokens: 64,
    };
    const command =
      "isochron replay 'my trace.csv' --tp=2 --slo=e2e=9 --no-prefix-caching --async-scheduling --max-batched-tokens=64";
    expect(commandOf(fields)).toBe(command);
    expect(commandOf({ trace: "t", "slo.ttft": 5, tp: 1, "slo.tpot": 6, prefixCaching: true })).toBe(
      "isochron replay t --slo=ttft=5,tpot=6 --tp=1",
    );
    expect(replayOf(fields)).toMatchObject({
      trace: "my trace.csv",
      options: {
        tp: 2,
        slo: { e2eMs: 9 },
        prefixCaching: false,
        asyncScheduling: true,
        maxBatchedTokens: 64,
        replicas: 1,
      },
    });
  });

  it.each<[string, object, RegExp]>([
    [
      "another document",
      { isochron: "batch/1" },
      /sweep\.json: field isochron: found "batch\/1", expected "sweep\/1"$/,
    ],
    [
      "an unknown key",
      { ...SWEEP, axis: {} },
      /found the unknown key "axis", expected only .*; did you mean "axes"\?$/,
    ],
    [
      "a value out of its range",
      { ...SWEEP, axes: { tp: [1, 0] } },
      /sweep\.json: field axes\.tp\[1\]: found "0", expected an integer of at least 1$/,
    ],
    [
      "an unknown name",
      { ...SWEEP, base: { trace: "azure-conv-2023", router: "prefix" } },
      /sweep\.json: field base\.router: unknown router "prefix"; did you mean "prefix-aware"\? \(known: /,
    ],
    ["an unknown GPU", { ...SWEEP, axes: { gpu: ["h100"] } }, /field axes\.gpu\[0\]: unknown GPU "h100"; did you mean/],
    [
      "an unknown model",
      { ...SWEEP, base: { ...SWEEP.base, model: "lama" } },
      /field base\.model: unknown model "lama"/,
    ],
    ["an unknown trace", { ...SWEEP, base: { trace: "azure" } }, /field base\.trace: unknown trace "azure"/],
    [
      "a trace that is not there",
      { ...SWEEP, base: { trace: "./x.csv" } },
      /field base\.trace: found "\.\/x\.csv", expected/,
    ],
    ["no trace", { ...SWEEP, base: {} }, /field base\.trace: found nothing, expected the name or the file of a trace$/],
    [
      "an unknown field",
      { ...SWEEP, axes: { h: [{ replica: 1 }] } },
      /field axes\.h\[0\]\.replica: unknown field "replica"; did you mean "replicas"\?/,
    ],
    ["an output as a field", { ...SWEEP, axes: { out: ["x"] } }, /field axes\.out\[0\]: unknown field "out"/],
    ["a text for a switch", { ...SWEEP, axes: { prefixCaching: ["no"] } }, /found "no", expected true or false$/],
    [
      "a switch for a number",
      { ...SWEEP, axes: { tp: [true] } },
      /axes\.tp\[0\]: found true, expected a text or a number$/,
    ],
    ["hardware in the loop", { ...SWEEP, axes: { stepTimer: ["cuda"] } }, /expected a simulated step timer/],
    ["an unknown limit", { ...SWEEP, base: { ...SWEEP.base, slo: { tft: 5 } } }, /base\.slo\.tft: unknown limit "tft"/],
    [
      "a GPU without a price",
      { ...SWEEP, cost: { perGpuHour: { "h100-sxm": 1 } } },
      /field cost\.perGpuHour: found \{"h100-sxm":1\}, expected a price of rtx-4090$/,
    ],
    ["two axes for one field", { ...SWEEP, axes: { tp: [1], h: [{ tp: 2 }] } }, /field axes\.h: found "tp", expected/],
  ])("name what is wrong in a document with %s", async (_, document, line) => {
    const folder = temporaryFolder();
    writeSweep(folder, document);
    const { exitCode, stdout, stderr } = await sweep(folder);
    expect(stderr.trimEnd()).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
    expect(existsSync(join(folder, "out"))).toBe(false);
  });

  it("refuse a journal that is none, naming its line", async () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    mkdirSync(join(folder, "out"));
    writeFileSync(journalOf(folder), '{"key":"a","outcome":{"status":"completed"}}\n{"a":1}\n');
    const { exitCode, stderr } = await sweep(folder);
    expect(stderr).toMatch(/journal\.jsonl:2: expected key and outcome of a finished configuration/);
    expect(exitCode).toBe(2);
  });
});

describe("threads", () => {
  /** Runs one task whose thread dies as often as the file says. */
  async function withDeaths(deaths: number): Promise<{ finished: Finished; runs: number }> {
    const folder = temporaryFolder();
    const [file, log] = [join(folder, "task.mjs"), join(folder, "log")];
    writeFileSync(log, "");
    writeFileSync(
      file,
      `import { appendFileSync, readFileSync } from "node:fs";
       export default ({ key }) => {
         appendFileSync(${JSON.stringify(log)}, "x");
         if (readFileSync(${JSON.stringify(log)}).length <= ${deaths}) process.exit(9);
         return { key, outcome: { status: "completed" } };
       };`,
    );
    const threads = startThreads(1, file);
    try {
      const finished = await threads.runOne({ key: "k", fields: {}, keepReport: false });
      return { finished, runs: readFileSync(log, "utf8").length };
    } finally {
      await threads.end();
    }
  }

  it("that die are replaced, and their task is tried again", async () => {
    const { finished, runs } = await withDeaths(2);
    expect([finished.outcome.status, runs]).toEqual(["completed", 3]);
  });

  it("that die of one task again and again make it fail, and nothing else", async () => {
    const { finished, runs } = await withDeaths(9);
    expect(finished.outcome).toMatchObject({
      status: "failed",
      error: { message: expect.stringMatching(/died 3 times/) },
    });
    expect(runs).toBe(3);
  });
});

describe("documents of sweeps", () => {
  const blockOf = (file: string): object =>
    JSON.parse(
      /```json\n(\{\n {2}"isochron": "sweep\/1"[\s\S]*?)```/.exec(readFileSync(join(repository, file), "utf8"))![1]!,
    );
  const example = JSON.parse(readFileSync(join(repository, "docs/examples/sweep.json"), "utf8"));

  it("are ones that run: the example, the same in docs/sweeps.md, and that of the command's README", async () => {
    expect(blockOf("docs/sweeps.md")).toEqual(example);
    for (const document of [example, blockOf("packages/cli/README.md")]) {
      const folder = temporaryFolder();
      writeSweep(folder, { ...document, base: { ...document.base, limit: 20 } });
      const { exitCode, stdout } = await sweep(folder);
      expect([exitCode, stdout]).toEqual([
        0,
        expect.stringMatching(/\d+ of \d+ deployments on the front[\s\S]*smallest within/),
      ]);
    }
  });

  it("name every objective, default and file of theirs", () => {
    const page = readFileSync(join(repository, "docs/sweeps.md"), "utf8");
    for (const name of [...FILES, "journal.jsonl", ...LATENCY_METRICS, ...STATISTICS])
      expect(page).toContain(`\`${name}\``);
  });
});
