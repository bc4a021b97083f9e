import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type Report, reportSchema } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { badTraces, unsortedTrace, writeBadTrace } from "../support/bad-traces.ts";
import { isochron, isochronJson, spawnIsochron } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { SAMPLES, samplesDirectory } from "../support/trace-samples.ts";

/** A report without what is allowed to differ from run to run. */
function deterministic({ wallClock: _, ...rest }: Report): unknown {
  return rest;
}

async function replayReport(args: readonly string[]): Promise<Report> {
  return reportSchema.parse(await isochronJson(["replay", ...args]));
}

describe("isochron replay", () => {
  it("leaves no folder behind that a bad log has nothing to write to", async () => {
    const folder = temporaryFolder();
    const log = join(folder, "log.csv");
    writeFileSync(log, "at,in,out\n0,ten,3\n");
    const columns = "arrivalS=at,inputTokens=in,outputTokens=out";
    const out = join(folder, "out");
    const { exitCode, stderr } = await isochron(["replay", log, "--columns", columns, "--out", out]);
    expect([exitCode, existsSync(out)]).toEqual([2, false]);
    expect(stderr).toMatch(/log\.csv:2: in is "ten"/);
  });

  it("prints a report that keeps to its schema", async () => {
    const report = await replayReport(["azure-conv-2023", "--limit", "200", "--seed", "7"]);
    expect(report.trace).toMatchObject({ name: "azure-conv-2023", requestsUsed: 200, linesSkipped: 0 });
    expect(report.metrics).toMatchObject({ completed: 200, rejected: 0, unfinished: 0 });
    expect(report.partial).toBe(false);
    expect(report.deployment).toMatchObject({ model: "llama-3.1-8b", gpu: "h100-sxm", attention: "balanced" });
    expect(report.generator).toMatchObject({ seed: 7 });
    expect(report.generator.command).toContain("replay azure-conv-2023 --limit 200");
    for (const latency of [report.metrics.ttftMs, report.metrics.tpotMs, report.metrics.e2eMs]) {
      expect(latency.p99).toBeGreaterThanOrEqual(latency.median!);
    }
  });

  it("takes step times from tables of measured layers", async () => {
    const tables = "packages/simulator/validation/data/llmservingsim/RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1";
    const measured = ["azure-conv-2023", "--limit", "40", "--gpu", "rtx-4090", "--step-timer", "measured"];
    const options = [...measured, "--layer-times", tables, "--kv-blocks", "4000"];
    const report = await replayReport(options);
    expect(report.deployment).toMatchObject({ stepTimer: "measured", attention: "fa2-paged-graph" });
    expect(report.metrics.completed).toBe(40);
    // One decode of the bf16 weights at the 1.0 TB/s of the card takes 16 ms.
    expect(report.metrics.tpotMs.median).toBeGreaterThan(14);
    const wrong: [string[], RegExp][] = [
      [measured, /--layer-times/],
      [["azure-conv-2023", "--layer-times", tables], /--step-timer measured/],
      [[...options, "--tp", "2"], /--tp 2/],
      [[...options, "--attention", "balanced"], /--attention/],
      [[...measured, "--layer-times", "docs"], /docs.*dense\.csv/],
    ];
    for (const [args, message] of wrong) {
      const { stderr, stdout, exitCode } = await isochron(["replay", ...args]);
      expect([exitCode, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(message);
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });

  it("prints throughput, a table of latencies and where the time went", async () => {
    const { stdout, stderr, exitCode } = await isochron(["replay", "azure-conv-2023", "--limit", "200"]);
    expect(exitCode).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^azure-conv-2023 \(200 requests\)\n1 × llama-3.1-8b on h100-sxm, /);
    expect(stdout).toMatch(/^completed +200 requests$/m);
    for (const name of ["TTFT ms", "TPOT ms", "ITL ms", "E2E ms", "queue ms"]) {
      expect(stdout).toMatch(new RegExp(`^${name}( +[\\d,]+\\.\\d\\d){7}$`, "m"));
    }
    expect(stdout).toMatch(/^step time +attention [\d.]+ %, GEMM [\d.]+ %/m);
  });

  it.each(["analytic", "kernel"])("gives the same bytes for the same inputs with the %s step timer", async (timer) => {
    const args = ["azure-code-2023", "--limit", "150", "--step-timer", timer, "--replicas", "2", "--router", "random"];
    const first = deterministic(await replayReport(args));
    expect(JSON.stringify(deterministic(await replayReport(args)))).toBe(JSON.stringify(first));
  });

  it("writes the report and one line for each request", async () => {
    const out = join(temporaryFolder(), "a", "b");
    const { stdout, exitCode } = await isochron(["replay", "azure-conv-2023", "--limit", "100", "--out", out]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`wrote ${join(out, "report.json")}`);
    expect(stdout).toContain(`isochron view ${out}`);
    reportSchema.parse(JSON.parse(readFileSync(join(out, "report.json"), "utf8")));
    const lines = readFileSync(join(out, "requests.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(Array.from({ length: 100 }, (_, id) => id));
  });

  it("counts requests that meet their limits", async () => {
    const all = await replayReport(["azure-conv-2023", "--limit", "100", "--slo", "ttft=1e9,tpot=1e9,e2e=1e9"]);
    expect(all.metrics.goodput).toBeCloseTo(all.metrics.requestThroughput, 9);
    const none = await replayReport(["azure-conv-2023", "--limit", "100", "--slo", "ttft=0.001"]);
    expect(none.metrics.goodput).toBe(0);
    expect((await replayReport(["azure-conv-2023", "--limit", "10"])).metrics.goodput).toBeNull();
    const { stdout } = await isochron(["replay", "azure-conv-2023", "--limit", "10", "--slo", "e2e=500"]);
    const ends = (await replayReport(["azure-conv-2023", "--limit", "10"])).requests!;
    const good = ends.endUs.filter((endUs, i) => endUs - ends.arrivalUs[i]! <= 500_000).length;
    expect(stdout).toMatch(new RegExp(`^goodput / s +[\\d.]+ \\(${good}0\\.0 % of requests\\)$`, "m"));
  });

  it("says where step times are from data sheets, and what neither model nor memory has room for", async () => {
    const small = ["azure-conv-2023", "--limit", "10"];
    const { warnings } = await replayReport([...small, "--gpu", "l40s", "--max-context", "200000"]);
    expect(warnings).toEqual([
      "l40s: step times from data sheets, not from measurements",
      "llama-3.1-8b: made for 131,072 tokens, not 200,000",
    ]);
    expect((await replayReport([...small, "--max-context", "131072"])).warnings).toEqual([]);
    // 128 KiB a token: 16,384 blocks are 32 GiB, 40,960 are 80 GiB.
    expect((await replayReport([...small, "--kv-blocks", "16384"])).warnings).toEqual([]);
    expect((await replayReport([...small, "--kv-blocks", "40960"])).warnings).toEqual([
      "h100-sxm: weights and 40,960 KV blocks take 95.0 GiB of its 80.0",
    ]);
  });

  it("keeps so many requests outstanding in a closed loop", async () => {
    const report = await replayReport(["azure-conv-2023", "--limit", "100", "--concurrency", "4"]);
    expect(report.metrics.completed).toBe(100);
    expect(report.metrics.peakConcurrency).toBe(4);
    const { stdout } = await isochron(["replay", "azure-conv-2023", "--limit", "9", "--concurrency", "4"]);
    expect(stdout).toMatch(/^azure-conv-2023 \(9 requests, closed loop of 4\)$/m);
  });

  it("splits replicas into those that compute prompts and those that go on", async () => {
    const args = ["azure-conv-2023", "--limit", "100", "--replicas", "3", "--prefill-replicas", "1"];
    const report = await replayReport(args);
    expect(report.metrics.completed).toBe(100);
    expect(report.deployment.disaggregation).toMatchObject({ prefillReplicas: 1, kvTransferGBps: 50 });
    const { stdout } = await isochron(["replay", ...args]);
    expect(stdout).toContain("1 prefill + 2 decode × llama-3.1-8b");
    expect(stdout).toMatch(/^KV transfers +[\d.]+ ms mean, [\d.]+ ms worst, links [\d.]+ % busy$/m);
  });

  it("serves mixtures of experts and latent attention, with narrower weights and caches", async () => {
    const args = ["azure-conv-2023", "--limit", "30", "--model", "deepseek-v3", "--gpu", "h200-sxm", "--tp", "8"];
    const whole = [...args, "--kv-dtype", "fp8", "--ep", "8", "--step-timer", "kernel"];
    const report = await replayReport(whole);
    expect(report.metrics.completed).toBe(30);
    expect(report.deployment).toMatchObject({ weights: "fp8", kvDtype: "fp8_e4m3", expertParallel: 8 });
    expect(report.metrics.mbu).toBeLessThan(1);
    const { stdout } = await isochron(["replay", ...whole]);
    expect(stdout).toContain("deepseek-v3 (fp8 weights, fp8_e4m3 KV cache) on 8 × h200-sxm");
    const narrow = await replayReport([...args, "--kv-dtype", "fp8"]);
    const wide = await replayReport([...args, "--weights", "fp8"]);
    expect(narrow.deployment.kvBlocks / wide.deployment.kvBlocks).toBeCloseTo(2, 3);
    for (const bad of [
      ["--weights", "int3"],
      ["--kv-dtype", "int4"],
      ["--expert-imbalance", "-1"],
      ["--model", "llama-3.1-8b", "--ep", "8"],
      ["--model", "llama-3.1-8b", "--expert-imbalance", "1"],
    ]) {
      const { stderr, exitCode } = await isochron(["replay", "azure-conv-2023", "--limit", "5", ...bad]);
      expect(exitCode).toBe(2);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });

  it("schedules ahead of the GPU, if asked to", async () => {
    const args = ["azure-conv-2023", "--limit", "60"];
    const waits = await replayReport(args);
    const ahead = await replayReport([...args, "--async-scheduling"]);
    expect(ahead.deployment.asyncScheduling).toBe(true);
    expect(waits.deployment).not.toHaveProperty("asyncScheduling");
    expect(ahead.metrics.completed).toBe(60);
    expect(ahead.metrics.itlMs.median!).toBeLessThan(waits.metrics.itlMs.median!);
  });

  it("spreads experts over replicas that step together", async () => {
    const args = ["azure-conv-2023", "--limit", "40", "--model", "qwen3-30b-a3b", "--replicas", "4"];
    const alone = await replayReport(args);
    const spread = await replayReport([...args, "--ep", "4"]);
    expect(spread.deployment).toMatchObject({ expertParallel: 4, replicas: 4 });
    expect(spread.metrics.completed).toBe(40);
    // A quarter of the experts on each GPU leaves room.
    expect(spread.deployment.kvBlocks).toBeGreaterThan(2 * alone.deployment.kvBlocks);
    expect(spread.metrics.stepTimeShare.collective).toBeGreaterThan(0);
    expect(spread.metrics.stepTimeShare.wait).toBeGreaterThan(0);
    const { stdout } = await isochron(["replay", ...args, "--ep", "4"]);
    expect(stdout).toContain("experts over 4 GPUs");
    expect((await replayReport([...args, "--replicas", "16", "--ep", "16"])).warnings.join()).toContain(
      "NVLink domain",
    );
  });

  it("splits a model that one GPU cannot hold over the stages of a pipeline", async () => {
    const args = ["azure-conv-2023", "--limit", "60", "--model", "llama-3.1-70b"];
    const { stderr, exitCode } = await isochron(["replay", ...args]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("more memory or tensor, pipeline or expert parallelism");
    const events = join(temporaryFolder(), "events.json");
    const staged = [...args, "--pp", "3", "--tp", "2", "--replicas", "2"];
    const report = await replayReport([...staged, "--trace-events", events]);
    expect(report.deployment).toMatchObject({ pipelineParallel: 3, tensorParallel: 2, gpus: 12 });
    expect(report.metrics.completed).toBe(60);
    expect(report.metrics.stageIdle).toHaveLength(3);
    expect(readFileSync(events, "utf8")).toContain('"stage 3 of 3"');
    const { stdout } = await isochron(["replay", ...staged]);
    expect(stdout).toContain("llama-3.1-70b on 3 stages of 2 × h100-sxm");
    expect(stdout).toMatch(/idle by stage +\d/);
  });

  it("routes by what replicas were like at the last poll, if asked to", async () => {
    const args = ["azure-conv-2023", "--limit", "200", "--replicas", "4", "--rate", "8", "--router"];
    const fresh = await replayReport([...args, "least-kv"]);
    const stale = await replayReport([...args, "least-kv", "--router-staleness-ms", "1000"]);
    expect(deterministic(await replayReport([...args, "least-kv", "--router-staleness-ms", "0"]))).toMatchObject({
      metrics: fresh.metrics,
    });
    expect(stale.metrics.e2eMs.mean).toBeGreaterThan(fresh.metrics.e2eMs.mean!);
    const { stderr, exitCode } = await isochron(["replay", ...args, "random", "--router-staleness-ms", "5"]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/--router: found random, expected one that looks at replicas/);
  });

  it("writes every step and request as trace events, and the same report as without", async () => {
    const file = join(temporaryFolder(), "deep", "events.json");
    const args = ["azure-conv-2023", "--limit", "40", "--replicas", "2"];
    const { stdout, exitCode } = await isochron(["replay", ...args, "--trace-events", file]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`wrote ${file}`);
    const { traceEvents, otherData } = JSON.parse(readFileSync(file, "utf8"));
    const report = await replayReport(args);
    const count = (cat: string) => traceEvents.filter((event: { cat?: string }) => event.cat === cat).length;
    expect(count("step")).toBe(report.metrics.steps);
    expect(count("request")).toBe(40);
    expect(otherData.replay.trace.name).toBe("azure-conv-2023");
    expect(readdirSync(join(file, ".."))).toEqual(["events.json"]);
    const folder = temporaryFolder();
    expect((await isochron(["replay", ...args, "--trace-events", folder])).exitCode).toBe(2);
    await isochron(["replay", ...args, "--trace-events", `${file}.gz`]);
    expect(JSON.parse(gunzipSync(readFileSync(`${file}.gz`)).toString("utf8")).traceEvents).toEqual(traceEvents);
    expect(readdirSync(join(file, "..")).sort()).toEqual(["events.json", "events.json.gz"]);
  });

  it("verifies drafts, and says how many were of use", async () => {
    const args = ["azure-conv-2023", "--limit", "50", "--step-timer", "kernel"];
    const plain = await replayReport(args);
    const drafted = [...args, "--speculative-tokens", "3", "--acceptance-rate", "0.8", "--draft-us", "100"];
    const report = await replayReport(drafted);
    expect(report.deployment.speculation).toEqual({ tokens: 3, acceptanceRate: 0.8, draftUs: 100 });
    expect(report.metrics.outputTokens).toBe(plain.metrics.outputTokens);
    expect(report.metrics.tpotMs.mean).toBeLessThan(0.6 * plain.metrics.tpotMs.mean!);
    expect((await isochron(["replay", ...drafted])).stdout).toMatch(/^drafts +[\d.]+ % of output tokens were drafted/m);
    for (const bad of [
      ["--speculative-tokens", "3"],
      ["--acceptance-rate", "0.5"],
      ["--draft-us", "5"],
    ]) {
      const { stderr, exitCode } = await isochron(["replay", ...args, ...bad]);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/expected (--\S+ with it|some that are drafted)/);
    }
  });

  it("rejects a request that can never fit, counts it, and goes on", async () => {
    const path = join(temporaryFolder(), "trace.csv");
    writeFileSync(path, `${unsortedTrace}2023-11-16 18:15:51.0000000,5000,5\n2023-11-16 18:15:52.0000000,100,5\n`);
    const report = await replayReport([path, "--kv-blocks", "100"]);
    expect(report.metrics).toMatchObject({ completed: 4, rejected: 1, unfinished: 0 });
    expect(report.warnings.some((warning) => /1 requests? rejected/.test(warning))).toBe(true);
    const { stdout } = await isochron(["replay", path, "--kv-blocks", "100"]);
    expect(stdout).toMatch(/^completed +4 requests, 1 rejected$/m);
  });

  it("sorts requests that came late, and warns", async () => {
    const path = join(temporaryFolder(), "trace.csv");
    writeFileSync(path, unsortedTrace);
    const report = await replayReport([path]);
    expect(report.warnings).toContain("1 request was out of order and was sorted");
    expect(report.requests!.arrivalUs).toEqual([...report.requests!.arrivalUs].sort((a, b) => a - b));
  });

  it.each(SAMPLES.map((sample) => [sample.file, sample] as const))("replays %s", async (file, sample) => {
    const report = await replayReport([join(samplesDirectory, file), "--limit", "3"]);
    const requests = Math.min(3, sample.rows.length);
    expect(report.trace).toMatchObject({ format: sample.format, requestsUsed: requests, linesSkipped: 0 });
    expect(report.metrics).toMatchObject({ completed: requests, rejected: 0, unfinished: 0 });
  });

  it("says of a bad line how to go on without it, and of a bad file nothing of the kind", async () => {
    const path = join(temporaryFolder(), "trace.csv");
    writeFileSync(path, `${unsortedTrace}2023-11-16 18:15:51.0000000,-1,5\n`);
    expect((await isochron(["replay", path])).stderr).toMatch(
      /ContextTokens is "-1", expected .*; --skip-invalid leaves such lines out\n$/,
    );
    expect((await isochron(["replay", path, "--skip-invalid"])).stdout).toMatch(/1 invalid line skipped, the first: /);
    writeFileSync(path, "");
    expect((await isochron(["replay", path])).stderr).not.toContain("--skip-invalid");
  });

  it("shows progress on a terminal, and nothing of it elsewhere", async () => {
    const onTerminal = await isochron(["replay", "azure-conv-2023", "--limit", "3000"], { isTerminal: true });
    expect(onTerminal.stderr).toMatch(/\r.*[\d,]+ arrived, [\d,]+ completed, simulated \d+:\d\d/);
    expect(onTerminal.stderr.endsWith("\r\u001b[K")).toBe(true);
    expect((await isochron(["replay", "azure-conv-2023", "--limit", "3000"])).stderr).toBe("");
  });

  it("writes a partial report when it is interrupted, marks it, and exits 130", async () => {
    const out = join(temporaryFolder(), "out");
    const interrupt = new AbortController();
    // The first picture of the progress line comes in the middle of the replay.
    const result = await isochron(["replay", "mooncake-conversation", "--step-timer", "kernel", "--out", out], {
      isTerminal: true,
      interrupt: interrupt.signal,
      onStderr: () => interrupt.abort(),
    });
    expect(result.exitCode).toBe(130);
    expect(result.stdout).toContain("partial: stopped before the end of the trace");
    const report = reportSchema.parse(JSON.parse(readFileSync(join(out, "report.json"), "utf8")));
    expect(report.partial).toBe(true);
    const { completed, rejected, unfinished } = report.metrics;
    expect(completed + rejected + unfinished).toBe(report.trace.requestsUsed);
    expect(report.trace.requestsUsed).toBeLessThan(12_031);
    expect(readdirSync(out).sort()).toEqual(["report.json", "requests.jsonl"]);
  });

  it.skipIf(process.platform === "win32")("takes SIGTERM for Ctrl-C", async () => {
    const out = join(temporaryFolder(), "out");
    const events = join(out, "events.json");
    const args = ["replay", "mooncake-conversation", "--step-timer", "kernel", "--replicas", "4"];
    const child = spawnIsochron([...args, "--out", out, "--trace-events", events]);
    const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve([code, signal])));
    // Once there are events the replay is under way.
    const drafts = () => (existsSync(out) ? readdirSync(out) : []).map((name) => statSync(join(out, name)).size);
    while (!drafts().some((size) => size > 0)) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGTERM");
    expect(await ended).toEqual([130, null]);
    expect(JSON.parse(readFileSync(join(out, "report.json"), "utf8")).partial).toBe(true);
    expect(JSON.parse(readFileSync(events, "utf8")).otherData.replay.partial).toBe(true);
    expect(readdirSync(out).sort()).toEqual(["events.json", "report.json", "requests.jsonl"]);
  });

  it.each(badTraces.map((bad) => [bad.title, bad] as const))("refuses %s in one line", async (_, bad) => {
    const folder = temporaryFolder();
    const out = join(folder, "out");
    const { exitCode, stdout, stderr } = await isochron(["replay", writeBadTrace(folder, bad), "--json", "--out", out]);
    expect(stderr).toMatch(bad.line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
    expect(existsSync(join(out, "report.json"))).toBe(false);
  });

  it.each<[string, string[], RegExp]>([
    ["an unknown model", ["--model", "llama-3.1-8"], /unknown model "llama-3\.1-8"; did you mean "llama-3\.1-8b"\?/],
    ["an unknown GPU", ["--gpu", "h200-smx"], /unknown GPU "h200-smx"; did you mean "h200-sxm"\?/],
    ["an unknown router", ["--router", "leastkv"], /--router: unknown router "leastkv"; did you mean "least-kv"\?/],
    [
      "an unknown batching policy",
      ["--batching", "vllm"],
      /--batching: unknown batching policy "vllm"; did you mean "vllm-v1"\?/,
    ],
    [
      "an unknown attention policy",
      ["--attention", "ballanced"],
      /--attention: unknown policy "ballanced"; did you mean "balanced"\?/,
    ],
    [
      "an unknown step timer",
      ["--step-timer", "kernal"],
      /--step-timer: unknown step timer "kernal"; did you mean "kernel"\?/,
    ],
    ["an unknown flag", ["--replica", "2"], /unknown option '--replica' \(Did you mean --replicas\?\)/],
    ["no replica", ["--replicas", "0"], /--replicas: found "0", expected an integer from 1 to 4096/],
    ["a fraction of a request", ["--limit", "1.5"], /--limit: found "1\.5", expected an integer of at least 1/],
    ["a rate of zero", ["--rate", "0"], /--rate: found "0", expected a number above 0/],
    ["an unknown limit", ["--slo", "tttf=5"], /--slo: unknown limit "tttf"; did you mean "ttft"\?/],
    ["a limit without a number", ["--slo", "ttft"], /--slo ttft: found "", expected a number above 0/],
    ["GPUs that do not divide the heads", ["--tp", "3"], /--tp: found 3, expected a divisor of (the )?32 query heads/],
    [
      "a model that does not fit",
      ["--model", "llama-3.1-70b"],
      /--gpu: found h100-sxm \(\d+ GiB\), expected more memory or tensor/,
    ],
  ])("refuses %s", async (_, args, line) => {
    const { exitCode, stdout, stderr } = await isochron(["replay", "azure-conv-2023", "--limit", "10", ...args]);
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it("writes the page without timelines, and warns, where the attention policy cannot plan the model", async () => {
    const html = join(temporaryFolder(), "page.html");
    const args = ["replay", "azure-conv-2023", "--limit", "10", "--attention", "flashinfer-mla", "--html", html];
    const { exitCode, stderr } = await isochron(args);
    expect(stderr).toMatch(/^warning: the page has no timelines of steps: policy flashinfer-mla does not apply/);
    expect(exitCode).toBe(0);
    expect(existsSync(html)).toBe(true);
  });

  it("refuses blocks that do not fit the trace's", async () => {
    const { exitCode, stderr } = await isochron(["replay", "mooncake-conversation", "--block-size", "24"]);
    expect(stderr).toMatch(
      /--block-size: found 24, expected a divisor or a multiple of the trace's blocks of 512 tokens/,
    );
    expect(exitCode).toBe(2);
  });

  it("refuses an output folder that cannot be written, before it replays anything", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    for (const flag of ["--out", "--html"]) {
      const { exitCode, stderr } = await isochron(["replay", "azure-conv-2023", flag, join(file, "deeper", "x")]);
      expect(stderr).toMatch(/file\/deeper.*: cannot be written \(.*\)\n$/);
      expect(exitCode).toBe(2);
    }
  });
});
