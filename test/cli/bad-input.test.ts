import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { binary, isochron, repository, spawnIsochron } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const small = join(repository, "docs/examples/small.json");
const replay = ["replay", "azure-conv-2023", "--limit", "5"];

/** Runs it, expects exit code 2 and one line on stderr alone, and returns that line. */
async function refusal(args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await isochron(args);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/^isochron: [^\n]+\n$/);
  expect(exitCode).toBe(2);
  return stderr.slice("isochron: ".length, -1);
}

function batchWith(change: Record<string, unknown>): string {
  const path = join(temporaryFolder(), "batch.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(small, "utf8")), ...change }));
  return path;
}

describe("a name that is nearly right", () => {
  it.each([
    ["--gpu", "h100", "h100-sxm"],
    ["--model", "lama-3.1-8b", "llama-3.1-8b"],
    ["--router", "prefix", "prefix-aware"],
    ["--attention", "balnced", "balanced"],
  ])("%s %s suggests %s", async (flag, given, near) => {
    expect(await refusal([...replay, flag, given])).toContain(`"${given}"; did you mean "${near}"? (known: `);
  });

  it.each([
    ["--gpu", "x"],
    ["--gpu", ""],
    ["--attention", "x"],
    ["--model", ""],
  ])("%s %j is near to nothing and gets no suggestion", async (flag, given) => {
    expect(await refusal([...replay, flag, given])).not.toContain("did you mean");
  });

  it("is suggested for a command of traces, which alone lists them", async () => {
    expect(await refusal(["traces", "lst"])).toContain('did you mean "list"?');
    expect((await isochron(["traces"])).stdout).toBe((await isochron(["traces", "list"])).stdout);
    expect((await isochron(["traces", "--json"])).stdout).toBe((await isochron(["traces", "list", "--json"])).stdout);
  });

  it("is suggested for a key of a document", async () => {
    const line = await refusal(["plan", batchWith({ kvlens: [1] })]);
    expect(line).toMatch(/unknown key "kvlens", expected only .*kvLens.*; did you mean "kvLens"\?$/);
  });
});

describe("a document with", () => {
  it("a byte-order mark is read like any other", async () => {
    const path = join(temporaryFolder(), "batch.json");
    writeFileSync(path, `\uFEFF${readFileSync(small, "utf8")}`);
    const simulated = async (batch: string) => (await isochron(["simulate", batch])).stdout;
    expect(await simulated(path)).toBe(await simulated(small));
  });

  it("a number beyond 64 bits is told of it", async () => {
    const path = join(temporaryFolder(), "batch.json");
    writeFileSync(path, readFileSync(small, "utf8").replace(/("kvLens":\s*\[\s*)\d+/, "$11e400"));
    expect(await refusal(["plan", path])).toMatch(
      /batch\.json: field kvLens\[0\]: found a number too large for 64 bits, expected a finite one$/,
    );
  });

  it("more pages than a plan counts is told how many", async () => {
    const many = batchWith({ qoLens: new Array(4096).fill(1), kvLens: new Array(4096).fill(1e7) });
    for (const command of ["plan", "run", "simulate"]) {
      expect(await refusal([command, many])).toMatch(
        /batch\.json: kvLens is 2560000000, expected at most 2147483647 pages of 16 tokens, all requests together$/,
      );
    }
  });
});

describe("options that contradict each other", () => {
  it.each([
    [["--kv-transfer", "10"], "--kv-transfer: found no --prefill-replicas"],
    [["--prefill-replicas", "2", "--replicas", "2"], "--prefill-replicas: found 2, expected fewer than --replicas (2)"],
    [["--router", "prefix-aware", "--no-prefix-caching"], "found --no-prefix-caching"],
    [["--concurrency", "3", "--rate", "2"], "cannot be used with option '--rate <factor>'"],
    [["--concurrency", "3", "--spread-ticks"], "cannot be used with option '--spread-ticks'"],
    [["--draft-us", "3"], "--draft-us: found no --speculative-tokens"],
    [["--attention", "tight"], "--attention: found --step-timer analytic, which plans no attention"],
    [["--html", "x.html", "--trace-events", "./x.html"], "--trace-events: found ./x.html, expected another file"],
    [["--slo", "ttft=1,tpot=2,ttft=3"], "--slo: found ttft twice"],
    [
      ["--speculative-tokens", "9000", "--acceptance-rate", "0.5"],
      "--speculative-tokens: found 9000, expected less than --max-batched-tokens (8192)",
    ],
    [
      ["--speculative-tokens", "3", "--acceptance-rate", "0.5", "--batching", "orca"],
      "--batching: found orca, expected vllm-v1",
    ],
    [["--ep", "0"], "--ep"],
    [["--ep", "2"], "--ep: found 2, expected a mixture of experts: llama-3.1-8b is dense"],
    [["--model", "mixtral-8x7b", "--tp", "4", "--ep", "6"], "--ep: found 6, expected a multiple of the 4 GPUs"],
    [
      ["--model", "mixtral-8x7b", "--tp", "2", "--ep", "4", "--replicas", "3"],
      "--ep: found 4, expected the GPUs of so",
    ],
    [
      ["--model", "mixtral-8x7b", "--ep", "2", "--replicas", "2", "--pp", "2"],
      "--ep: found 2, expected 1 in a pipeline",
    ],
    [["--async-scheduling", "--batching", "orca"], "--async-scheduling: found true, expected false with orca batching"],
    [["--async-scheduling", "--pp", "2"], "--async-scheduling: found true, expected false in a pipeline"],
    [["--pp", "33"], "--pp: found 33, expected an integer from 1 to the 32 layers"],
    [["--pp", "0"], "--pp"],
    [["--pp", "2", "--batching", "orca"], "--batching: found orca, expected vllm-v1 where layers are a pipeline"],
    [["--pp", "2", "--speculative-tokens", "2", "--acceptance-rate", "0.5"], "--pp: found 2, expected 1"],
  ])("replay %j", async (options, words) => {
    expect(await refusal([...replay, ...options])).toContain(words);
  });

  it("plan --compare --policy, which is for --out alone", async () => {
    expect(await refusal(["plan", small, "--compare", "--policy", "tight"])).toContain("--compare");
    const out = join(temporaryFolder(), "plan.bin");
    const { exitCode, stdout } = await isochron(["plan", small, "--compare", "--policy", "tight", "--out", out]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`wrote ${out} (tight)\n`);
  });

  it("view --html --port", async () => {
    expect(await refusal(["view", small, "--html", "x.html", "--port", "3"])).toContain("cannot be used with");
  });

  it("run --out with the reference, which measures no timeline", async () => {
    expect(await refusal(["run", small, "--out", "x.json"])).toContain("the reference measures no timeline");
  });
});

describe("an error speaks of what was typed", () => {
  it("a flag, where the simulator finds the number wrong", async () => {
    expect(await refusal([...replay, "--tp", "3"])).toMatch(/^--tp: found 3, expected a divisor of the 32 query heads/);
  });

  it("a number that is too large, by how large it may be", async () => {
    expect(await refusal([...replay, "--kv-blocks", "1e12"])).toMatch(
      /^--kv-blocks: .*an integer from 2 to 2147483647$/,
    );
    expect(await refusal([...replay, "--limit", "1e20"])).toMatch(/^--limit: .*an integer from 1 to 9007199254740991$/);
    for (const options of [
      ["--rate", "1e-300"],
      ["--speculative-tokens", "1", "--acceptance-rate", "0.5", "--draft-us", "1e300"],
    ]) {
      expect(await refusal([...replay, ...options])).toMatch(/^the simulated clock is .*expected at most 285 years/);
    }
  });

  it("what takes the memory, where no KV cache is left", async () => {
    expect(await refusal([...replay, "--max-running", "1000000"])).toMatch(
      /^--gpu: found h100-sxm \(80 GiB\).* 15\.0 GiB of weights on each GPU, 717\.3 GiB for steps of 8192 tokens and 1000000 requests/,
    );
  });

  it("a path that is not there", async () => {
    for (const flag of ["--model", "--gpu"]) {
      expect(await refusal([...replay, flag, "./nope.json"])).toMatch(
        /^\.\/nope\.json: no such file, expected one or a/,
      );
    }
    expect(await refusal(["replay", "-"])).toBe(
      "-: found standard input, expected a file: a trace is read more than once",
    );
  });

  it("an empty path", async () => {
    for (const flag of ["--out", "--html"]) {
      expect(await refusal([...replay, flag, ""])).toBe(`${flag}: found "", expected a path`);
    }
    expect(await refusal([...replay, "--slo", ""])).toContain("expected limits in ms such as ttft=500,tpot=50");
  });

  it("a folder in place of a profile", async () => {
    const folder = join(temporaryFolder(), "profile.json");
    mkdirSync(folder);
    expect(await refusal([...replay, "--gpu", folder])).toBe(`${folder}: is a directory, expected a file`);
  });

  it("a profile's field, and a document of another kind", async () => {
    const profile = JSON.parse(readFileSync(join(repository, "packages/simulator/profiles/h100-sxm.json"), "utf8"));
    const { smCount, ...device } = profile.device;
    const path = join(temporaryFolder(), "profile.json");
    writeFileSync(path, JSON.stringify({ ...profile, device: { ...device, smcount: smCount } }));
    expect(await refusal([...replay, "--gpu", path])).toMatch(/profile\.json: field device\.smCount: /);
    writeFileSync(path, '{"isochron":"batch/1"}');
    expect(await refusal([...replay, "--gpu", path])).toBe(
      `${path}: field isochron: found "batch/1", expected "gpu-profile/1"`,
    );
  });

  it("a batch whose prefixes overlap, by its file", async () => {
    const prefixes = [
      { requests: [0, 1], kvLen: 16 },
      { requests: [1, 2], kvLen: 16 },
    ];
    const path = batchWith({ prefixes });
    for (const command of ["plan", "simulate", "run"]) {
      expect(await refusal([command, path])).toContain(`${path}: prefixes[1].requests is "1, 2", expected groups that`);
    }
  });

  it.each([
    ['{"isochron":"batch/1",\n"qoLens":[1,2,}', 2],
    ['{"isochron":"batch/1",\n\n"qoLens" 1}', 3],
    ['{"isochron":"batch/1",\n"qoLens":[1,2', 2],
    ["\u0000\u0001binary\nmore", 1],
  ])("the line of broken JSON %j", async (text, line) => {
    const path = join(temporaryFolder(), "batch.json");
    writeFileSync(path, text);
    expect(await refusal(["plan", path])).toMatch(new RegExp(`batch\\.json:${line}: not JSON`));
  });

  it.each([
    ["[1]", "found an array"],
    ["3", "found 3"],
    ["null", "found null"],
  ])("a document that is no object: %s", async (text, words) => {
    const path = join(temporaryFolder(), "batch.json");
    writeFileSync(path, text);
    expect(await refusal(["plan", path])).toContain(words);
  });

  it("the choices of a mask", async () => {
    const attention = { ...JSON.parse(readFileSync(small, "utf8")).attention, mask: { kind: "x" } };
    expect(await refusal(["plan", batchWith({ attention })])).toContain(
      'attention.mask.kind: found "x", expected one of "causal", "full", "sliding-window"',
    );
  });

  it("a trace that is missing, empty or a folder", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "empty.csv"), "");
    expect(await refusal(["replay", join(folder, "no.csv")])).toMatch(
      /no\.csv: found no such file, expected a readable/,
    );
    expect(await refusal(["replay", join(folder, "empty.csv")])).toMatch(/empty\.csv: found an empty file, expected/);
    expect(await refusal(["replay", folder])).toMatch(/found a folder, expected a readable trace file$/);
  });

  it("a folder without a report", async () => {
    expect(await refusal(["view", temporaryFolder(), "--html", "x.html"])).toContain(
      "no report.json or summary.json in this folder",
    );
  });
});

