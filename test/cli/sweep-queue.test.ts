// Sweeps over a queue: against a real Redis server, where this machine has one.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { SweepRow } from "@isochron/simulator";
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openQueue, shownUrl } from "../../packages/cli/src/sweep/queue.ts";
import { workOnQueue } from "../../packages/cli/src/sweep/queue-worker.ts";
import { isochron, isochronJson, spawnIsochron } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

/** Twelve that run and four that do not fit, long enough for another process to act while they run. */
const SWEEP = {
  isochron: "sweep/1",
  base: { trace: "azure-conv-2023", limit: 6000 },
  axes: { gpu: ["h100-sxm", "rtx-4090"], model: ["llama-3.1-8b", "qwen3-32b"], seed: [0, 1, 2, 3] },
};
const TOTAL = 16;
const FILES = ["summary.json", "results.jsonl", "results.csv"];

function writeSweep(folder: string): string {
  const path = join(folder, "sweep.json");
  writeFileSync(path, JSON.stringify(SWEEP));
  return path;
}

const contents = (folder: string): string[] =>
  FILES.map((name) => readFileSync(join(folder, "out", name), "utf8").replaceAll(folder, ""));
const rowsIn = (folder: string): SweepRow[] =>
  readFileSync(join(folder, "out", "results.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const finishedIn = (folder: string): number => {
  const path = join(folder, "out", "journal.jsonl");
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").length - 1 : 0;
};

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await wait(10);
}

/** A worker process with one thread, that is noticed to be dead within a second or two. */
function startWorker(url: string): ChildProcess {
  const worker = spawnIsochron(["sweep", "--worker", "--json", "--queue", url, "--workers", "1", "--lost-after", "1"]);
  onTestFinished(() => void worker.kill("SIGKILL"));
  return worker;
}

describe("the address of a queue", () => {
  it.each([
    ["http://127.0.0.1", /--queue: found "http:\/\/127\.0\.0\.1", expected an address such as redis:\/\/127/],
    ["redis://me:secret@127.0.0.1:1", /--queue: redis:\/\/me:…@127\.0\.0\.1:1 does not answer \(.*ECONNREFUSED/],
  ])("that cannot be used ends in one line without its password: %s", async (url, line) => {
    const folder = temporaryFolder();
    const path = writeSweep(folder);
    for (const args of [
      ["sweep", path, "--out", join(folder, "out"), "--queue", url],
      ["sweep", "--worker", "--queue", url],
    ]) {
      const { exitCode, stdout, stderr } = await isochron(args);
      expect(stderr).toMatch(line);
      expect(stderr).not.toContain("secret");
      expect([exitCode, stdout, stderr.trimEnd().split("\n").length]).toEqual([2, "", 1]);
    }
  });

  it("is shown without its password", () => {
    expect(shownUrl("rediss://:p@ss@host:1/2")).not.toContain("p@ss");
    expect(shownUrl("redis://host:6379")).toBe("redis://host:6379");
  });
});

describe("options of a queue", () => {
  it.each<[readonly string[], RegExp]>([
    [[], /sweep: found no file, expected a sweep\/1 document, or --worker/],
    [["--worker"], /--worker: found no --queue/],
    [["x.json", "--worker", "--queue", "redis://h"], /--worker: found x\.json, expected it where the sweep is started/],
    [["--worker", "--queue", "redis://h", "--out", "o"], /--worker: found --out/],
    [["x.json", "--lost-after", "3"], /--lost-after: found no --worker/],
  ])("that contradict one another are named: %j", async (args, line) => {
    const { exitCode, stderr } = await isochron(["sweep", ...args]);
    expect(stderr).toMatch(line);
    expect(exitCode).toBe(2);
  });
});

describe.skipIf(!hasRedis)("a sweep over a queue", () => {
  let server: ChildProcess;
  let url: string;

  beforeAll(async () => {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address() as { port: number };
    probe.close();
    url = `redis://127.0.0.1:${port}`;
    const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    server = spawn("redis-server", options, { stdio: "ignore" });
    await until(async () => {
      const queue = await openQueue(url).catch(() => undefined);
      await queue?.close();
      return queue !== undefined;
    });
  });
  afterAll(() => void server.kill("SIGKILL"));
  afterEach(async () => {
    const queue = await openQueue(url);
    await queue.obliterate({ force: true });
    await queue.close();
  });

  const jobs = async (): Promise<Record<string, number>> => {
    const queue = await openQueue(url);
    try {
      return await queue.getJobCounts("wait", "active", "delayed", "completed", "failed");
    } finally {
      await queue.close();
    }
  };
  const setPolicy = async (policy: string): Promise<void> => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write(`CONFIG SET maxmemory-policy ${policy}\r\n`);
    const [reply] = await once(socket, "data");
    socket.destroy();
    expect(String(reply)).toBe("+OK\r\n");
  };
  const NONE = { wait: 0, active: 0, delayed: 0, completed: 0, failed: 0 };

  it("writes the same bytes as threads do, and leaves nothing in the queue", async () => {
    const [here, there] = [temporaryFolder(), temporaryFolder()];
    await isochron(["sweep", writeSweep(here), "--out", join(here, "out"), "--workers", "2"]);
    const { exitCode, stdout } = await isochron([
      ...["sweep", writeSweep(there), "--out", join(there, "out"), "--queue", url, "--workers", "2"],
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`${TOTAL} replayed in`);
    expect(contents(there)).toEqual(contents(here));
    expect(rowsIn(there).map(({ status }) => status)).toContain("does-not-fit");
    expect(await jobs()).toEqual(NONE);
  });

  it("loses nothing when a worker is killed and another is asked to stop", async () => {
    const folder = temporaryFolder();
    const running = isochron(["sweep", writeSweep(folder), "--out", join(folder, "out"), "--queue", url]);
    const killed = startWorker(url);
    await until(() => finishedIn(folder) >= 2);
    killed.kill("SIGKILL");

    const stopped = startWorker(url);
    let output = "";
    stopped.stdout!.on("data", (text) => {
      output += text;
    });
    // Not a late result of the one that was killed.
    await until(() => readFileSync(join(folder, "out", "journal.jsonl"), "utf8").includes(`/${stopped.pid}/`));
    stopped.kill("SIGINT");
    const [code] = await once(stopped, "close");
    expect(code).toBe(0);
    const { isochron: kind, done } = JSON.parse(output);
    expect(kind).toBe("sweep-worker/1");
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(TOTAL);

    startWorker(url);
    const { exitCode } = await running;
    expect(exitCode).toBe(0);
    expect(rowsIn(folder).map(({ configuration }) => configuration)).toEqual(
      Array.from({ length: TOTAL }, (_, i) => i),
    );
    expect(rowsIn(folder).some(({ status }) => status === "failed")).toBe(false);
    expect(finishedIn(folder)).toBe(TOTAL);
    expect(await jobs()).toEqual(NONE);
  });

  it("takes its jobs away when it is stopped, says that no worker is there, and goes on later", async () => {
    const folder = temporaryFolder();
    const args = ["sweep", writeSweep(folder), "--out", join(folder, "out"), "--queue", url];
    const interrupt = new AbortController();
    let shown = "";
    const onStderr = (text: string): void => {
      shown += text;
    };
    const running = isochron(args, { interrupt: interrupt.signal, isTerminal: true, onStderr });
    await until(() => shown.includes("no worker: start `isochron sweep --worker --queue URL`"));
    expect((await jobs())["wait"]).toBe(TOTAL);
    interrupt.abort();
    const { exitCode, stdout } = await running;
    expect(exitCode).toBe(130);
    expect(stdout).toContain(`stopped: 0 of ${TOTAL} configurations are finished`);
    expect(await jobs()).toEqual(NONE);
    expect((await isochron([...args, "--workers", "2"])).exitCode).toBe(0);
    expect(rowsIn(folder)).toHaveLength(TOTAL);
  });

  it("takes results that a worker finished after its coordinator was killed", async () => {
    const folder = temporaryFolder();
    const args = ["sweep", writeSweep(folder), "--out", join(folder, "out"), "--queue", url];
    const coordinator = spawnIsochron(args);
    await until(async () => (await jobs())["wait"] === TOTAL);
    coordinator.kill("SIGKILL");
    startWorker(url);
    await until(async () => (await jobs())["completed"] === TOTAL);
    const { groups } = (await isochronJson(args)) as never as { groups: unknown[] };
    expect(groups).toHaveLength(2);
    expect(finishedIn(folder)).toBe(TOTAL);
    expect(await jobs()).toEqual(NONE);
  });

  it("refuses jobs of another version or with other files, by name of the machine", async () => {
    const queue = await openQueue(url);
    const stop = new AbortController();
    const working = workOnQueue({ url, threads: 1, lostAfterS: 5, signal: stop.signal, onChange: () => {} });
    try {
      const task = { key: "made elsewhere", fields: { trace: "azure-conv-2023" }, keepReport: false };
      await queue.add("replay", task, { jobId: "elsewhere" });
      await until(async () => (await queue.getJobCounts("failed"))["failed"] === 1);
      expect((await queue.getJob("elsewhere"))!.failedReason).toMatch(
        /has another version of isochron, or other files .* than the machine that started the sweep/,
      );
    } finally {
      stop.abort();
      expect(await working).toEqual({ done: 0 });
      await queue.close();
    }
  });

  it("refuses a server that throws jobs away when memory is short", async () => {
    await setPolicy("allkeys-lru");
    try {
      const { exitCode, stderr } = await isochron(["sweep", "--worker", "--queue", url]);
      expect(stderr).toMatch(
        /has the maxmemory-policy allkeys-lru, under which results can be lost, expected noeviction/,
      );
      expect(exitCode).toBe(2);
    } finally {
      await setPolicy("noeviction");
    }
  });
});