describe("where nothing can be written", () => {
  it.skipIf(!existsSync("/proc/self"))("a folder that cannot be made is refused at once", async () => {
    expect(await refusal([...replay, "--out", "/proc/isochron/results"])).toBe(
      "/proc/isochron/results: cannot be written (no such file or directory)",
    );
  });

  it("a trace is not converted onto itself", async () => {
    const path = join(temporaryFolder(), "trace.csv");
    const content = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n";
    writeFileSync(path, content);
    expect(await refusal(["traces", "convert", path, path])).toContain("is the trace itself");
    expect(readFileSync(path, "utf8")).toBe(content);
  });

  it.skipIf(process.platform === "win32")("a full disk costs the file, not the result, which is printed", async () => {
    const folder = temporaryFolder();
    const command = ["replay", "azure-conv-2023", "--limit", "2000"];
    for (const [flag, name] of [
      ["--out", "results"],
      ["--html", "page.html"],
      ["--trace-events", "events.json"],
    ] as const) {
      const path = join(folder, flag, name);
      // Files of at most 8 blocks; a process that ignores the signal is told by the write that fails.
      const limited = `trap '' XFSZ; ulimit -f 8; exec "$@"`;
      const args = ["-c", limited, "sh", process.execPath, binary, ...command, flag, path];
      const { status, stdout, stderr } = spawnSync("sh", args, { cwd: repository, encoding: "utf8" });
      expect(stderr).toMatch(/^isochron: [^\n]+: cannot be written \(the file is larger than may be written here\)\n$/);
      expect(stderr).toContain(path);
      expect(stdout).toMatch(/^completed +2,000 requests$/m);
      expect(stdout).not.toContain("wrote");
      expect(status).toBe(2);
      expect(readdirSync(flag === "--out" ? path : join(path, ".."))).toEqual([]);
    }
  });

  it("standard output by the name of a dash is refused", async () => {
    for (const flag of ["--html", "--trace-events"]) {
      expect(await refusal([...replay, flag, "-"])).toMatch(/^-: found standard output, expected a file/);
    }
    expect(await refusal(["traces", "convert", "azure-conv-2023", "-"])).toMatch(/^-: found standard output/);
  });

  it.skipIf(process.platform === "win32")("a link stays a link, and its target is replaced", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "target.html"), "old");
    const link = join(folder, "link.html");
    symlinkSync("target.html", link);
    expect((await isochron([...replay, "--html", link])).exitCode).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, "target.html"), "utf8")).toContain("<html");
    expect(readdirSync(folder).sort()).toEqual(["link.html", "target.html"]);
  });

  it.skipIf(process.platform === "win32")("a pipe is written as it is", () => {
    const folder = temporaryFolder();
    const pipe = join(folder, "pipe");
    const both = `mkfifo pipe; cat pipe & "$0" "${binary}" traces convert azure-conv-2023 pipe --limit 2 --json > said; wait`;
    const { stdout } = spawnSync("sh", ["-c", both, process.execPath], { cwd: folder, encoding: "utf8" });
    expect(stdout.trimEnd().split("\n")).toHaveLength(3);
    expect(lstatSync(pipe).isFIFO()).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["pipe", "said"]);
  });

  it.skipIf(!existsSync("/dev/full"))("standard output that is full is named", () => {
    const args = ["-c", 'exec "$@" > /dev/full', "sh", process.execPath, binary, ...replay];
    const { status, stderr } = spawnSync("sh", args, { cwd: repository, encoding: "utf8" });
    expect(stderr).toBe("isochron: standard output: cannot be written (no space left on the device)\n");
    expect(status).toBe(2);
  });

  it.skipIf(process.platform === "win32")("standard output that is cut off by a full disk is no success", () => {
    const limited = `trap '' XFSZ; ulimit -f 8; exec "$@" > report.json`;
    const args = ["-c", limited, "sh", process.execPath, binary, ...replay, "--limit", "500", "--json"];
    const { status, stderr } = spawnSync("sh", args, { cwd: temporaryFolder(), encoding: "utf8" });
    expect(stderr).toMatch(/^isochron: standard output: cannot be written \([^\n]+\)\n$/);
    expect(status).toBe(2);
  });

  it.skipIf(process.getuid?.() === 0)("a folder without permission is named", async () => {
    const folder = join(temporaryFolder(), "locked");
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    expect(await refusal([...replay, "--out", folder])).toContain(`${folder}: cannot be written (permission denied)`);
  });
});

describe("Ctrl-C", () => {
  it("ends a command that computes without a pause", async () => {
    const child = spawnIsochron(["run", "docs/examples/mixed.json", "--check"]);
    const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve([code, signal])));
    setTimeout(() => child.kill("SIGINT"), 1500);
    expect(await ended).toEqual([null, "SIGINT"]);
  });
});
